"""The queue for a machine with a GPU, rehearsed on a CPU: order, time, kills, what cannot run, what comes home.

    python3 -m pytest tests/python/test_gpu_queue.py
"""

import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

REPOSITORY = Path(__file__).resolve().parents[2]
GPU = REPOSITORY / "tools" / "gpu"
sys.path[:0] = [str(GPU), str(REPOSITORY / "tools" / "train")]

import checkpoint  # noqa: E402
import compare  # noqa: E402
import machine  # noqa: E402
import parcel  # noqa: E402
import train as trainer  # noqa: E402
from data import documents  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from small_texts import story, write_small_texts  # noqa: E402
from trouble import Trouble  # noqa: E402

GRACE = 1.0  # seconds


def script(name):
    """One of tools/gpu, which has no suffix, as a module."""
    loader = SourceFileLoader(f"gpu_{name}", str(GPU / name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def shell(name, text, **more):
    """A stage that is a shell script; $1 is OUT."""
    return {"name": name, "command": ["sh", "-c", text, "sh", "{out}"], **more}


class Calls:
    """Runs tools/gpu/queue over a plan: calls(*arguments) is its exit status; `said` is what it printed."""

    def __init__(self, folder):
        self.folder, self.out, self.said = folder, folder / "out", ""

    def plan(self, *stages, **more):
        text = json.dumps({"grace_seconds": GRACE, "least_seconds": 0.2, "carried": [], "stages": stages, "home": []} | more)
        (self.folder / "plan.json").write_text(text)

    def start(self, *arguments, **more):
        command = [sys.executable, GPU / "queue", self.out, "--plan", self.folder / "plan.json", "--carry", self.folder / "carry", *arguments]
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)

    def __call__(self, *arguments, **more):
        child = self.start(*arguments, **more)
        self.said = child.communicate(timeout=200)[0]
        return child.returncode

    def statuses(self):
        return {name: noted["status"] for name, noted in json.loads((self.out / "state.json").read_text()).items()}


@pytest.fixture
def calls(tmp_path):
    return Calls(tmp_path)


def wait_for(what, child=None):
    end = time.time() + 100
    while not what():
        assert time.time() < end and (child is None or child.poll() is None)
        time.sleep(0.02)
    return what()


def test_stages_run_in_order_and_what_is_done_is_left_out(calls, tmp_path):
    calls.plan(shell("a", "echo a >>$1/order"), shell("b", "echo b >>$1/order; [ -e $1/ready ] || { echo no ready >&2; exit 5; }"),
               shell("c", "echo c >>$1/order; exit 75"), shell("d", "echo d >>$1/order", needs=["carried:x y"]),
               {"name": "e", "command": ["/none/such"]}, home=["order", "*.log"])
    assert calls("--home", tmp_path / "home") == os.EX_TEMPFAIL
    assert (calls.out / "order").read_text() == "a\nb\nc\n"
    assert calls.statuses() == {"a": "done", "b": "failed", "c": "paused", "d": "skipped", "e": "failed"}
    for line in ("a: done", "b: failed: exit status 5: no ready", "c: paused: it goes on at the next call",
                 f"d: skipped: {tmp_path}/carry lacks x, y: tools/gpu/gather makes it", "e: failed: /none/such: No such file or directory"):
        assert line in calls.said.splitlines(), calls.said
    (calls.out / "ready").touch()
    (tmp_path / "carry").mkdir()
    for name in "xy":
        (tmp_path / "carry" / name).touch()
    assert calls("--only", "b", "d") == 0 and (calls.out / "order").read_text() == "a\nb\nc\nb\nd\n"
    # On another machine, with what came home alone.
    shutil.rmtree(calls.out)
    calls.plan(shell("a", "exit 1"), home=[])
    shutil.copytree(tmp_path / "home", tmp_path / "brought")
    assert calls("--parcel", tmp_path / "brought") == 1 and "2 files" not in calls.said  # no state in it: a is not known to be done
    assert (calls.out / "order").read_text() == "a\nb\nc\n" and "nothing could be done" in calls.said
    assert calls("--only", "z") == 1 and "--only z: no stage of" in calls.said


def test_time_ends_a_stage_and_all(calls):
    saves = "trap 'echo saved >>$1/saved; exit 75' TERM; echo begun >>$1/begun; while :; do sleep 0.05; done"
    calls.plan(shell("deaf", "trap '' TERM; sleep 100 & echo $! >$1/pid; wait; wait", seconds=0.5), shell("saves", saves, seconds=0.5),
               shell("rest", saves.replace("saved", "rest")), shell("none", "exit 0"))
    assert calls("--only", "deaf", "saves") == os.EX_TEMPFAIL  # the time of each
    assert calls("--only", "rest", "none", "--seconds", 4) == os.EX_TEMPFAIL  # that of all
    assert calls.statuses() == {"deaf": "paused", "saves": "paused", "rest": "paused", "none": "open"}
    assert (calls.out / "saved").read_text() == "saved\n" and (calls.out / "rest").read_text() == "rest\n"
    assert "rest: paused: its time was over" in calls.said and "none: open: no time was left" in calls.said
    with pytest.raises(ProcessLookupError):  # what the stage began ends with it
        os.kill(int((calls.out / "pid").read_text()), 0)
    # SIGTERM to the queue is one to the stage, and the next ones are not begun.
    child = calls.start("--only", "saves", "none")
    wait_for(lambda: (calls.out / "begun").read_text().count("begun") == 3, child)
    child.terminate()
    assert "saves: paused" in child.communicate(timeout=60)[0] and child.returncode == os.EX_TEMPFAIL
    assert (calls.out / "saved").read_text() == "saved\nsaved\n" and calls.statuses()["none"] == "open"
    # A queue that is killed takes its stage along; until it has ended no other call works there.
    child = calls.start("--only", "saves")
    wait_for(lambda: (calls.out / "begun").read_text().count("begun") == 4, child)
    assert calls("--only", "none") == 1 and "another call works there" in calls.said
    child.kill()
    child.wait(60)
    wait_for(lambda: (calls.out / "saved").read_text().count("saved") == 3)
    assert wait_for(lambda: calls("--only", "none") == 0) and calls.statuses() == {
        "deaf": "paused", "saves": "running", "rest": "paused", "none": "done"}


def test_a_stage_has_another_command_and_one_for_what_it_left(calls):
    calls.plan(shell("a", "echo first; exit 1", **{"else": ["sh", "-c", "echo second; exit 0"], "then": ["sh", "-c", "echo third"]}),
               shell("b", "exit 0", then=["sh", "-c", "echo no room; exit 3"]),
               shell("c", "sleep 100", seconds=0.3, **{"else": ["true"]}))
    assert calls() == os.EX_TEMPFAIL
    assert (calls.out / "a.log").read_text() == "first\nsecond\nthird\n"
    assert calls.statuses() == {"a": "done", "b": "failed", "c": "paused"} and "b: failed: exit status 3 of sh: no room" in calls.said
    assert calls("--only", "c") == 0  # by its other command, at the next call


def test_what_a_machine_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    here = machine.Machine(tmp_path / "none", tmp_path)
    assert here.lacks("gpu") == here.lacks("cuda") == machine.NO_GPU
    assert here.lacks("nvcc") == "nvcc is missing" and here.lacks("torch") is None
    assert "GiB are free on the disk of" in here.lacks("disk:1e9") and here.lacks("disk:0") is None
    assert "lacks a/b: tools/gpu/gather makes it" in here.lacks("carried:a/b")
    with pytest.raises(Trouble, match="need 'warp' of a stage"):
        here.lacks("warp")
    # With stand-ins: a GPU that PyTorch does not see, and a compiler.
    for name, text in (("nvidia-smi", "echo A GPU, 1.0"), ("nvcc", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    there = machine.Machine(tmp_path / "none", tmp_path)
    assert there.lacks("gpu") is None and there.lacks("nvcc") is None
    monkeypatch.setattr(there, "cuda", lambda: None)  # which would import torch
    assert there.facts()["gpu"] == "A GPU, 1.0"
    assert there.lacks("cuda") == f"the torch of {sys.executable} sees no GPU"


def test_wheels_and_packages_are_taken_from_what_is_carried(tmp_path, monkeypatch):
    import zipfile
    (tmp_path / "packages").mkdir()
    wheel = tmp_path / "packages" / "brought_along-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("brought_along.py", "VALUE = 3\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    there = machine.Machine(tmp_path, tmp_path)
    assert there.said(sys.executable, "-c", "import brought_along; print(brought_along.VALUE)") == "3"


def test_parcels_bring_the_first_files_home_whole(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng, out, home = random.Random(seed), tmp_path / "out", tmp_path / "home"
    (out / "sub").mkdir(parents=True)
    content = {"state.json": b"{}", "sub/a.bin": rng.randbytes(30_001), "sub/b.bin": rng.randbytes(50_000), "sub/c.bin": rng.randbytes(4_000),
               "not.listed": b"x"}
    for name, bytes_ in content.items():
        (out / name).write_bytes(bytes_)
    patterns = ["state.json", "sub/*.bin", "state.json", "none/*"]
    for limit, left_out in ((200_000, []), (50_000, ["b.bin"]), (32_000, ["b.bin", "c.bin"])):
        assert [path.name for path in parcel.pack(out, patterns, home, 16_000, limit)] == left_out
        parts = sorted(home.iterdir())
        assert all(path.stat().st_size <= 16_000 for path in parts) and sum(path.stat().st_size for path in parts) <= limit
        back = tmp_path / f"back{limit}"
        back.mkdir()
        assert parcel.unpack(home, back) == 4 - len(left_out)
        for name in set(content) - {"not.listed"} - {f"sub/{name}" for name in left_out}:
            assert (back / name).read_bytes() == content[name]
        assert not (back / "not.listed").exists() and parcel.unpack(home, back) == 0  # what is there stays
    cut = (home / "parcel.1").read_bytes()
    flipped = bytearray(cut)
    flipped[5] ^= 1
    for bad, sentence in ((b"", "damaged or not whole"), (bytes(flipped), "sub/a.bin in the parcel has another check sum")):
        (home / "parcel.1").write_bytes(bad)
        with pytest.raises(Trouble, match=sentence):
            parcel.unpack(home, tmp_path / "back")
        assert not (tmp_path / "back").exists()
    (home / "parcel.0").unlink()
    with pytest.raises(Trouble, match="a part of the parcel is missing; there are parcel.1"):
        parcel.unpack(home, tmp_path / "back")
    with pytest.raises(Trouble, match="there are none"):
        parcel.unpack(out, tmp_path / "back")


def test_what_must_be_carried_is_listed_and_summed(calls, tmp_path, capsys):
    queue, carry = script("queue"), tmp_path / "carry"
    (carry / "data").mkdir(parents=True)
    plan = {"stages": [{"name": "a", "needs": ["gpu"]}], "carried": ["data/x", "y"]}
    args = type("Arguments", (), {"out": None, "carry": carry})
    (carry / "data" / "x").write_bytes(b"1" * parcel.MIB)
    with pytest.raises(Trouble, match="carry lacks y: tools/gpu/gather makes it"):
        queue.show(args, plan)
    (carry / "y").touch()
    queue.show(args, plan)
    n_files, tree = parcel.working_tree()
    said = capsys.readouterr().out
    assert f"{(tree + parcel.MIB) / parcel.MIB:8.2f} MiB  of 64 that a transfer takes" in said and f"tree, {n_files} files" in said
    with open(carry / "y", "wb") as file:
        file.truncate(parcel.LIMIT - tree - parcel.MIB + 1)  # one byte too much, of no blocks
    with pytest.raises(Trouble, match="0.00 MiB too much: tools/gpu/gather --limit"):
        queue.show(args, plan)


def test_as_many_documents_are_gathered_as_fit(tmp_path):
    gather, rng = script("gather"), random.Random(1)
    texts = [" ".join(f"{rng.getrandbits(64):x}" for _ in range(1000)) for _ in range(60)]  # 17,000 bytes, half of that packed
    source, path = tmp_path / "novels.train.txt.xz", tmp_path / "some.txt.xz"
    with lzma.open(source, "wt", encoding="utf-8") as file:
        file.write("\n<|endoftext|>\n".join(texts) + "\n<|endoftext|>\n")
    whole = source.stat().st_size
    limit = whole * 3 // 4
    taken, n = gather.pack_documents(source, path, limit)
    assert 5 < taken < n == 60 and path.stat().st_size <= limit and documents(path) == texts[:taken]
    assert gather.pack_documents(source, path, whole) == (60, 60) and path.read_bytes() == source.read_bytes()
    with pytest.raises(Trouble, match="too few for its documents"):
        gather.pack_documents(source, path, 1000)


def test_the_plans_commands_are_ones_that_the_trainers_take(tmp_path):
    queue, plan = script("queue"), json.loads((GPU / "plan.json").read_text())
    made = queue.Queue(type("Arguments", (), {"out": tmp_path, "carry": tmp_path / "carry", "seconds": 560, "only": None}), plan)
    stages = {stage.name: stage for stage in made.stages}
    assert list(stages) == ["parity", "xl", "table"]
    for stage in stages.values():
        for need in stage.needs:
            made.machine.lacks(need)
        for key in ("command", "else", "then"):
            if key in stage.entry:
                program = [word for word in made.words(stage.entry[key], 300) if word != sys.executable][0]
                assert shutil.which(REPOSITORY / program) or (REPOSITORY / program).is_file() or shutil.which(program)
    xl = trainer.arguments(list(made.words(stages["xl"].entry["command"], 300))[2:])
    assert xl.shape == "xl" and xl.minutes == pytest.approx(280 / 60, abs=1e-3) and xl.go_on and xl.out == tmp_path / "xl"
    table = compare.arguments(list(made.words(stages["table"].entry["command"], 300))[2:])
    assert table.kinds == list(compare.shapes.KINDS) and table.seeds == [1, 2, 3] and table.beside
    # Of both the texts are what gather brings.
    assert xl.data == table.data == tmp_path / "carry" / "data" and xl.tokenizer == tmp_path / "carry" / "tokenizer.json"


# Stand-ins for what a machine with a GPU has. The reference runs on the host; build/gpu/pith and parity_tests are "built" by cmake.
STAND_INS = {
    "nvcc": "echo 'Cuda compilation tools, release 1.2, V1.2.3'",
    "nvidia-smi": "case $* in *driver*) echo 4.5.6 ;; *) echo A GPU ;; esac",
    "compute-sanitizer": """echo "$*" >>"$SANITIZED"
while [ $# -gt 0 ]; do case $1 in --error-exitcode|--leak-check|--tool) shift 2 ;; *) break ;; esac; done
exec "$@\"""",
    "cmake": """case $* in *--build*) mkdir -p build/gpu && cp "$STAND_INS/pith" "$STAND_INS/parity_tests" build/gpu ;;
*) echo '-- pith parity: products by a stand-in' ;; esac""",
    "pith": """a=(); while [ $# -gt 0 ]; do case $1 in cuda) a+=(host) ;; --save-layers) shift ;; *) a+=("$1") ;; esac; shift; done
exec "$PITH_COMMAND" "${a[@]}\"""",
    "parity_tests": "echo '[doctest] test cases:  18 |  18 passed'; exit ${TESTS:-0}",
    "python": """case $1 in tools/export/*) cp tests/golden/egmla.gguf "$3" ;; tools/*) ;; *)
case $2 in *is_available*) exit 1 ;; *) exec "$PYTHON" "$@" ;; esac ;; esac""",
}


def test_the_run_of_parity_on_a_gpu_rehearsed(tmp_path):
    pith = os.environ.get("PITH_COMMAND", str(REPOSITORY / "build" / "release" / "pith"))
    tree, stand_ins, report = tmp_path / "tree", tmp_path / "stand-ins", tmp_path / "report"
    (tree / "tools" / "parity").mkdir(parents=True)
    (tree / "tests" / "golden").mkdir(parents=True)
    shutil.copy(REPOSITORY / "tools" / "parity" / "run_on_gpu", tree / "tools" / "parity")
    golden = REPOSITORY / "tests" / "golden"
    for source, name in (("egmla.gguf",) * 2, ("egmla.pytorch.safetensors",) * 2, ("egmla.pytorch.safetensors", "builtin.pytorch.safetensors")):
        shutil.copy(golden / source, tree / "tests" / "golden" / name)
    stand_ins.mkdir()
    for name, text in STAND_INS.items():
        (stand_ins / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (stand_ins / name).chmod(0o755)
    sanitized = tmp_path / "sanitized"

    def rehearse(*arguments, **more):
        sanitized.write_text("")
        environment = dict(os.environ, PATH=f"{stand_ins}{os.pathsep}{os.environ['PATH']}", STAND_INS=str(stand_ins), PYTHON=sys.executable,
                           PITH_COMMAND=pith, PITH_PYTHON=str(stand_ins / "python"), SANITIZED=str(sanitized), **more)
        done = subprocess.run([tree / "tools" / "parity" / "run_on_gpu", "--report", report, *arguments], env=environment,
                              capture_output=True, text=True, timeout=200)
        return done.returncode, report.read_text(), done.stderr

    status, said, trouble = rehearse()
    assert status == 0, trouble
    assert "A GPU, driver 4.5.6; nvcc 1.2.3;" in said and "- built; products by a stand-in" in said
    assert "under compute-sanitizer, no error: test cases: 18 |  18 passed" in said and "Ended" not in said
    rows = {cells[1]: cells[2:5] for cells in ([cell.strip() for cell in line.split("|")] for line in said.splitlines()) if len(cells) == 6}
    for name in ("egmla", "builtin"):
        assert rows[name][:2] == ["32", "27"] and 0 < float(rows[name][2].split()[0]) < 2e-5
        assert (tree / "tests" / "golden" / f"{name}.cuda.safetensors").exists()
    tools = sanitized.read_text()
    assert all(f"--tool {tool} build/gpu/parity_tests" in tools for tool in ("racecheck", "synccheck")) and tools.count("--reference cuda") == 2

    status, said, _ = rehearse("--without-sanitizer")
    assert status == 0 and sanitized.read_text() == "" and "racecheck" not in said and "`: test cases: 18" in said
    status, said, _ = rehearse(TESTS="4")
    assert status == 4 and said.rstrip().endswith("Ended with exit status 4 in: the variants on the GPU.") and "| egmla" not in said
    (stand_ins / "pith").write_text("#!/bin/sh\nexit 3\n")
    status, said, _ = rehearse()
    assert status == 3 and "Ended with exit status 3 in: the first look for a GPU." in said
    assert rehearse("--sanitizer")[0] == 2


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_whole_queue_rehearsed(calls, tmp_path, monkeypatch):
    """The real trainers over tiny sizes. The training of `xl` is killed and its checkpoint damaged; a second call goes on, and ends
    with the weights of a run that nothing disturbed."""
    carry, home = tmp_path / "carry", tmp_path / "home"
    write_small_texts(carry / "data")
    (carry / "data" / "tokenizer.json").rename(carry / "tokenizer.json")
    plan = json.loads((GPU / "plan.json").read_text())
    parity, xl, table = plan["stages"]
    # Of an option that is given twice the last counts. By time no two runs are alike.
    small = ["--batch", "1", "--tokens", "160", "--threads", "1", "--save-seconds", "0", "--width", "96", "--layers", "1", "--context", "32", "--eager"]
    xl["command"] = [word for word in xl["command"] if word not in ("--minutes", "{minutes}")] + small + ["--shape", "mla-d12"]
    table["command"] = [word for word in table["command"] if word != "{pith}"] + small + ["--kinds", "mha", "--seeds", "5"]
    for stage in (xl, table):
        stage["needs"] = [need for need in stage["needs"] if need not in ("cuda", "disk:4", "disk:16")]
    rehearsed = {"name": "report", "command": ["sh", "-c", "echo '# Parity' >$1/parity_gpu.md", "sh", "{out}"]}
    calls.plan(parity, rehearsed, xl, table, home=plan["home"])

    child = calls.start("--seconds", 300, "--only", "xl")
    path = calls.out / "xl" / "checkpoint.pt"
    wait_for(lambda: checkpoint.previous(path).exists(), child)
    os.kill(children(child.pid)[0], signal.SIGKILL)
    assert "xl: failed: exit status -9" in child.communicate(timeout=100)[0]
    killed_at = checkpoint.read_latest(path)["step"]
    assert 0 < killed_at < 5
    path.write_bytes(path.read_bytes()[:500] if path.exists() else b"")

    no_gpu = dict(os.environ, PATH=os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "nvidia-smi").exists()))
    assert calls("--seconds", 300, "--home", home, env=no_gpu) == os.EX_TEMPFAIL
    assert calls.statuses() == {"parity": "skipped", "report": "done", "xl": "done", "table": "done"}, calls.said
    assert calls.said.index("parity: skipped: there is no NVIDIA GPU") < calls.said.index("report: done") < calls.said.index("xl: done")
    assert "damaged, or no checkpoint" in (calls.out / "xl.log").read_text()
    ended = checkpoint.read(path)
    assert ended["tokens"] == 160 and ended["config"].latent_width == 8

    monkeypatch.setattr(trainer, "REPOSITORY", tmp_path)
    words = [str(word) for word in xl["command"][2:] if word != "--go-on"]
    words = [word.replace("{out}", str(tmp_path / "undisturbed")).replace("{carry}", str(carry)) for word in words]
    assert trainer.main(words, stopped=[]) == 0
    whole = checkpoint.read(tmp_path / "undisturbed" / "xl" / "checkpoint.pt")["model"]
    for name, value in ended["model"].items():
        assert torch.equal(value, whole[name]), name

    # Home, and on another machine: done is done, and the weights are there.
    back = tmp_path / "back"
    back.mkdir()
    parcel.unpack(home, back)
    brought = load_file(back / "xl" / "weights.bf16.safetensors")
    assert all(torch.equal(value.bfloat16(), brought[name]) for name, value in whole.items())
    assert (back / "parity_gpu.md").read_text() == "# Parity\n" and (back / "table" / "table.csv").read_text().count("\n") == 2
    assert json.loads((back / "table" / "mha" / "seed5" / "result.json").read_text())["tokens"] == 160
    calls.out = tmp_path / "elsewhere"
    assert calls("--parcel", home, "--only", "report", "xl", "table") == 0
    assert calls.said.count("done before") == 3
