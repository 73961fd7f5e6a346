#!/usr/bin/env python3
"""Runs `go test -json` and prints what a person needs of it.

usage: gotest.py --counts FILE NAME ARGUMENT...
       gotest.py --sum FILE

The first form runs `go test -json ARGUMENT...`, prints one line a package and
the whole output of what failed, and appends a line `NAME passed failed
skipped` to FILE. A test that was skipped because something was not built or
installed fails the run: whoever calls this has built and installed it.
The second form prints the sum of such lines and is the closing line of a run.
Exit status: 0 when nothing failed and something passed, otherwise 1.
"""

import json
import subprocess
import sys

# What tests say when they skip for want of something that `make` provides.
NOT_SET_UP = ("run make build", "run make peers", "run `make build`", "run `make peers`", "run scripts/prerequisites")


def run(counts_file, name, arguments):
    command = ["go", "test", "-json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace")
    output = {}  # (package, test or None) -> lines
    totals = {"pass": 0, "fail": 0, "skip": 0}
    in_package = {}  # package -> tests passed
    broken = []
    skips = []
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="")  # the build's own words
            continue
        action, package, test = event["Action"], event.get("Package", ""), event.get("Test")
        key = (package, test)
        if action in ("output", "build-output"):
            output.setdefault(key, []).append(event.get("Output", ""))
            if action == "build-output":
                print(event.get("Output", ""), end="")
            continue
        if action not in totals:
            continue
        lines = output.pop(key, [])
        if test is None:
            tests = in_package.pop(package, 0)
            if action == "fail":
                broken.append(package)
                print("".join(lines), end="")
                print(f"FAIL {package}")
            elif tests:
                print(f"ok   {package} ({tests} tests, {event.get('Elapsed', 0):.1f} s)", flush=True)
            continue
        totals[action] += 1
        if action == "pass":
            in_package[package] = in_package.get(package, 0) + 1
        elif action == "fail":
            print(f"---- {package} {test}\n" + "".join(lines), end="", flush=True)
        else:
            reason = " ".join(part.strip() for part in lines[1:-1]).strip()
            skips.append(f"{package} {test}: {reason}")
            if any(words in reason for words in NOT_SET_UP):
                broken.append(f"{package} {test} was skipped: {reason}")
    status = process.wait()
    for skip in skips:
        print(f"skip {skip}")
    for thing in broken:
        print(f"failed: {thing}")
    failed = max(totals["fail"], len(broken), 1 if status else 0)
    print(f"{name}: {totals['pass']} passed, {failed} failed, {totals['skip']} skipped", flush=True)
    with open(counts_file, "a", encoding="utf-8") as counts:
        counts.write(f"{name} {totals['pass']} {failed} {totals['skip']}\n")
    return 1 if failed or not totals["pass"] else 0


def add_up(counts_file):
    passed = failed = skipped = 0
    with open(counts_file, encoding="utf-8") as counts:
        for line in counts:
            numbers = [int(word) for word in line.split()[1:]]
            passed, failed, skipped = passed + numbers[0], failed + numbers[1], skipped + numbers[2]
    print(f"total: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "--sum":
        return add_up(arguments[1])
    if len(arguments) < 4 or arguments[0] != "--counts":
        print(__doc__, file=sys.stderr)
        return 2
    return run(arguments[1], arguments[2], arguments[3:])


if __name__ == "__main__":
    sys.exit(main())
