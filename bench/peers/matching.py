#!/usr/bin/env python3
"""Nearest patterns by FAISS and by SciPy: the matching part of a validation.

    python matching.py faiss | tree

Both sides are searched; rows are given as workspace rows, projected before
anything is timed, and in the type that the library computes in.
"""

import sys

import numpy as np
import protocol


class Matcher(protocol.Peer):
    def prepare(self, tensors, request):
        weight = tensors.get("projection_weight")

        def project(x):
            return x if weight is None else x @ weight.T + tensors["projection_bias"]

        self.threads = request["threads"]
        self.indices = [self.index(np.ascontiguousarray(project(tensors[side]))) for side in ("safe", "unsafe")]
        self.rows = np.ascontiguousarray(project(tensors["rows"]), dtype=self.TYPE)

    def judge(self, batch):
        return [self.search(index, batch) for index in self.indices]

    def found(self, batch):
        sides = self.judge(batch)
        nearest = [ids.astype(np.int64) for _, ids in sides]
        return nearest + [distances.astype(np.float32) for distances, _ in sides]


class Faiss(Matcher):
    KIND = "faiss"
    TYPE = np.float32

    def limits(self):
        return {"matching": True}

    def name(self):
        import faiss

        return f"FAISS {faiss.__version__} IndexFlatL2, NumPy {np.__version__} (matching only)"

    def index(self, patterns):
        import faiss

        faiss.omp_set_num_threads(self.threads)
        index = faiss.IndexFlatL2(patterns.shape[1])
        index.add(patterns)
        return index

    def search(self, index, batch):
        squares, ids = index.search(batch, 1)
        return np.sqrt(np.maximum(squares[:, 0], 0)), ids[:, 0]


class Tree(Matcher):
    KIND = "tree"
    TYPE = np.float64

    def limits(self):
        return {"matching": True, "max_workspace": 16}  # a tree prunes nothing in wide spaces

    def name(self):
        import scipy

        return f"SciPy {scipy.__version__} cKDTree, NumPy {np.__version__} (matching only)"

    def index(self, patterns):
        from scipy.spatial import cKDTree

        return cKDTree(patterns)

    def search(self, index, batch):
        return index.query(batch, workers=self.threads)


if __name__ == "__main__":
    kind = {"faiss": Faiss, "tree": Tree}[sys.argv[1]]
    protocol.serve(lambda threads, device: kind(device))
