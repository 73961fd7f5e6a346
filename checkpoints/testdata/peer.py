#!/usr/bin/env python3
"""The other side of tensor/save_test.go: the same values by torch.save, and a check of what Go wrote.

Usage: peer.py save DIR     writes NAME.pt for every case
       peer.py unusual DIR  writes DIR/pt/torch-own/*.pt for golden.py, in both formats and all protocols
       peer.py deflated DIR loads DIR/NAME.pt with compressed storages: the same, but not with mmap=True
       peer.py check DIR    loads DIR/NAME.pt, each written from the same values elsewhere, and compares
Needs PyTorch 2.11 or later.
"""

import math
import os
import pathlib
import sys
from collections import OrderedDict

import torch
import torch.utils.serialization


def numbered(n):
    return {f"key{i}": i for i in range(n)}


def dtype_cases():
    raw = torch.arange(16, dtype=torch.uint8)
    names = [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "complex128",
        "complex64",
        "uint16",
        "uint32",
        "uint64",
    ]
    names += ["float8_e4m3fn", "float8_e5m2"]
    out = {name: raw.clone().view(getattr(torch, name)) for name in names}
    out["bool"] = torch.tensor([True, False, True])
    return out


def state_dict():
    od = OrderedDict()
    od["0.weight"] = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    od["0.bias"] = torch.zeros(2)
    od._metadata = OrderedDict([("", {"version": 1}), ("0", {"version": 1})])
    return od


def cases():
    shared = [1, 2]
    same = torch.ones(3)
    grad = torch.arange(2, dtype=torch.float32)
    grad.requires_grad_(True)
    integers = [
        0,
        1,
        255,
        256,
        65535,
        65536,
        2**31 - 1,
        2**31,
        -1,
        -128,
        -129,
        -(2**31),
        -(2**31) - 1,
        2**40,
        2**63 - 1,
        -(2**63),
        2**63,
        2**64,
        -(2**63) - 1,
        2**200,
        -(2**200),
    ]
    return {
        "scalars": {
            "none": None,
            "true": True,
            "false": False,
            "text": "é😀",
            "empty": "",
            "float": 0.1,
            "inf": math.inf,
            "tiny": -5e-324,
        },
        "integers": integers,
        "containers": {
            "list": [],
            "dict": {},
            "tuple": (),
            "one": [1],
            "t1": (1,),
            "t2": (1, 2),
            "t3": (1, 2, 3),
            "t4": (1, 2, 3, 4),
            "single": {"a": [[]]},
        },
        "shared": {"a": shared, "b": shared, "words": ["cpu", "storage", "cpu", "a", "b"]},
        "dict1000": numbered(1000),
        "dict1001": numbered(1001),
        "dict2000": numbered(2000),
        "list1000": list(range(1000)),
        "list1001": list(range(1001)),
        "ordered1": OrderedDict(numbered(1)),
        "ordered1000": OrderedDict(numbered(1000)),
        "ordered1001": OrderedDict(numbered(1001)),
        "ordered0": OrderedDict(),
        "width_keys": {
            32: {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)},
            384: {"weight": torch.ones(2, 3), "bias": torch.ones(2)},
        },
        "dtypes": dtype_cases(),
        "shapes": {
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0),
            "rows0": torch.zeros(0, 3),
            "cols0": torch.zeros(3, 0),
            "deep": torch.zeros(1, 2, 1, 3, 1),
        },
        "twice": {"a": same, "b": same, "list": [same]},
        "flags": {
            "grad": grad,
            "parameter": torch.nn.Parameter(torch.zeros(2)),
            "frozen": torch.nn.Parameter(torch.ones(1), requires_grad=False),
        },
        "state_dict": state_dict(),
        "many": {f"t{i}": torch.full((1,), float(i)) for i in range(300)},
        "types": {"dtype": torch.float32, "device": torch.device("cpu")},
    }


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape or a.requires_grad != b.requires_grad:
            return False
        return bytes(a.detach().contiguous().clone().untyped_storage()) == bytes(
            b.detach().contiguous().clone().untyped_storage()
        )
    if isinstance(a, dict):
        return (
            list(a) == list(b)
            and all(same(a[k], b[k]) for k in a)
            and getattr(a, "_metadata", None) == getattr(b, "_metadata", None)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=False))
    return a == b


