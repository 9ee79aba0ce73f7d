"""allocation_test.py PITH SHIM TRIES: every command under a heap that refuses, once or from some allocation on.

It ends with a status of its own, 0, 1 or 2, never by a signal; with a sentence if it failed; and then leaves no file, neither
half of one nor a whole one. TRIES allocations of each, spread evenly, the first of them at random; and the last ones, which come
when a file may be in its place.
"""
import os
import random
import subprocess
import sys
import tempfile

pith, shim, tries = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), int(sys.argv[3])
golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "egmla.gguf")
seed = random.SystemRandom().randrange(1 << 32)
rng = random.Random(seed)
LAST = 12
COMMANDS = [
    ["run", "-n", "2", "--save-state", "out"],
    ["run", "-n", "2", "--save-state", "out", "--json"],
    ["info", "--json"],
    ["quantize", golden, "out"],
    ["synth", "s", "out"],
    ["eval", "--text", golden, "--limit", "2"],
    ["verify"],
    ["bench", "-n", "1", "--repeat", "1", "--depth", "0", "--skip-bandwidth"],
    ["run", golden],
    ["run", "--no-such-option"],
]


def run(arguments, **variables):
    environment = dict(os.environ, LD_PRELOAD=shim, **variables)
    return subprocess.run([pith, *arguments], env=environment, capture_output=True, timeout=120)


os.chdir(folder := tempfile.mkdtemp())
n_failed = n_runs = 0
for arguments in COMMANDS:
    if os.path.exists("out"):
        os.remove("out")
    untouched = run(arguments, PITH_COUNT="count")
    n = int(open("count").read())
    expected = open("out", "rb").read() if os.path.exists("out") else None
    step = max(1, n // tries)
    for k in [*range(1 + rng.randrange(step), n - LAST, step), *range(max(1, n - LAST), n + 1)]:
        for variables in ({}, {"PITH_FAIL_ON": "1"}):
            if os.path.exists("out"):
                os.remove("out")
            result = run(arguments, PITH_FAIL=str(k), **variables)
            where = f"{' '.join(arguments)}, allocation {k} of {n} {variables} (seed {seed})"
            assert result.returncode in (0, 1, 2), f"{where}: status {result.returncode}: {result.stderr[-300:]}"
            assert result.returncode == 0 or result.stderr, f"{where}: not a word"
            if result.returncode == 0 and expected is not None:
                assert len(open("out", "rb").read()) == len(expected), f"{where}: another file"
            elif result.returncode != 0 and untouched.returncode == 0:
                assert not os.path.exists("out"), f"{where}: a file"
            left = [name for name in os.listdir(".") if name.endswith(".tmp")]
            assert not left, f"{where}: leaves {left}"
            n_failed += result.returncode == 1
            n_runs += 1
assert n_failed > n_runs / 4, "hardly any run failed: the shim does not work"
print(f"allocation: {n_runs} runs, {n_failed} of them out of memory, none ended by a signal (seed {seed}); 1 passed")
