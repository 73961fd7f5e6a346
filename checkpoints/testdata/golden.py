#!/usr/bin/env python3
"""Writes golden.json: what PyTorch itself reads in the fixtures. Of tensors the type, shape and SHA-256 of the
elements, of other values their text; of floats the bits.

Usage: golden.py FOLDER > golden.json     (made with PyTorch 2.11.0, Python 3.11)
Only for these fixtures: it loads pickles with their code.
"""

import collections
import dataclasses
import datetime
import hashlib
import json
import pathlib
import pickle
import struct
import sys
import warnings

import torch

warnings.simplefilter("ignore")
sys.dont_write_bytecode = True
sys.modules["pathlib._local"] = pathlib  # where Python 3.13 has it

SKIP = {
    "pt/torch-1.13.0/module.pt",  # an nn.Module: its class
    "pt/torch-2.6.0/module.pt",
    "pt/torch-2.14.1/module.pt",
    "pt/torch-1.13.0/dt_complex32.pt",  # never finished
}


def bits(f):
    return struct.pack(">d", f).hex()


def raw(value):
    if value.is_quantized:
        value = value.int_repr()
    flat = value.detach().resolve_conj().resolve_neg().contiguous().clone()
    return hashlib.sha256(bytes(flat.untyped_storage()) if flat.numel() else b"").hexdigest()


def walk_tensor(path, value, out):
    if value.layout != torch.strided:
        out[path] = {"kind": str(value.layout)[6:], "dtype": str(value.dtype)[6:], "shape": list(value.shape)}
        if value.layout == torch.sparse_coo:
            out[path]["text"] = str(value.is_coalesced())
            walk(f"{path}/indices", value._indices(), out)
            walk(f"{path}/values", value._values(), out)
        else:
            by_row = value.layout in (torch.sparse_csr, torch.sparse_bsr)
            walk(f"{path}/compressed", value.crow_indices() if by_row else value.ccol_indices(), out)
            walk(f"{path}/plain", value.col_indices() if by_row else value.row_indices(), out)
            walk(f"{path}/values", value.values(), out)
        return
    out[path] = {
        "kind": "parameter" if isinstance(value, torch.nn.Parameter) else "tensor",
        "dtype": str(value.dtype)[6:],
        "shape": list(value.shape),
        "grad": value.requires_grad,
        "sha256": raw(value),
    }
    if value.is_quantized:
        out[path]["text"] = str(value.qscheme())[6:]
        if value.qscheme() == torch.per_tensor_affine:
            walk(f"{path}/scale", value.q_scale(), out)
            walk(f"{path}/zero_point", value.q_zero_point(), out)
        else:
            walk(f"{path}/scales", value.q_per_channel_scales(), out)
            walk(f"{path}/zero_points", value.q_per_channel_zero_points(), out)
            walk(f"{path}/axis", value.q_per_channel_axis(), out)
    if vars(value):
        walk(f"{path}/attributes", vars(value), out)


def walk_object(path, value, out):
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if dataclasses.is_dataclass(value):
        out[path] = {"kind": "record", "text": name}
        for field in dataclasses.fields(value):
            walk(f"{path}/{field.name}", getattr(value, field.name), out)
    elif isinstance(value, torch.storage.TypedStorage):
        untyped = value.untyped()
        digest = hashlib.sha256(bytes(untyped)).hexdigest()
        out[path] = {"kind": "storage", "dtype": str(value.dtype)[6:], "shape": [len(value)], "sha256": digest}
    elif isinstance(value, datetime.datetime):
        out[path] = {"kind": "datetime", "text": value.isoformat()}
    elif isinstance(value, datetime.timedelta):
        out[path] = {"kind": "timedelta", "text": str(value)}
    elif isinstance(value, pathlib.PurePath):
        out[path] = {"kind": "path", "text": str(value)}
    elif isinstance(value, torch.dtype):
        out[path] = {"kind": "dtype", "text": str(value)[6:]}
    elif isinstance(value, torch.device):
        out[path] = {"kind": "device", "text": str(value)}
    else:
        sys.exit(f"{path}: no rule for {name}")


def walk(path, value, out):
    if isinstance(value, torch.Tensor):
        walk_tensor(path, value, out)
    elif isinstance(value, torch.Size):
        out[path] = {"kind": "size", "shape": list(value)}
    elif isinstance(value, dict):
        out[path] = {"kind": type(value).__name__, "shape": [len(value)]}
        for k, v in value.items():
            walk(f"{path}/{k}", v, out)
        if getattr(value, "_metadata", None) is not None:
            walk(f"{path}/_metadata", value._metadata, out)
    elif isinstance(value, (list, tuple, collections.deque)):
        out[path] = {"kind": type(value).__name__, "shape": [len(value)]}
        for i, v in enumerate(value):
            walk(f"{path}/{i}", v, out)
    elif isinstance(value, (set, frozenset)):
        out[path] = {"kind": type(value).__name__, "shape": [len(value)], "text": str(sorted(value))}
    elif isinstance(value, (bytes, bytearray)):
        out[path] = {"kind": type(value).__name__, "text": value.hex()}
    elif isinstance(value, complex):
        out[path] = {"kind": "complex", "text": bits(value.real) + bits(value.imag)}
    elif isinstance(value, float):
        out[path] = {"kind": "float", "text": bits(value)}
    elif value is None or isinstance(value, (bool, int, str)):
        out[path] = {"kind": type(value).__name__, "text": str(value)}
    else:
        walk_object(path, value, out)


def main():
    folder = pathlib.Path(sys.argv[1])
    result = {}
    parts = ("pt/torch-*/*.pt", "checkpoints/*.p*", "cases/*/*.pt", "pt/pickle/*.pkl")
    files = [f for part in parts for f in folder.glob(part)]
    for file in sorted(files):
        name = file.relative_to(folder).as_posix()
        if name in SKIP:
            continue
        result[name] = out = {}
        if file.suffix == ".pkl":
            walk("", pickle.loads(file.read_bytes()), out)
        else:
            walk("", torch.load(file, weights_only=False), out)
    json.dump(result, sys.stdout, indent=0, sort_keys=True)
    print()


main()
