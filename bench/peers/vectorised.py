#!/usr/bin/env python3
"""The validation of a batch as a PyTorch specialist writes it, under measurement.

    python vectorised.py eager | compile

Vectorised over the batch, in inference mode, constants folded when they are
loaded: the state's recurrence is two triangular products, the nearest pattern
is addmm and amin over tiles that stay in the cache, the tile's size is tried
out. Under torch.compile larger batches go in parts of the size that it is
fastest at. Formulas: validator specification, sections 2 and 3. It answers no
nearest pattern's id, which the reference has not either.
"""

import math
import sys
import time

import protocol
import torch

SCAN = 128  # rows of a block of the recurrence: 0.9^128 is 1e-6
PART = 1024  # rows of a compiled batch at most


class Validator:
    def __init__(self, n, tensors, projection, policy):
        self.n, self.policy = n, policy
        self.device = tensors["state_real"].device
        self.state = tensors["state_real"].clone()
        self.imag_squared = tensors["state_imag"].square()
        weight, bias = tensors["weight0"], tensors["bias0"]
        # state_imag never moves: its part of the first layer is a constant.
        self.layer0 = (bias + weight[:, n:] @ tensors["state_imag"], weight[:, :n].t().contiguous())
        self.layer3 = (tensors["bias3"], tensors["weight3"].t().contiguous())
        self.layer5 = (tensors["bias5"], tensors["weight5"].t().contiguous())
        self.projection = projection
        self.powers = {}
        self.tile = 256
        self.scratch = None

    def project(self, x):
        return x if self.projection is None else torch.addmm(self.projection[0], x, self.projection[1])

    def learn(self, safe, unsafe):
        self.sides = (safe.shape[0], unsafe.shape[0])
        patterns = self.project(torch.cat([safe, unsafe]))
        self.norms = patterns.square().sum(1)  # the imaginary half is zero
        self.factors = patterns.t().mul(-2).contiguous()

    def triangle(self, rows, decay):
        """L with L[i, j] = decay^(i-j) for j <= i, and decay^(i+1)."""
        key = (rows, decay)
        if key not in self.powers:
            steps = torch.arange(rows, dtype=torch.float64, device=self.device)
            lower = torch.pow(decay, (steps[:, None] - steps[None, :]).clamp_min(0)).tril()
            self.powers[key] = (lower.float(), torch.pow(decay, steps + 1).float()[:, None])
        return self.powers[key]

    def scan(self, z, state):
        """The states after each row, from the one before: s <- 0.9 s + 0.1 z."""
        rows = z.shape[0]
        if rows <= SCAN or rows % SCAN:
            lower, decay = self.triangle(rows, 0.9)
            states = torch.mm(lower, z).mul_(0.1).addcmul_(decay, state)
        else:  # blocks by themselves, then the recurrence of the blocks' last rows
            blocks = rows // SCAN
            lower, decay = self.triangle(SCAN, 0.9)
            local = torch.matmul(lower, z.view(blocks, SCAN, self.n)).mul_(0.1)
            across, across_decay = self.triangle(blocks, 0.9**SCAN)
            ends = torch.mm(across, local[:, -1]).addcmul_(across_decay, state)
            starts = torch.cat([state[None], ends[:-1]])
            states = local.addcmul_(decay, starts[:, None]).view(rows, self.n)
        return states

    def distances(self, z):
        rows, (safe, unsafe) = z.shape[0], self.sides
        if self.tile is None:
            expanded = torch.addmm(self.norms, z, self.factors)
            squares = torch.stack([expanded[:, :safe].amin(1), expanded[:, safe:].amin(1)])
            return (squares + z.square().sum(1)).clamp_min(0).sqrt()
        squares = torch.empty(2, rows, device=self.device)
        tile = min(self.tile, rows)
        if self.scratch is None or self.scratch.shape[0] < tile:
            self.scratch = torch.empty(tile, safe + unsafe, device=self.device)
        for first in range(0, rows, tile):
            part = z[first : first + tile]
            expanded = torch.addmm(self.norms, part, self.factors, out=self.scratch[: part.shape[0]])
            torch.amin(expanded[:, :safe], 1, out=squares[0, first : first + tile])
            torch.amin(expanded[:, safe:], 1, out=squares[1, first : first + tile])
        return squares.add_(z.square().sum(1)).clamp_min_(0).sqrt_()

    def judge(self, x, state):
        """The state after the batch, and what is known of its rows."""
        n, policy = self.n, self.policy
        z = self.project(x)
        real = self.scan(z, state)
        amplitude = real.square().add_(self.imag_squared).sqrt_()
        m = amplitude / (amplitude.sum(1, keepdim=True) + 1e-8)
        squared = m.square()
        total = squared.sum(1)
        p = squared / (total[:, None] + 1e-8)
        entropy = (p * (p + 1e-8).log_()).sum(1).mul_(-1 / math.log(n))
        coherence = (m.sum(1).square_() - total).mul_(1 / (n * (n - 1)))
        hidden = torch.addmm(self.layer0[0], real, self.layer0[1]).relu_()
        hidden = torch.addmm(self.layer3[0], hidden, self.layer3[1]).relu_()
        base_risk = torch.addmm(self.layer5[0], hidden, self.layer5[1]).sigmoid_()[:, 0]

        distance = self.distances(z)
        similarity = (distance + 1).reciprocal()
        safe, unsafe = similarity
        matched = similarity > 0.5
        matched_safe, matched_unsafe = matched
        adjustment = torch.where(safe > unsafe, 0.5, torch.where(unsafe > safe, 1.2, 1.0))
        adjustment = torch.where(matched_safe & ~matched_unsafe, 0.3, adjustment)
        adjustment = torch.where(matched_unsafe & ~matched_safe, 1.5, adjustment)
        risk = base_risk * adjustment
        novelty = (distance[0] * 0.5).clamp_max_(1)

        near = safe > 0.3
        entropy_limit = torch.where(matched_safe, 1.1, torch.where(near, 0.98, policy["entropy_threshold"]))
        coherence_limit = torch.where(matched_safe, 0.0, torch.where(near, 0.1, policy["collapse_threshold"]))
        high_entropy = entropy > entropy_limit
        low_coherence = coherence < coherence_limit
        high_novelty = (novelty > 0.9) & ~matched_safe
        floor = torch.where(high_entropy, torch.where(matched_safe, 0.3, 0.8), 0.0)
        floor = torch.maximum(floor, torch.where(low_coherence, torch.where(matched_safe, 0.3, 0.7), 0.0))
        floor = torch.maximum(floor, torch.where(high_novelty, 0.6, 0.0))
        risk = torch.maximum(risk, floor)
        violated = high_entropy | low_coherence | high_novelty
        violated = violated & ~(matched_safe & (risk < 0.5))
        requires_approval = (risk > 0.5) | violated
        approved = ~requires_approval  # tier GAMMA
        block = ~approved & (risk > policy["block_threshold"])
        flags = (matched, violated, approved, block)
        return real[-1].clone(), (risk, risk.clamp(0, 1), base_risk, entropy, coherence, novelty, similarity, flags)


