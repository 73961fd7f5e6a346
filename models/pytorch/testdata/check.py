#!/usr/bin/env python3
"""The operator in PyTorch, held to the specification and to its composite.

    PYTHONPATH=models/pytorch python check.py LIBRARY
"""

import os
import sys
import threading
import unittest
import warnings

import numpy as np
import torch
import validate

LIBRARY = sys.argv.pop(1)
SKIP, RESET, NO_ALLOW = 1, 2, 4
NAMES = (
    *("embeddings", "weights", "biases", "state_real", "loaded_real", "state_imag", "slots", "row_flags"),
    *("risk_detector", "safe_patterns", "unsafe_patterns", "entropy_threshold", "collapse_threshold"),
    *("block_threshold", "tier", "safe_mode", "require_human_approval", "first_element"),
)
FLAG = {name: 1 << bit for bit, name in enumerate(validate.FLAGS)}


def kernel(arguments):
    return torch.ops.fdqc.validate(*arguments.values())


def composite(arguments):
    return torch.ops.fdqc.validate_composite(*arguments.values())


def case(n, widths=(), safe=40, unsafe=30, rows=100, slots=1, spread=0.6, seed=0):
    """Arguments by name: rows of each width, half of them near a pattern."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    sides = [torch.cat([normal(count, n) * spread, torch.zeros(count, n)], 1) for count in (safe, unsafe)]
    embeddings, weights, biases = [], [], []
    for width in widths or (n,):
        x = normal(rows, width) * spread
        near = torch.cat(sides)[:, :n]
        if width == n and len(near):
            half = len(x[::2])
            x[::2] = near[torch.randint(len(near), (half,), generator=draw)] + 0.3 * spread * x[::2] / n**0.5
        embeddings.append(x)
        weights.append(torch.empty(0) if width == n else normal(n, width) / width**0.5)
        biases.append(torch.empty(0) if width == n else normal(n) * 0.1)
    detector = []
    for out, fan in ((64, 2 * n), (32, 64), (1, 32)):
        detector += [normal(out, fan) / fan**0.5, normal(out) / fan**0.5]
    state = 0.1 * normal(slots, n)
    values = (embeddings, weights, biases, state, 0.1 * normal(n), 0.1 * normal(n), None, None, detector, *sides)
    return dict(zip(NAMES, (*values, 0.7, 0.85, 0.8, 2, False, False, False), strict=True))


class Specification:
    """Validator specification, sections 2 and 3, in float64, row by row.

    clear: [B], no comparison is so close that float32 may decide it otherwise.
    """

    def __init__(self, arguments):
        a = dict(arguments)
        for name in ("embeddings", "weights", "biases", "risk_detector"):
            a[name] = [tensor.detach().double().numpy() for tensor in a[name]]
        for name in ("state_real", "loaded_real", "state_imag", "safe_patterns", "unsafe_patterns"):
            a[name] = a[name].detach().double().numpy()
        self.a, self.n = a, a["state_real"].shape[1]
        self.state = a["state_real"].copy()
        count = sum(map(len, a["embeddings"]))
        slots = a["slots"].tolist() if a["slots"] is not None else [0] * count
        row_flags = a["row_flags"].tolist() if a["row_flags"] is not None else [0] * count
        self.scores = np.full((count, 10), np.nan)
        self.nearest = np.full((count, 2), -1)
        self.flags = np.full(count, FLAG["requires_approval"] | FLAG["requires_human_approval"] | FLAG["block"])
        self.status = np.zeros(count, int)
        self.clear = np.ones(count, bool)
        i = 0
        for x, weight, bias in zip(a["embeddings"], a["weights"], a["biases"], strict=True):
            for row in x:
                z = weight @ row + bias if weight.size else row
                # As the engine sees it: the workspace is float32.
                self.row(i, z.astype(np.float32).astype(float), slots[i], row_flags[i])
                i += 1

    def row(self, i, z, slot, flags):
        if flags & RESET:
            self.state[slot] = self.a["loaded_real"]
        if flags & SKIP or not np.isfinite(z).all():
            self.status[i] = 1 if flags & SKIP else 3
            return
        self.margin = np.inf
        u = np.full(self.n, z[0]) if self.a["first_element"] else z
        self.state[slot] = 0.9 * self.state[slot] + 0.1 * u
        self.scores[i], self.nearest[i], self.flags[i] = self.judge(z, self.state[slot], flags & NO_ALLOW)
        self.clear[i] = self.margin > 1

    def above(self, value, bound, tolerance=2e-5):
        self.margin = min(self.margin, abs(value - bound) / tolerance)
        return value > bound

    def match(self, z, patterns):
        if not len(patterns):
            return np.inf, -1, 0.0
        squared = ((np.concatenate([z, np.zeros_like(z)]) - patterns) ** 2).sum(1)
        index = int(squared.argmin())
        distance = squared[index] ** 0.5
        return distance, index, 1 / (1 + distance)

    def judge(self, z, real, no_allow):
        a, n = self.a, self.n
        amplitude = np.hypot(real, a["state_imag"])
        m = amplitude / (amplitude.sum() + 1e-8)
        p = m**2 / ((m**2).sum() + 1e-8)
        entropy = -(p * np.log(p + 1e-8)).sum() / np.log(n)
        coherence = (m.sum() ** 2 - (m**2).sum()) / (n * (n - 1))
        w0, b0, w3, b3, w5, b5 = a["risk_detector"]
        hidden = np.maximum(w0 @ np.concatenate([real, a["state_imag"]]) + b0, 0)
        hidden = np.maximum(w3 @ hidden + b3, 0)
        base = 1 / (1 + np.exp(-(w5 @ hidden + b5)[0]))
        safe_distance, safe_index, safe = self.match(z, a["safe_patterns"])
        unsafe_distance, unsafe_index, unsafe = self.match(z, a["unsafe_patterns"])
        near = [self.above(safe, 0.5), self.above(unsafe, 0.5)]
        if safe_index < 0 and unsafe_index < 0:
            adjustment = 1.0
        elif near == [True, False]:
            adjustment = 0.3
        elif near == [False, True]:
            adjustment = 1.5
        elif safe == unsafe:
            adjustment = 1.0
        else:
            adjustment = 0.5 if self.above(safe, unsafe) else 1.2
        novelty = 0.5 if safe_index < 0 else min(safe_distance / 2, 1)
        limits = a["entropy_threshold"], a["collapse_threshold"]
        if near[0]:
            limits = 1.1, 0.0
        elif self.above(safe, 0.3):
            limits = 0.98, 0.1
        risk = base * adjustment
        flags = 0
        if self.above(entropy, limits[0]):
            flags |= FLAG["high_entropy"]
            risk = max(risk, 0.3 if near[0] else 0.8)
        if not near[0] and not self.above(coherence, limits[1], 1e-5 / (n * (n - 1))):
            flags |= FLAG["low_coherence"]
            risk = max(risk, 0.7)
        if self.above(novelty, 0.9) and not near[0]:
            flags |= FLAG["high_novelty"]
            risk = max(risk, 0.6)
        if near[0] and not self.above(risk, 0.5):
            flags = 0
        risk = float(np.float32(risk))  # thresholds are float32, and so is what a violation sets
        wants = bool(flags) or (risk > 0.5 and self.above(risk, 0.5))
        human = wants or a["require_human_approval"]
        tier, clean = a["tier"], not flags
        if tier <= 1:
            approved = not self.above(risk, 0.1)
        elif tier == 2:
            approved = risk <= 0.5 and clean
        else:
            approved = tier == 3 and not self.above(risk, 0.3) and clean
        if approved and not a["safe_mode"] and not human and not no_allow:
            decision = "allow"
        elif tier >= 4 or (not approved and risk > np.float32(a["block_threshold"])):
            decision = "block"
        else:
            decision = "review"
        given = {"approved": approved, "requires_approval": wants, "requires_human_approval": human, decision: True}
        given |= {"matched_safe": near[0], "matched_unsafe": near[1]}
        flags |= sum(FLAG[name] for name, holds in given.items() if holds)
        scores = (min(max(risk, 0), 1), risk, base, entropy, coherence, novelty, safe, unsafe)
        return (*scores, safe_distance, unsafe_distance), (safe_index, unsafe_index), flags


CASES = {
    "n = d = 8": {"n": 8},
    "n = 2": {"n": 2},
    "n = 12, odd counts": {"n": 12, "safe": 37, "unsafe": 1},
    "n = d = 384": {"n": 384, "spread": 0.1, "rows": 40},
    "d = 768 to 8": {"n": 8, "widths": (768,)},
    "d = 5 to 16": {"n": 16, "widths": (5,)},
    "three widths in one batch": {"n": 8, "widths": (8, 33, 8)},
    "no safe pattern": {"n": 8, "safe": 0},
    "no unsafe pattern": {"n": 8, "unsafe": 0},
    "no pattern": {"n": 8, "safe": 0, "unsafe": 0},
    "one row": {"n": 8, "rows": 1},
    "1,000 + 1,000 patterns": {"n": 8, "safe": 1000, "unsafe": 1000, "rows": 500},
}
POLICIES = [
    dict(zip(("tier", "safe_mode", "require_human_approval", "first_element"), values, strict=True))
    for values in (
        (0, False, False, False),
        (1, False, False, True),
        (2, False, False, False),
        (3, True, False, False),
        (4, False, True, False),
        (5, True, True, True),
    )
]


class Operator(unittest.TestCase):
    def same(self, got, want, tolerance=0.0, rows=slice(None)):
        """nearest and row_status exactly, numbers within tolerance."""
        for name, g, w in zip(("scores", "nearest", "flags", "row_status", "state_real"), got, want, strict=True):
            g, w = (g, w) if name == "state_real" else (g[rows], w[rows])
            torch.testing.assert_close(g, w, rtol=0, atol=tolerance, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}")

    def meets_specification(self, arguments, got=None):
        want = Specification(arguments)
        scores, nearest, flags, status, state = got or kernel(arguments)
        np.testing.assert_array_equal(status, want.status)
        np.testing.assert_array_equal(nearest, want.nearest)
        np.testing.assert_allclose(state, want.state, rtol=0, atol=2e-6)
        # What is compared with nothing is right on every row.
        np.testing.assert_allclose(scores[:, 2:], want.scores[:, 2:], rtol=1e-5, atol=1e-5)
        self.assertGreater(want.clear.mean(), 0.9, "hardly a row is clear")
        np.testing.assert_allclose(scores[want.clear, :2], want.scores[want.clear, :2], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(flags[want.clear], want.flags[want.clear])

    def refuses(self, words, **changed):
        for compute in (kernel, composite):
            with self.assertRaisesRegex(ValueError, words):
                compute(case(8) | changed)

    def test_is_the_specification_and_the_composite(self):
        for name, shape in CASES.items():
            for policy in POLICIES:
                with self.subTest(name, **policy):
                    arguments = case(**shape) | policy
                    before = arguments["state_real"].clone()
                    got = kernel(arguments)
                    self.meets_specification(arguments, got)
                    self.same(got, composite(arguments), 2e-6)
                    self.assertTrue(torch.equal(arguments["state_real"], before), "the argument moved")

    def test_slots_flags_and_rows_that_are_not_finite(self):
        arguments = case(8, rows=300, slots=7)
        draw = torch.Generator().manual_seed(1)
        arguments["slots"] = torch.randint(7, (300,), generator=draw)
        arguments["row_flags"] = torch.randint(8, (300,), generator=draw).to(torch.uint8)
        for row, bad in ((3, np.nan), (50, np.inf), (299, -np.inf)):
            arguments["embeddings"][0][row, row % 8] = bad
        got = kernel(arguments)
        self.assertEqual(set(got[3].tolist()), {0, 1, 3})
        self.meets_specification(arguments, got)
        self.same(got, composite(arguments), 2e-6)

    def test_any_split_gives_the_same(self):
        arguments = case(8, safe=200, unsafe=100, rows=65536)
        whole = kernel(arguments)
        for size in (1, 100, 5000):
            state, parts = arguments["state_real"], []
            for rows in arguments["embeddings"][0][: 300 * size].split(size):
                *part, state = kernel(arguments | {"embeddings": [rows], "state_real": state})
                parts.append(part)
            together = [torch.cat(part) for part in zip(*parts, strict=True)]
            self.same([*together, whole[4]], whole, rows=slice(len(together[0])))

    def test_tensors_of_any_strides(self):
        arguments = case(8, widths=(40,))
        want = kernel(arguments)

        def strided(value):
            if isinstance(value, list):
                return [strided(v) for v in value]
            if not isinstance(value, torch.Tensor) or not value.numel():
                return value
            wide = torch.full((*value.shape, 3), torch.nan)
            wide[..., 1] = value
            return wide[..., 1]

        odd = {name: strided(value) for name, value in arguments.items()}
        self.assertFalse(odd["safe_patterns"].is_contiguous())
        self.same(kernel(odd), want)
        self.same(composite(odd), want, 2e-6)
        turned = arguments["weights"][0].t().contiguous().t()
        self.same(kernel(arguments | {"weights": [turned]}), want)

    def test_wrong_arguments_are_named(self):
        good = case(8)
        x, real, safe = good["embeddings"][0], good["state_real"], good["safe_patterns"]
        self.refuses("embeddings not float32", embeddings=[x.double()])
        self.refuses("embeddings not float32", embeddings=[x.half()])
        self.refuses("embeddings 0 are not", embeddings=[x[0]])
        self.refuses("a segment of no rows", embeddings=[x[:0]])
        self.refuses("a batch of 65537 rows", embeddings=[x[:1].expand(65537, 8)])
        self.refuses("rows of width 5 have no projection", embeddings=[x[:, :5]])
        self.refuses("1 embeddings, 2 weights", weights=good["weights"] * 2)
        self.refuses("safe_patterns is not float32", safe_patterns=safe.double())
        self.refuses("unsafe_patterns is not float32", unsafe_patterns=safe[:, :8])
        self.refuses("a pattern is not finite", safe_patterns=safe / 0)
        self.refuses("state_real is not float32", state_real=real.double())
        self.refuses("state_real is not", state_real=real[0])
        self.refuses("state_imag has the shape", state_imag=real)
        self.refuses("risk_detector has 5", risk_detector=good["risk_detector"][:5])
        self.refuses("a risk_detector tensor is not", risk_detector=[t.double() for t in good["risk_detector"]])
        self.refuses("slots is not", slots=torch.zeros(100, dtype=torch.int32))
        self.refuses("slot 1 of row 99", slots=torch.arange(100) // 99)
        self.refuses("slot -1 of row 0", slots=-torch.ones(100, dtype=torch.int64))
        self.refuses("row_flags is not", row_flags=torch.zeros(99, dtype=torch.uint8))
        self.refuses("flags 8 of row 0 are unknown", row_flags=torch.full((100,), 8, dtype=torch.uint8))
        self.refuses("tier 6 is not 0 to 5", tier=6)
        self.refuses("threshold is not finite", entropy_threshold=np.nan)
        with self.assertRaises(RuntimeError):  # PyTorch's own words
            kernel(good | {"tier": "GAMMA"})

    def test_changes_in_place_are_seen(self):
        """By each way that PyTorch knows of or does not."""

        def through_numpy(tensor, value):
            tensor.numpy()[...] = value

        def through_data(tensor, value):
            tensor.data.copy_(torch.as_tensor(value))

        def plainly(tensor, value):
            tensor.copy_(torch.as_tensor(value))

        for mode in (torch.enable_grad, torch.inference_mode):
            for change in (plainly, through_numpy, through_data):
                with self.subTest(mode=mode.__name__, change=change.__name__), mode():
                    arguments = case(8, widths=(8, 20))
                    kernel(arguments)
                    x = arguments["embeddings"][0]
                    row = torch.cat([x[1], torch.zeros(8)])
                    for side, name in enumerate(("safe_patterns", "unsafe_patterns")):
                        self.assertNotEqual(kernel(arguments)[1][1, side], 17)
                        change(arguments[name][17], row.numpy())
                        self.assertEqual(kernel(arguments)[1][1, side], 17, name)
                    for tensors, place in (("risk_detector", 5), ("risk_detector", 2), ("weights", 1), ("biases", 1)):
                        before = kernel(arguments)
                        tensor = arguments[tensors][place]
                        change(tensor, tensor.numpy() + 1)
                        after = kernel(arguments)
                        self.assertFalse(torch.equal(before[0], after[0]), f"{tensors} {place}")
                        self.same(after, composite(arguments), 2e-6)

    def test_many_memories_in_turns(self):
        cases = [case(8, safe=10 + i, unsafe=30, seed=i) for i in range(12)]
        wanted = [composite(arguments) for arguments in cases]
        for _ in range(3):
            for arguments, want in zip(cases, wanted, strict=True):
                self.same(kernel(arguments), want, 2e-6)

    def test_a_large_memory_is_matched_by_its_tree(self):
        arguments = case(4, safe=20000, unsafe=20000, rows=64, spread=1.0)
        want = composite(arguments)
        for _ in range(200):  # the tree is taken into use on the way
            self.same(kernel(arguments), want, 2e-6)

    def test_any_threads_give_the_same(self):
        arguments = case(8, safe=300, unsafe=200, rows=2000)
        others = [case(8, safe=300, unsafe=200, rows=500, seed=seed) for seed in range(1, 5)]
        threads = torch.get_num_threads()
        wanted = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            wanted.append(kernel(arguments))
            self.same(wanted[-1], wanted[0])
        torch.set_num_threads(threads)
        composite(arguments)
        wanted_others = [kernel(other) for other in others]
        failures = []

        def work(i):
            try:
                self.assertEqual(torch.get_num_threads(), threads, "PyTorch's threads were changed")
                for _ in range(20):
                    self.same(kernel(others[i]), wanted_others[i])
                    self.same(kernel(arguments), wanted[0])
            except BaseException as error:
                failures.append(error)

        working = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()
        if failures:
            raise failures[0]

    def test_a_forked_process_computes(self):
        arguments = case(8, rows=5000)
        want = kernel(arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            torch.set_num_threads(1)  # as DataLoader's workers do
            os._exit(0 if torch.equal(kernel(arguments)[0], want[0]) else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_shapes_propagate(self):
        arguments = case(8, widths=(8, 40), slots=3)
        torch.library.opcheck(torch.ops.fdqc.validate.default, tuple(arguments.values()))
        quick = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(torch.ops.fdqc.validate_composite.default, tuple(arguments.values()), test_utils=quick)
        want = kernel(arguments)
        got = kernel({
            name: [t.to("meta") for t in value] if isinstance(value, list)
            else value.to("meta") if isinstance(value, torch.Tensor) else value
            for name, value in arguments.items()
        })  # fmt: skip
        self.assertEqual([(g.shape, g.dtype) for g in got], [(w.shape, w.dtype) for w in want])

        def risky(embeddings):
            scores, *_ = kernel(arguments | {"embeddings": [embeddings, arguments["embeddings"][1]]})
            return scores[:, 0] * 2

        compiled = torch.compile(risky, fullgraph=True, dynamic=True, backend="aot_eager")
        for rows in (100, 37):
            x = arguments["embeddings"][0][:rows]
            self.assertTrue(torch.equal(compiled(x), risky(x)))

    def test_there_is_no_gradient(self):
        arguments = case(8)
        arguments["embeddings"][0].requires_grad_()
        arguments["risk_detector"] = [t.requires_grad_() for t in arguments["risk_detector"]]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for compute in (kernel, composite):
                self.assertFalse(any(tensor.requires_grad for tensor in compute(arguments)))

    def test_it_is_this_process_s_libtorch(self):
        with open("/proc/self/maps", encoding="utf-8") as maps:
            files = {line.split()[-1] for line in maps}
        folder = os.path.join(os.path.dirname(torch.__file__), "lib")
        for name in ("libtorch_cpu.so", "libc10.so"):
            found = {file for file in files if os.path.basename(file) == name}
            self.assertEqual(found, {os.path.join(folder, name)})


if __name__ == "__main__":
    validate.load_library(LIBRARY)
    unittest.main(verbosity=2)
