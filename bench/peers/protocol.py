"""The peers' end of the pipes: one JSON object a line in, one a line out.

A peer is a class with KIND, name(), setup(n, tensors, projection, policy,
threads) and judge(batch); what goes wrong ends the program. The protocol is
described in bench/program.go.
"""

import json
import math
import sys
import time

import numpy as np


def read_tensors(request):
    """name -> float32 array; of its own memory, because the file goes."""
    raw = np.fromfile(request["file"], dtype=np.float32)
    return {
        name: raw[offset : offset + math.prod(shape)].reshape(shape)
        for name, (offset, shape) in request["tensors"].items()
    }


class Peer:
    """What all peers do alike: batches walk through the rows, times are taken."""

    def __init__(self, device):
        self.device = device

    def hello(self, request):
        return {"kind": self.KIND, "name": self.name(), "device": self.device, **self.limits()}

    def limits(self):
        """What it is not asked beyond, and whether it only matches."""
        return {}

    def setup(self, request):
        self.prepare(read_tensors(request), request)
        return {}

    def run(self, request):
        size, count = request["size"], request["count"]
        whole = len(self.rows) // size
        times = np.empty(count)
        for i in range(count):
            first = i % whole * size
            batch = self.rows[first : first + size]
            start = time.perf_counter()
            self.judge(batch)
            times[i] = time.perf_counter() - start
        times.tofile(request["file"])
        return {}

    def answer(self, request):
        with open(request["file"], "wb") as file:
            for array in self.found(self.rows[: request["rows"]]):
                array.tofile(file)
        return {}

    def memory(self, request):
        return {"device_bytes": 0}


def serve(make):
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        if peer is None:
            peer = make(request["threads"], request["device"])
        print(json.dumps(getattr(peer, request["op"])(request)), flush=True)
