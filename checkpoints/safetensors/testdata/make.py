"""Writes the fixtures of this folder with the reference implementation (safetensors 0.8.0, NumPy 2.4).

usage: python make.py FOLDER
"""
import sys
import numpy as np
from safetensors import TensorSpec, serialize_file

out = sys.argv[1]
names = {"bool": "bool", "uint8": "u1", "int8": "i1", "int16": "<i2", "uint16": "<u2", "float16": "<f2", "int32": "<i4",
         "uint32": "<u4", "float32": "<f4", "float64": "<f8", "int64": "<i8", "uint64": "<u8", "complex64": "<c8"}
arrays = {}
for i, (name, dtype) in enumerate(names.items()):
    data = (np.arange(6) + i).astype(dtype).reshape(2, 3)
    arrays["a." + name] = {"dtype": name, "shape": [2, 3], "data": data.tobytes()}
arrays["bf16"] = {"dtype": "bfloat16", "shape": [3], "data": b"\x80\x3f\x00\x40\x40\x40"}
arrays["fp8"] = {"dtype": "float8_e4m3fn", "shape": [3], "data": b"\x01\x02\x03"}
arrays["empty"] = {"dtype": "float32", "shape": [0, 5], "data": b""}
arrays["scalar"] = {"dtype": "float64", "shape": [], "data": np.float64(2.5).tobytes()}
arrays["schöner \"name\"\n"] = {"dtype": "float32", "shape": [1], "data": np.float32(7).tobytes()}
arrays["fnuz"] = {"dtype": "float8_e5m2fnuz", "shape": [1], "data": b"\x01"}
arrays["fnuz4"] = {"dtype": "float8_e4m3fnuz", "shape": [1], "data": b"\x02"}
arrays["e8m0"] = {"dtype": "float8_e8m0fnu", "shape": [1], "data": b"\x03"}
buffers = {name: np.frombuffer(a["data"] or b"\0", np.uint8) for name, a in arrays.items()}


def write(path, names, metadata=None):
    specs = {}
    for name in names:
        array = arrays[name]
        specs[name] = TensorSpec(dtype=array["dtype"], shape=array["shape"], data_ptr=buffers[name].ctypes.data,
                                 data_len=len(array["data"]))
    serialize_file(specs, path, metadata)


write(out + "/types.safetensors", list(arrays), {"format": "pt <&>"})
write(out + "/plain.safetensors", ["a.float32"])
write(out + "/none.safetensors", [])
