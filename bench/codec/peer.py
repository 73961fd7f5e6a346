"""Times one operation of PyTorch on a checkpoint; prints the best seconds and the bytes by which resident memory grew.

usage: python peer.py load|mmap|save FILE ROUNDS
"""
import pathlib, sys, time
import torch

operation, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])


def status(field):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024


if operation == "save":
    value = {k: v.clone() for k, v in torch.load(path, weights_only=True).items()}
torch.load(sys.argv[4], weights_only=True)  # what is made at the first use
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
before, best = status("VmRSS"), float("inf")
for _ in range(rounds):
    start = time.perf_counter()
    if operation == "save":
        torch.save(value, path + ".out")
    else:
        value = torch.load(path, weights_only=True, mmap=operation == "mmap")
    best = min(best, time.perf_counter() - start)
    if operation != "save":
        del value
print(best, max(status("VmHWM") - before, 0))