class Vectorised(protocol.Peer):
    def __init__(self, threads, device):
        super().__init__(device)
        torch.set_num_threads(threads)

    def prepare(self, tensors, request):
        torch.set_num_threads(request["threads"])
        self.rows = torch.from_numpy(tensors["rows"])
        tensors = {name: torch.from_numpy(values).to(self.device) for name, values in tensors.items() if name != "rows"}
        projection = None
        if "projection_weight" in tensors:
            projection = (tensors["projection_bias"], tensors["projection_weight"].t().contiguous())
        self.validator = Validator(request["n"], tensors, projection, request["policy"])
        self.validator.learn(tensors["safe"], tensors["unsafe"])
        self.tune()

    def to_host(self, verdicts):
        """Rows come from the host and verdicts go back to it."""
        if self.device == "cpu":
            return verdicts
        *scores, similarity, flags = verdicts
        torch.stack(flags[1:]).cpu()
        torch.cat([torch.stack(scores[1:]), similarity, flags[0]]).cpu()
        return (scores[0].cpu(),)

    def found(self, batch):
        return [self.judge(batch)[0].numpy()]

    def memory(self, request):
        return {"device_bytes": 0 if self.device == "cpu" else torch.cuda.memory_reserved()}


class Eager(Vectorised):
    KIND = "eager"

    def limits(self):
        return {"max_patterns_a_side": 100_000}  # a tile of distances to more does not fit

    def name(self):
        return f"PyTorch {torch.__version__} eager, vectorised, Python {sys.version.split()[0]}, on {self.device}"

    def tune(self):
        rows = self.rows[: 4096 if self.validator.sides[0] <= 10_000 else 64].to(self.device)
        timings = {}
        for tile in (64, 128, 256, 512, 1024, 2048):
            if tile > len(rows):
                break
            self.validator.tile, self.validator.scratch = tile, None
            for _ in range(2):
                start = time.perf_counter()
                self.validator.distances(self.validator.project(rows)).cpu()
                timings[tile] = time.perf_counter() - start
        self.validator.tile, self.validator.scratch = min(timings, key=timings.get), None

    def judge(self, batch):
        self.validator.state, verdicts = self.validator.judge(batch.to(self.device), self.validator.state)
        return self.to_host(verdicts)


class Compiled(Vectorised):
    KIND = "compile"

    def name(self):
        return f"PyTorch {torch.__version__} torch.compile, Python {sys.version.split()[0]}, on {self.device}"

    def tune(self):
        torch._dynamo.reset()
        torch._dynamo.config.recompile_limit = 64  # one a batch size
        for rows in {SCAN, PART, PART // SCAN}:  # constants, made outside
            self.validator.triangle(rows, 0.9)
            self.validator.triangle(rows, 0.9**SCAN)
        self.validator.tile = None
        self.step = torch.compile(self.validator.judge, fullgraph=True, dynamic=False)

    def judge(self, batch):
        parts = []
        for part in batch.to(self.device).split(PART):
            if len(part) <= SCAN:
                self.validator.triangle(len(part), 0.9)
            self.validator.state, verdicts = self.step(part, self.validator.state)
            parts.append(verdicts)
        if len(parts) == 1:
            return self.to_host(parts[0])
        *scores, similarity, flags = zip(*parts, strict=True)
        scores = [torch.cat(score) for score in scores]
        return self.to_host((*scores, torch.cat(similarity, 1), [torch.cat(f, -1) for f in zip(*flags, strict=True)]))


if __name__ == "__main__":
    kind = {"eager": Eager, "compile": Compiled}[sys.argv[1]]
    with torch.inference_mode():
        protocol.serve(kind)
