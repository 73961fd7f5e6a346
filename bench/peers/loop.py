#!/usr/bin/env python3
"""A validator as the reference is one: an nn.Module that judges one action at
a time and answers a Python object. Formulas: validator specification, section 2.
"""

import math
import sys
from dataclasses import dataclass, field

import numpy as np
import protocol
import torch
from torch import nn


@dataclass
class Verdict:
    approved: bool
    risk: float
    entropy: float
    coherence: float
    novelty: float
    requires_approval: bool
    reasons: list = field(default_factory=list)


class Validator(nn.Module):
    def __init__(self, n, tensors, projection, policy):
        super().__init__()
        self.n, self.policy = n, policy
        self.risk_detector = nn.Sequential(
            nn.Linear(2 * n, 64),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, 1),
            nn.Sigmoid(),
        )
        for layer in (0, 3, 5):
            self.risk_detector[layer].weight.data = tensors[f"weight{layer}"]
            self.risk_detector[layer].bias.data = tensors[f"bias{layer}"]
        self.register_buffer("state_real", tensors["state_real"].clone())
        self.register_buffer("state_imag", tensors["state_imag"].clone())
        self.projection = None
        if projection is not None:
            weight, bias = projection
            self.projection = nn.Linear(weight.shape[1], n)
            self.projection.weight.data, self.projection.bias.data = weight, bias
        self.eval()

    def learn(self, safe, unsafe):
        for name, rows in (("safe", safe), ("unsafe", unsafe)):
            z = rows if self.projection is None else self.projection(rows)
            self.register_buffer(f"{name}_patterns", torch.cat([z, torch.zeros_like(z)], 1))

    def project(self, x):
        return x if self.projection is None else self.projection(x)

    def measures(self):
        amplitude = torch.abs(torch.complex(self.state_real, self.state_imag))
        m = amplitude / (amplitude.sum() + 1e-8)
        p = m**2 / ((m**2).sum() + 1e-8)
        entropy = -(p * torch.log(p + 1e-8)).sum() / math.log(self.n)
        outer = torch.outer(m, m)
        coherence = (outer.sum() - torch.diagonal(outer).sum()) / (self.n * (self.n - 1))
        return entropy.item(), coherence.item()

    def similarity(self, patterns, z):
        query = torch.cat([z, torch.zeros_like(z)])
        distance = torch.norm(patterns - query, dim=1).min().item()
        return 1 / (1 + distance), distance

    def forward(self, x):
        policy = self.policy
        z = self.project(x)
        self.state_real = 0.9 * self.state_real + 0.1 * z
        entropy, coherence = self.measures()
        base_risk = self.risk_detector(torch.cat([self.state_real, self.state_imag])).item()
        safe, safe_distance = self.similarity(self.safe_patterns, z)
        unsafe, _ = self.similarity(self.unsafe_patterns, z)
        matched_safe, matched_unsafe = safe > 0.5, unsafe > 0.5
        if matched_safe != matched_unsafe:
            adjustment = 0.3 if matched_safe else 1.5
        else:
            adjustment = 0.5 if safe > unsafe else 1.2 if unsafe > safe else 1.0
        risk = base_risk * adjustment
        novelty = min(safe_distance / 2, 1.0)
        entropy_limit, coherence_limit = policy["entropy_threshold"], policy["collapse_threshold"]
        if matched_safe:
            entropy_limit, coherence_limit = 1.1, 0.0
        elif safe > 0.3:
            entropy_limit, coherence_limit = 0.98, 0.1
        reasons = []
        if entropy > entropy_limit:
            reasons.append(f"High entropy: {entropy:.3f} > {entropy_limit:.2f}")
            risk = max(risk, 0.3 if matched_safe else 0.8)
        if coherence < coherence_limit:
            reasons.append(f"Low coherence: {coherence:.3f} < {coherence_limit:.2f}")
            risk = max(risk, 0.3 if matched_safe else 0.7)
        if novelty > 0.9 and not matched_safe:
            reasons.append(f"High novelty: {novelty:.3f}")
            risk = max(risk, 0.6)
        if matched_safe and risk < 0.5:
            reasons = []
        requires_approval = risk > 0.5 or bool(reasons)
        # Tier GAMMA.
        return Verdict(not requires_approval, risk, entropy, coherence, novelty, requires_approval, reasons)


class Loop(protocol.Peer):
    KIND = "loop"

    def name(self):
        return f"PyTorch {torch.__version__}, a loop over actions, Python {sys.version.split()[0]}"

    def limits(self):
        return {"max_batch": 64}  # its rate is the same at every size

    def prepare(self, tensors, request):
        torch.set_num_threads(request["threads"])
        tensors = {name: torch.from_numpy(values) for name, values in tensors.items()}
        projection = None
        if "projection_weight" in tensors:
            projection = (tensors["projection_weight"], tensors["projection_bias"])
        self.validator = Validator(request["n"], tensors, projection, request["policy"])
        self.validator.learn(tensors["safe"], tensors["unsafe"])
        self.rows = tensors["rows"]

    def judge(self, batch):
        return [self.validator(row) for row in batch]

    def found(self, batch):
        return [np.array([verdict.risk for verdict in self.judge(batch)], dtype=np.float32)]


if __name__ == "__main__":
    with torch.no_grad():
        protocol.serve(lambda threads, device: Loop(device))
