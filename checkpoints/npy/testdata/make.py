"""Writes the golden files of this folder with NumPy (2.4): python make.py FOLDER."""
import pathlib, sys
import numpy as np
from numpy.lib import format as npy

folder = pathlib.Path(sys.argv[1])
arrays = {
    "f4": np.array([[1.5, -2.25, 3e-40], [0.1, np.inf, np.nan]], "<f4"),
    "f8": np.array([[0.1, 1e300], [-1.0, 2.0]], "<f8"),
    "i8": np.array([0, -1, 2**63 - 1, -2**63], "<i8"),
    "b1": np.array([True, False, True]),
    "u": np.array(["safe", "", "日本\U0001f600"], "<U5"),
    "s": np.array([b"safe", b"risky", b""], "S5"),
    "empty": np.zeros((0, 4), "<f4"),
}
for name, array in arrays.items():
    np.save(folder / f"{name}.npy", array)
for version in ((2, 0), (3, 0)):
    with open(folder / f"f4_v{version[0]}.npy", "wb") as file:
        npy.write_array(file, arrays["f4"], version=version)
refused = {
    "big_endian": np.ones((2, 2), ">f4"),
    "float16": np.ones((2, 2), "<f2"),
    "int32": np.ones(2, "<i4"),
    "fortran": np.asfortranarray(np.ones((2, 3), "<f4")),
    "structured": np.zeros(2, [("a", "<f4"), ("b", "<i8")]),
    "object": np.array([None, {}], object),
    "datetime": np.zeros(2, "<M8[s]"),
    "complex": np.zeros(2, "<c8"),
}
for name, array in refused.items():
    np.save(folder / f"refused_{name}.npy", array, allow_pickle=True)
np.savez(folder / "rows.npz", embedding=arrays["f4"], id=np.array([7, 8]))
np.savez_compressed(folder / "rows_compressed.npz", embedding=arrays["f4"], id=np.array([7, 8]))
