#!/usr/bin/env python3
"""The other side of vectormemory_test.go and of the old protocols.

Usage: peer_memory.py check FIXTURE WRITTEN    compares two vector memories, types and all, bit for bit
       peer_memory.py rewrite FIXTURE DIR      writes it in every protocol as DIR/p0.pkl to DIR/p5.pkl
       peer_memory.py values DIR               writes values of plain Python as DIR/p0.pkl to DIR/p5.pkl
"""

import collections
import dataclasses
import datetime
import pathlib
import pickle
import sys

import torch

sys.dont_write_bytecode = True
sys.modules["pathlib._local"] = pathlib  # where Python 3.13 has it


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and bytes(a.contiguous().clone().untyped_storage()) == bytes(b.contiguous().clone().untyped_storage())
        )
    if dataclasses.is_dataclass(a):
        return vars(a).keys() == vars(b).keys() and all(same(v, getattr(b, k)) for k, v in vars(a).items())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def values():
    zone = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30), "home")
    default = collections.defaultdict(list)
    default["a"].append(1)
    shared = [1, "é", "\\ \n € 😀 \x00"]
    return {
        "none": None,
        "bools": [True, False],
        "ints": [0, 1, -1, 255, 256, 65536, 2**31 - 1, -(2**31), 2**31, 2**62, -(2**63), 2**63, 2**200, -(2**200)],
        "floats": [0.0, -0.0, 0.1, 1e-05, 1e300, float("inf"), float("-inf"), 5e-324],
        "texts": ["", "plain", "it's \"quoted\"", "tab\tnew\nline\rback\\slash\\u1234", "é", "€", "😀", "\x1a\x00"],
        "bytes": [b"", b"abc", bytes(range(256))],
        "bytearray": bytearray(b"xy\xff"),
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "lists": [[], [1], [[], [[]]]],
        "dict": {1: "a", "b": {}, (1, "c"): 2, None: 3, 1.5: 4},
        "ordered": collections.OrderedDict(a=1, b=2),
        "default": default,
        "deque": [collections.deque([1, 2]), collections.deque([3], maxlen=4)],
        "sets": [{1}, frozenset([2]), set()],
        "complex": 1.5 - 2j,
        "paths": [pathlib.PurePosixPath("/a/b.c"), pathlib.PurePosixPath("rel"), pathlib.PureWindowsPath("C:\\a\\b"),
                  pathlib.PurePosixPath()],
        "times": [
            datetime.datetime(2024, 2, 29, 23, 59, 58, 123456),
            datetime.datetime(1, 1, 1),
            datetime.datetime(2024, 6, 1, 12, 0, tzinfo=datetime.timezone.utc),
            datetime.datetime(2024, 6, 1, 12, 0, tzinfo=zone),
        ],
        "differences": [datetime.timedelta(days=-3, seconds=7, microseconds=9), datetime.timedelta(),
                        datetime.timedelta(hours=25)],
        "shared": [shared, shared],
        "many": list(range(2500)),
        "keys": {f"key{i}": i for i in range(2500)},
        "tensor": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    }


def main():
    mode, *arguments = sys.argv[1:]
    if mode == "check":
        want, got = (pickle.loads(pathlib.Path(path).read_bytes()) for path in arguments)
        if not same(want, got):
            sys.exit(f"got {str(got)[:2000]}\nwant {str(want)[:2000]}")
        return
    if mode == "rewrite":
        fixture, folder = arguments
        value = pickle.loads(pathlib.Path(fixture).read_bytes())
    else:
        (folder,) = arguments
        value = values()
    for protocol in range(6):
        (pathlib.Path(folder) / f"p{protocol}.pkl").write_bytes(pickle.dumps(value, protocol=protocol))


main()
