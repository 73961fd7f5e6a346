#!/usr/bin/env python3
"""The engine's kernels from PyTorch 2.11: fdqc::validate on a Python system's state.

    python validate.py [--library build/libfdqc.so] [--projections projections.pt] [--rows rows.npy] validator_state.pt

Judges the rows ([B, d] float32; without a file, some near the state's patterns)
and prints a line for each. Two lines are all that a program needs:

    torch.ops.load_library("build/libfdqc.so")  # of `make build`; wants libhwy.so.1 (Debian: libhwy1)
    scores, nearest, flags, row_status, state = torch.ops.fdqc.validate(...)

The arguments, float32 unless said, n the workspace dimension (2 to 1024), all
on one device:

    embeddings     list of [B_i, d_i], together B = 1 to 65,536 rows, d_i 1 to 4,096
    weights        list, one an entry of embeddings: [n, d_i]; torch.empty(0): d_i is n
    biases         list, likewise: [n]
    state_real     [slots, n], a state each; not changed
    loaded_real    [n], what a state starts anew from
    state_imag     [n]
    slots          [B] int64, the state that a row moves; None: all move 0
    row_flags      [B] uint8: 1 skip, 2 reset the slot, 4 never allow; None: 0
    risk_detector  list: 0.weight [64, 2n], 0.bias [64], 3.weight [32, 64],
                   3.bias [32], 5.weight [1, 32], 5.bias [1]
    safe_patterns, unsafe_patterns   [count, 2n], finite; count may be 0
    entropy_threshold, collapse_threshold, block_threshold   float
    tier           int, 0 (ALPHA) to 5 (OMEGA)
    safe_mode, require_human_approval, first_element   bool

What comes back:

    scores         [B, 10], columns as SCORES below
    nearest        [B, 2] int64, rows of safe_patterns and unsafe_patterns, or -1
    flags          [B] int32, bits as FLAGS below
    row_status     [B] int32: 0 judged, 1 skipped, 3 not finite, 4 no score; a row
                   that was not judged has NaN scores and the decision block
    state_real     [slots, n] for the next call: rows follow one another

A wrong argument is a ValueError that says what was expected. On the CPU it
computes on torch.get_num_threads() threads, and what it derives from patterns
and weights is kept for calls with the same numbers, so hand in the same tensors
again. It traces under torch.compile and has no gradient.
fdqc::validate_composite takes the same and computes in PyTorch's own operators.
"""

import argparse
import os
import sys

import torch

VERSION = "2.11.0"  # a C++ library belongs to one version of PyTorch
SCORES = (
    *("risk_score", "raw_risk", "base_risk", "entropy", "coherence", "novelty"),
    *("safe_similarity", "unsafe_similarity", "safe_distance", "unsafe_distance"),
)
FLAGS = (
    *("approved", "requires_approval", "requires_human_approval", "matched_safe", "matched_unsafe"),
    *("high_entropy", "low_coherence", "high_novelty", "allow", "review", "block"),
)


def load_library(path):
    """Makes torch.ops.fdqc, of this process's own LibTorch."""
    if torch.__version__.split("+")[0] != VERSION:
        raise RuntimeError(f"load {path}: PyTorch is {torch.__version__}, expected {VERSION}")
    torch.ops.load_library(os.path.abspath(path))


class Validator:
    """A state_dict of the Python system's validator, judged by the engine's kernels."""

    def __init__(self, state_dict, tier=2, safe_mode=True, require_human_approval=True, first_element=False):
        self.loaded = state_dict["state_real"]
        self.imag = state_dict["state_imag"]
        self.state = self.loaded[None].clone()
        self.detector = [state_dict[f"risk_detector.{i}.{part}"] for i in (0, 3, 5) for part in ("weight", "bias")]
        safe, unsafe = state_dict["pattern_counts"].long().tolist()
        self.patterns = (state_dict["safe_patterns"][:safe], state_dict["unsafe_patterns"][:unsafe])
        self.policy = (0.7, 0.85, 0.8, tier, safe_mode, require_human_approval, first_element)

    def judge(self, rows, projection=None):
        """rows [B, d], projection {weight [n, d], bias [n]} -> scores, nearest, flags, row_status."""
        weight, bias = (projection["weight"], projection["bias"]) if projection else (torch.empty(0), torch.empty(0))
        *verdicts, self.state = torch.ops.fdqc.validate(
            [rows], [weight], [bias], self.state, self.loaded, self.imag, None, None,
            self.detector, *self.patterns, *self.policy,
        )  # fmt: skip
        return verdicts


def near(patterns, n):
    """Some rows beside patterns of both sides, and some beside none."""
    generator = torch.Generator().manual_seed(0)
    rows = [side[:3, :n] + 0.05 * torch.randn(min(3, len(side)), n, generator=generator) for side in patterns]
    return torch.cat([*rows, torch.randn(3, n, generator=generator)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/libfdqc.so")
    parser.add_argument("--projections")
    parser.add_argument("--rows")
    parser.add_argument("state")
    arguments = parser.parse_args()

    load_library(arguments.library)
    validator = Validator(torch.load(arguments.state, weights_only=True))
    n = len(validator.loaded)
    rows, projection = near(validator.patterns, n), None
    if arguments.rows:
        import numpy as np

        rows = torch.from_numpy(np.load(arguments.rows))
    if rows.shape[1] != n:
        projection = torch.load(arguments.projections, weights_only=True)[rows.shape[1]]

    scores, nearest, flags, _ = validator.judge(rows, projection)
    for i, (score, pattern, bits) in enumerate(zip(scores.tolist(), nearest.tolist(), flags.tolist(), strict=True)):
        names = ", ".join(name for bit, name in enumerate(FLAGS) if bits >> bit & 1)
        print(f"row {i}: risk_score {score[0]:.3f}, nearest {pattern[0]} and {pattern[1]}: {names}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
