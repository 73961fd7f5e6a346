#!/usr/bin/env python3
"""Compares files that Go wrote from these fixtures with the fixtures, bit for bit, as a Python program would load them.

Usage: peer_state.py FIXTURE WRITTEN [EXTRA_KEY...]     EXTRA_KEY: may be in WRITTEN only
"""

import sys

import torch


def same(a, b):
    if isinstance(a, torch.Tensor):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and bytes(a.contiguous().clone().untyped_storage()) == bytes(b.contiguous().clone().untyped_storage())
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b and type(a) is type(b)


def main():
    fixture, written, *extra = sys.argv[1:]
    want = torch.load(fixture, weights_only=True)
    for mmap in (False, True):
        got = torch.load(written, weights_only=True, mmap=mmap)
        for key in extra:
            if isinstance(got.pop(key), float):
                sys.exit(f"{key} is a float")
        if got.keys() != want.keys():
            sys.exit(f"keys: got {list(got)}, want {list(want)}")
        for key in want:
            if not same(want[key], got[key]):
                sys.exit(f"{key} (mmap={mmap}): got {got[key]}, want {want[key]}")


main()
