#!/usr/bin/env python3
"""Reads a migrated data directory as the Python system would, and compares it with the installation it was made of.

Usage: peer.py INSTALLATION DIRECTORY
"""

import pathlib
import sys

import torch


def newest(folder):
    return torch.load(sorted(pathlib.Path(folder).glob("patterns_*.pt"))[-1], weights_only=True)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return all(same(a[k], b[k]) for k in a)
    return a == b


def main():
    old, new = map(pathlib.Path, sys.argv[1:])
    pairs = [(newest(old), newest(new))]
    for name in "validator_state.pt", "projections.pt":
        pairs.append([torch.load(folder / name, weights_only=True) for folder in (old, new)])
    for want, got in pairs:
        for key in want:
            if key != "save_time" and not same(want[key], got[key]):
                sys.exit(f"{key}: got {got[key]}, want {want[key]}")


main()