def check(folder):
    bad = []
    for name, want in cases().items():
        path = str(folder / f"{name}.pt")
        for mmap in (False, True):
            for offsets in (False, True):
                torch.utils.serialization.config.load.calculate_storage_offsets = offsets
                got = torch.load(path, weights_only=True, mmap=mmap)
                if not same(got, want):
                    bad.append(f"{name} (mmap={mmap}, calculated offsets={offsets}): {str(got)[:200]}")
    if bad:
        sys.exit("\n".join(bad))


def unusual():
    dense = torch.tensor([[0.0, 1, 0, 2], [0, 0, 0, 0], [3, 0, 4, 5], [0, 6, 0, 0]])
    indices = torch.tensor([[0, 1], [2, 3], [0, 1]])
    repeated = torch.sparse_coo_tensor(indices.t(), torch.ones(3, 2), (4, 4, 2))
    channels = torch.quantize_per_channel(dense, torch.full((4,), 0.5).double(), torch.arange(4), 1, torch.quint8)
    floats = torch.quantize_per_channel(dense, torch.full((4,), 0.25), torch.zeros(4), 0, torch.quint8)
    return {
        "coo": {"plain": dense.to_sparse(), "hybrid": dense.to_sparse(1), "repeated": repeated,
                "empty": torch.zeros(2, 3).to_sparse()},
        "csr": dense.to_sparse_csr(),
        "csc": dense.to_sparse_csc(),
        "bsr": dense.to_sparse_bsr((2, 1)),
        "bsc": dense.to_sparse_bsc((1, 2)),
        "batch": torch.stack([dense, dense.flip(0).flip(1)]).to_sparse_csr(),
        "narrow": torch.sparse_csr_tensor(torch.tensor([0, 1, 2], dtype=torch.int32),
                                          torch.tensor([1, 0], dtype=torch.int32), torch.ones(2), (2, 3)),
        "quantized": {
            "tensor": torch.quantize_per_tensor(dense, 0.1, 3, torch.qint8),
            "wide": torch.quantize_per_tensor(dense, 0.001, 0, torch.qint32),
            "view": torch.quantize_per_tensor(dense, 0.1, 3, torch.qint8).t(),
            "channels": channels,
            "floats": floats,
        },
        "views": {"expanded": torch.ones(1).expand(5, 4), "strided": dense[::2, 1:],
                  "conj": torch.ones(2, dtype=torch.complex64).conj()},
        "state": torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).state_dict(),
        "sizes": [torch.Size([]), torch.Size([2, 3]), torch.float8_e4m3fn, torch.device("cuda", 1)],
        "rare": {
            name: torch.arange(16, dtype=torch.uint8).view(getattr(torch, name))
            for name in ("float8_e8m0fnu", "float4_e2m1fn_x2", "float8_e4m3fnuz",
                         "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2")
        },
        "plain": {"complex": 1 - 2j, "set": {1, 2}, "bytes": b"\xff", "big": 2**100},
    }


def save_unusual(folder):
    folder = folder / "pt" / "torch-own"
    folder.mkdir(parents=True)
    for name, value in unusual().items():
        if name != "rare":  # PyTorch does not read these back itself
            torch.save(value, folder / f"{name}_legacy.pt", _use_new_zipfile_serialization=False)
        for protocol in range(1, 6):
            torch.save(value, folder / f"{name}_{protocol}.pt", pickle_protocol=protocol)


def check_deflated(folder):
    bad = []
    for name, want in cases().items():
        path = str(folder / f"{name}.pt")
        got = torch.load(path, weights_only=True)
        if not same(got, want):
            bad.append(f"{name}: {str(got)[:200]}")
    try:
        mapped = torch.load(str(folder / "shapes.pt"), weights_only=True, mmap=True)
    except RuntimeError:
        pass
    else:
        if same(mapped, cases()["shapes"]):
            bad.append("shapes with mmap=True: read, while compressed bytes are no elements")
    if bad:
        sys.exit("\n".join(bad))


def main():
    # Makes torch.load compare the offsets that it calculates with those of the archive.
    os.environ["TORCH_SERIALIZATION_DEBUG"] = "1"
    mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if mode != "save":
        {"check": check, "deflated": check_deflated, "unusual": save_unusual}[mode](folder)
        return
    for name, value in cases().items():
        torch.save(value, folder / f"{name}.pt")


main()
