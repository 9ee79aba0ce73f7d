"""Checkpoints of the trainer: what is written stays whole, what is read runs nothing, what is damaged is named.

    python3 -m pytest tests/python/test_checkpoint.py
"""

import errno
import io
import os
import pickle
import random
import resource
import signal
import struct
import sys
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gguf")

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tools" / name) for name in ("train", "export", "model")]

import checkpoint  # noqa: E402
import evaluate  # noqa: E402
import export  # noqa: E402
import save_weights  # noqa: E402
from model import Config, Model  # noqa: E402
from trouble import Trouble  # noqa: E402

TINY = Config(vocab_size=300, n_layers=2, width=24, n_heads=3, feed_forward_width=40, context_length=64, value_width=8,
              content_width=6, rope_width=4, latent_width=10)


def state_of(step):
    """Every number of it is `step`, so that a mixture of two shows."""
    tensors = {name: torch.full_like(p, step) for name, p in Model(TINY).state_dict().items()}
    return {"config": TINY, "step": step, "tokens": 64 * step, "seconds": float(step), "model": tensors, "optimizers": []}


def step_of(path):
    """The step of a whole checkpoint."""
    state = checkpoint.read(path)
    assert state["config"] == TINY and state["tokens"] == 64 * state["step"]
    assert all((tensor == state["step"]).all() for tensor in state["model"].values())
    return state["step"]


def test_the_one_before_is_kept(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2, 3):
        checkpoint.write(path, state_of(step))
    assert (step_of(path), step_of(checkpoint.previous(path))) == (3, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]


def test_weights_that_are_not_finite_replace_nothing(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, state_of(1))
    for bad in (float("nan"), float("inf"), -float("inf")):
        state = state_of(2)
        state["model"]["blk.1.ffn_up.weight"][3, 5] = bad
        with pytest.raises(Trouble, match="blk.1.ffn_up.weight"):
            checkpoint.write(path, state)
        assert step_of(path) == 1
        torch.save(state | {"config": asdict(TINY)}, tmp_path / "bad.pt")
        with pytest.raises(Trouble, match="bad.pt: tensor blk.1.ffn_up.weight holds NaN or infinity"):
            checkpoint.read(tmp_path / "bad.pt")


