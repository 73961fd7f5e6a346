"""Writes the tables that parquet_test.go reads, as Python programs do.

usage: parquet.py FOLDER

With pyarrow 26.0.1 it writes lists.parquet, fixed.parquet, doubles.parquet and
texts.parquet; where pandas is installed (3.1.1 made the fixture) also
pandas.parquet. All hold three rows, the second of which is refused.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(sys.argv[1])
embedding = [[0.1, -2.5, 3e10], None, [1.0, 2.0, 3.0]]
others = {
    "id": pa.array([7, 8, 9], pa.int64()),
    "session": pa.array(["s", None, "s"]).dictionary_encode(),
    "importance": pa.array([2, None, 0.5], pa.float64()),
    "label": pa.array(["safe", None, "risky"], pa.large_string()),
    "nested": pa.array([{"x": [1]}, None, {"x": []}]),
}


def save(name, columns, **options):
    pq.write_table(pa.table(columns), folder / name, **options)


save("lists.parquet", {"embedding": pa.array(embedding, pa.list_(pa.float32())), **others})
fixed = pa.array(embedding, pa.list_(pa.float32(), 3))
save("fixed.parquet", {"embedding": fixed, **others}, compression="zstd", data_page_version="2.0")
doubles = pa.array(embedding, pa.large_list(pa.float64()))
save("doubles.parquet", {"embedding": doubles, **others}, row_group_size=1, use_dictionary=False, compression="none")
save(
    "texts.parquet",
    {
        "id": ["é", "b", "c"],
        "action": ["ls -l", None, "rm -rf /"],
        "is_safe": pa.array([False, None, True]),
    },
    compression="gzip",
)
try:
    import pandas
except ImportError:
    sys.exit()
frame = pandas.DataFrame({"id": [7, 8, 9], "embedding": embedding})
frame["session"] = ["s", None, "s"]
frame["importance"] = [2.0, 1.0, 0.5]
frame["is_safe"] = [True, True, False]
frame.to_parquet(folder / "pandas.parquet")
