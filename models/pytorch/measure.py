#!/usr/bin/env python3
"""The operator beside vectorised eager PyTorch: rows per second through Python.

    PYTHONPATH=bench/peers python models/pytorch/measure.py [--library build/libfdqc.so]

n = d = 8, 1,000 + 1,000 patterns; in turns of a quarter of a second, the best
batch of each; eager is that of bench/peers/vectorised.py, which answers no
nearest patterns.
"""

import argparse
import time

import numpy as np
import torch
import validate
import vectorised

N, PATTERNS, TURNS, SECONDS = 8, 1000, 6, 0.25


def turn(judge, rows, size):
    """The best rows per second of a turn."""
    best, batches, i = 0.0, rows.split(size), 0
    until = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < until:
        judge(batches[i % len(batches)])
        best = max(best, size / (time.perf_counter() - start))
        i += 1
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/libfdqc.so")
    validate.load_library(parser.parse_args().library)
    torch.manual_seed(0)
    state_dict = {"state_real": 0.1 * torch.randn(N), "state_imag": 0.1 * torch.randn(N)}
    shapes = {0: (64, 2 * N), 3: (32, 64), 5: (1, 32)}
    for layer, shape in shapes.items():
        state_dict[f"risk_detector.{layer}.weight"] = torch.randn(shape) / shape[1] ** 0.5
        state_dict[f"risk_detector.{layer}.bias"] = torch.zeros(shape[0])
    for side in ("safe", "unsafe"):
        state_dict[f"{side}_patterns"] = torch.cat([torch.randn(PATTERNS, N), torch.zeros(PATTERNS, N)], 1)
    state_dict["pattern_counts"] = torch.tensor([PATTERNS, PATTERNS])
    rows = torch.randn(65536, N)

    operator = validate.Validator(state_dict)
    tensors = {name.replace("risk_detector.", "").replace(".", ""): t for name, t in state_dict.items()}
    tensors = {(k[1:] + k[0] if k[0].isdigit() else k): t for k, t in tensors.items()}
    policy = {"entropy_threshold": 0.7, "collapse_threshold": 0.85, "block_threshold": 0.8}
    eager = vectorised.Eager(torch.get_num_threads(), "cpu")
    eager.rows = rows
    eager.validator = vectorised.Validator(N, tensors, None, policy)
    eager.validator.learn(*(state_dict[f"{side}_patterns"][:, :N] for side in ("safe", "unsafe")))
    with torch.inference_mode():
        eager.tune()
        apart = np.abs(eager.judge(rows[:2048])[0].numpy() - operator.judge(rows[:2048])[0][:, 1].numpy()).max()
        print(f"{eager.name()}, {torch.get_num_threads()} threads; risks differ by {apart:.1e} at most")
        for size in (1, 64, 1024, 16384):
            rates = {"operator": 0.0, "eager": 0.0}
            for _ in range(TURNS):
                for name, judge in (("operator", operator.judge), ("eager", eager.judge)):
                    rates[name] = max(rates[name], turn(judge, rows, size))
            fast, slow = rates.values()
            print(f"B = {size:6,}: operator {fast:11,.0f} rows/s, eager {slow:9,.0f}, ratio {fast / slow:.1f}")


if __name__ == "__main__":
    main()
