#!/usr/bin/env python3
"""Writes golden.json: what PyTorch itself reads in the fixtures, as type, shape and SHA-256 of the elements.

Usage: golden.py FOLDER > golden.json     (made with PyTorch 2.11.0, Python 3.11)
Only for these fixtures: it loads pickles with their code.
"""

import hashlib
import json
import pathlib
import sys
import warnings

import torch

warnings.simplefilter("ignore")
SKIP = {
    "module.pt",  # an nn.Module: its class
    "quant.pt",
    "sparse.pt",
    "storage.pt",
    "ustorage.pt",
}


def walk(path, value, out):
    if isinstance(value, torch.Tensor):
        flat = value.detach().resolve_conj().resolve_neg().contiguous().clone()
        raw = bytes(flat.untyped_storage()) if flat.numel() else b""
        out[path] = {
            "kind": "parameter" if isinstance(value, torch.nn.Parameter) else "tensor",
            "dtype": str(value.dtype)[6:],
            "shape": list(value.shape),
            "grad": value.requires_grad,
            "sha256": hashlib.sha256(raw).hexdigest(),
        }
    elif isinstance(value, dict):
        for k, v in value.items():
            walk(f"{path}/{k}", v, out)
    elif isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        for i, v in enumerate(value):
            walk(f"{path}/{i}", v, out)
    elif value is None or isinstance(value, (bool, int, float, str)):
        out[path] = {"value": repr(value)}
    else:
        out[path] = {"kind": type(value).__name__}


def main():
    folder = pathlib.Path(sys.argv[1])
    result = {}
    files = [*folder.glob("pt/torch-*/*.pt"), *folder.glob("checkpoints/*.pt"), *folder.glob("cases/*/*.pt")]
    for file in sorted(files):
        name = file.relative_to(folder).as_posix()
        if file.name in SKIP or name == "pt/torch-1.13.0/dt_complex32.pt":  # the last was never finished
            continue
        result[name] = out = {}
        walk("", torch.load(file, weights_only=False), out)
    json.dump(result, sys.stdout, indent=0, sort_keys=True)
    print()


main()
