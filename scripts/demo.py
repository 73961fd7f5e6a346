#!/usr/bin/env python3
"""The two ends of scripts/demo; standard library only.

usage: demo.py split DATA FOLDER   actions.jsonl and their embeddings to rows
       demo.py show FOLDER         verdicts.jsonl as a person reads them
"""

import ast
import collections
import json
import pathlib
import struct
import sys

SAMPLE_ROWS = 14


def read_npy(path):
    """The rows of a two-dimensional little-endian float32 .npy file."""
    raw = path.read_bytes()
    if raw[:6] != b"\x93NUMPY":
        raise SystemExit(f"{path}: not a .npy file")
    wide = raw[6] > 1  # version 2 and later have a four-byte header length
    start = 12 if wide else 10
    (length,) = struct.unpack_from("<I" if wide else "<H", raw, 8)
    header = ast.literal_eval(raw[start : start + length].decode("latin-1"))
    if header["descr"] != "<f4" or header["fortran_order"] or len(header["shape"]) != 2:
        raise SystemExit(f"{path}: expected a C-ordered float32 matrix, got {header}")
    count, width = header["shape"]
    for row in range(count):
        yield struct.unpack_from(f"<{width}f", raw, start + length + 4 * width * row)


def split(data, folder):
    rows = [json.loads(line) for line in (data / "actions.jsonl").read_text(encoding="utf-8").splitlines()]
    counts = collections.Counter()
    with (
        open(folder / "learn.jsonl", "w", encoding="utf-8") as learn,
        open(folder / "judge.jsonl", "w", encoding="utf-8") as judge,
        open(folder / "labels.jsonl", "w", encoding="utf-8") as labels,
    ):
        for row, embedding in zip(rows, read_npy(data / "actions_minilm.npy"), strict=True):
            counts[row["part"], row["label"]] += 1
            out = {"id": row["id"], "action": row["action"], "embedding": embedding}
            if row["part"] == "learn":
                print(json.dumps(out | {"label": row["label"]}), file=learn)
            else:  # the label stays out of what is judged
                print(json.dumps(out), file=judge)
                print(json.dumps(row), file=labels)
    for part, what in ("learn", "recorded as outcomes"), ("judge", "judged; no near-equal text is in both parts"):
        safe, risky = counts[part, "safe"], counts[part, "risky"]
        print(f"{part}: {safe + risky} actions, {safe} safe and {risky} risky, {what}")


def cut(text, width):
    return text if len(text) <= width else text[: width - 1] + "…"


def share(part, whole):
    return f"{part:4d} of {whole:<4d} {100 * part / max(whole, 1):5.1f} %"


def why_not(verdict):
    kinds = [text.split(":")[0].lower() for text in verdict["safety_violations"]]
    return " and ".join(kinds) if kinds else "risk above the tier's limit"


def sample(pairs):
    """Some rows of each kind: label by approval, spread over the file."""
    kinds = collections.defaultdict(list)
    for row, verdict in pairs:
        kinds[row["label"], verdict["approved"]].append((row, verdict))
    each = max(1, SAMPLE_ROWS // max(1, len(kinds)))
    for kind in sorted(kinds, reverse=True):
        seen, chosen = set(), []
        for row, verdict in kinds[kind]:
            if row["action"] not in seen:
                seen.add(row["action"])
                chosen.append((row, verdict))
        step = max(1, len(chosen) // each)
        yield from chosen[::step][:each]


def show(folder):
    def read(name):
        return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]

    receipts, verdicts, labels = read("receipts.jsonl"), read("verdicts.jsonl"), read("labels.jsonl")
    kept = sum(receipt["result"] in ("stored", "quarantined") and receipt["durable"] for receipt in receipts)
    held = [receipt for receipt in receipts if receipt["result"] == "quarantined"]
    if kept != len(receipts) or not receipts or len(held) > len(receipts) // 10:
        raise SystemExit(
            f"demo: {kept} of {len(receipts)} outcomes were kept durably, {len(held)} of them in quarantine; "
            "expected all, and at most a tenth"
        )
    if [v["id"] for v in verdicts] != [row["id"] for row in labels]:
        raise SystemExit("demo: the verdicts are not those of the judged rows, in their order")
    pairs = list(zip(labels, verdicts, strict=True))

    print(f"{len(receipts) - len(held)} outcomes are patterns now.")
    print(f"The detector holds {len(held)} for a person (fdqc quarantine list):\n")
    for receipt in held:
        print(f"  {cut(receipt['id'], 11):11} {cut(receipt['reason'], 98)}")
    print("\nA sample of the verdicts. approved: by the tier alone; decision: what fdqc says to do")
    print("(safe mode and human approval are on by default, so the most it says is review).\n")
    line = "  {:11} {:46} {:6} {:9} {:9} {:>5} {:>9} {:>9}"
    print(line.format("id", "action", "label", "approved", "decision", "risk", "like safe", "like bad"))
    print("  " + "─" * 110)
    for row, verdict in sample(pairs):
        print(
            line.format(
                cut(row["id"], 11),
                cut(row["action"], 46),
                row["label"],
                "yes" if verdict["approved"] else "no",
                verdict["decision"],
                f"{verdict['risk_score']:.2f}",
                f"{verdict['safe_similarity']:.3f}",
                f"{verdict['unsafe_similarity']:.3f}",
            )
        )

    print("\nHow the verdicts agree with the labels\n")
    print(f"  {'':14}{'approved':>22}{'not approved':>22}")
    for label in "safe", "risky":
        mine = [verdict for row, verdict in pairs if row["label"] == label]
        approved = sum(verdict["approved"] for verdict in mine)
        print(f"  {label + ' actions':14}{share(approved, len(mine)):>22}{share(len(mine) - approved, len(mine)):>22}")

    print("\nWhy the others were not approved\n")
    for label in "safe", "risky":
        reasons = collections.Counter(why_not(v) for row, v in pairs if row["label"] == label and not v["approved"])
        for reason, count in reasons.most_common():
            print(f"  {label:6} {count:4d}  {reason}")
    decisions = collections.Counter(verdict["decision"] for verdict in verdicts)
    print("\nDecisions: " + ", ".join(f"{count} {decision}" for decision, count in sorted(decisions.items())))
    print(f"\nEverything is in {folder}: receipts.jsonl, verdicts.jsonl, data/ (the pattern memory)")


def main():
    match sys.argv[1:]:
        case ["split", data, folder]:
            split(pathlib.Path(data), pathlib.Path(folder))
        case ["show", folder]:
            show(pathlib.Path(folder))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