def test_a_full_disk_replaces_nothing(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, state_of(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for allowed in (0, 1, 4096, path.stat().st_size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, limits[1]))
        try:
            with pytest.raises(OSError) as caught:
                checkpoint.write(path, state_of(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert caught.value.errno == errno.EFBIG and caught.value.filename == str(path)
        assert step_of(path) == 1 and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_interrupt_while_saving_replaces_nothing(tmp_path, monkeypatch, call):
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, state_of(1))

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, interrupt)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.write(path, state_of(2))
    assert step_of(path) == 1 and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_bytes_are_on_the_disk_before_they_have_the_name(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{fd}')).name}"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(f"{Path(a).name} -> {Path(b).name}"), replace(a, b)))
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, state_of(1))
    checkpoint.write(path, state_of(2))
    first = ["fsync checkpoint.pt.tmp", "checkpoint.pt.tmp -> checkpoint.pt", f"fsync {tmp_path.name}"]
    assert calls == first + first[:1] + ["checkpoint.pt -> checkpoint.previous.pt"] + first[1:]


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    path, seed = tmp_path / "checkpoint.pt", random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng, latest = random.Random(seed), 0
    checkpoint.write(path, state_of(1))
    for _ in range(25):
        child = os.fork()
        if child == 0:
            for step in range(latest + 1, latest + 1000):
                checkpoint.write(path, state_of(step))
            os._exit(1)
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        state = checkpoint.read_latest(path)  # between two renames it is the one before
        assert step_of(path if path.exists() else checkpoint.previous(path)) == state["step"] >= latest
        latest = state["step"]
    assert latest > 25


def largest_member(content):
    """The range of bytes that the largest member of an archive has: headers and padding between members hold nothing that is read."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = max(archive.infolist(), key=lambda m: m.compress_size)
    name, extra = struct.unpack_from("<HH", content, member.header_offset + 26)
    first = member.header_offset + 30 + name + extra
    return range(first, first + member.compress_size)


def damaged(content, rng):
    """The bytes of a checkpoint, damaged in several ways."""
    yield b""
    yield content[:100]
    for _ in range(5):
        yield content[:rng.randrange(len(content))]
    for _ in range(5):
        flipped = bytearray(content)
        flipped[rng.choice(largest_member(content))] ^= 1 << rng.randrange(8)
        yield bytes(flipped)
    yield b"\0" * len(content)
    yield content[len(content) // 2:] + content[:len(content) // 2]


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, capsys):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, state_of(1))
    checkpoint.write(path, state_of(2))
    content = path.read_bytes()
    assert checkpoint.read_latest(path)["step"] == 2  # the control
    assert not capsys.readouterr().err
    for bad in damaged(content, random.Random(seed)):
        path.write_bytes(bad)
        assert checkpoint.read_latest(path)["step"] == 1
        said = capsys.readouterr().err
        assert said.startswith(f"{path}: ") and f"going on from {checkpoint.previous(path)}, step 1" in said
    # What is damaged does not take the place of what is whole.
    checkpoint.write(path, state_of(3))
    assert (step_of(path), step_of(checkpoint.previous(path))) == (3, 1)
    path.unlink()
    assert checkpoint.read_latest(path)["step"] == 1
    path.write_bytes(content[:1000])
    checkpoint.previous(path).write_bytes(content[:2000])
    with pytest.raises(Trouble, match="(?s)checkpoint.pt: .*; and .*checkpoint.previous.pt: "):
        checkpoint.read_latest(path)
    checkpoint.previous(path).unlink()
    with pytest.raises(Trouble, match="checkpoint.pt: damaged, or no checkpoint"):
        checkpoint.read_latest(path)


class Runs:
    """Makes a file when it is unpickled: what a stranger's checkpoint may hold instead of numbers."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["config", "model", "optimizers", "tensor"])
def test_reading_a_checkpoint_runs_none_of_its_code(tmp_path, monkeypatch, place):
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "ran"
    state = state_of(1) | {"config": asdict(TINY)}
    if place == "tensor":
        state["model"]["output_norm.weight"] = Runs(mark)
    else:
        state[place] = Runs(mark)
    torch.save(state, path)
    (tmp_path / "text").write_text("A fox.\n")
    for main, arguments in ((export.main, [path, tmp_path / "out.gguf"]), (evaluate.main, [path, tmp_path / "text"]),
                            (save_weights.main, [path, tmp_path / "out.safetensors"]),
                            (lambda: checkpoint.read_latest(path), [])):
        monkeypatch.setattr(sys, "argv", ["tool", *map(str, arguments)])
        with pytest.raises(Trouble, match="checkpoint.pt: "):
            main()
        assert not mark.exists()
    with pytest.raises(Trouble, match="damaged, or no checkpoint"):  # the form before archives: one pickle
        old = tmp_path / "old.pt"
        old.write_bytes(pickle.dumps(state))
        checkpoint.read(old)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the control
    assert mark.exists()


def test_checkpoints_of_older_trainers_are_read(tmp_path):
    torch.save(state_of(1), tmp_path / "old.pt")  # with the configuration as an object
    assert step_of(tmp_path / "old.pt") == 1


def test_what_a_checkpoint_lacks_is_named(tmp_path):
    path, whole = tmp_path / "bad.pt", state_of(1) | {"config": asdict(TINY)}
    torch.save(whole, path)
    assert checkpoint.read_model(path)[1]["step"] == 1  # the control
    tensors = whole["model"]
    cases = [
        ([], "no checkpoint of this trainer"),
        ({k: v for k, v in whole.items() if k != "config"}, "lacks"),
        (whole | {"step": "1"}, "\"step\" is missing or no number"),
        (whole | {"config": asdict(TINY) | {"colour": 3}}, "colour"),
        (whole | {"config": asdict(TINY) | {"n_heads": 0}}, "n_heads is missing"),
        (whole | {"model": tensors | {"blk.7.ffn_up.weight": tensors["blk.0.ffn_up.weight"]}}, "blk.7.ffn_up.weight is not one"),
        (whole | {"model": {k: v for k, v in tensors.items() if k != "output_norm.weight"}}, "output_norm.weight is missing"),
        (whole | {"model": tensors | {"output_norm.weight": torch.ones(25)}}, r"output_norm.weight is \[25\], in this model \[24\]"),
        (whole | {"model": tensors | {"output_norm.weight": 3}}, "output_norm.weight is no tensor")]
    for state, sentence in cases:
        torch.save(state, path)
        with pytest.raises(Trouble, match=sentence):
            checkpoint.read_model(path)
