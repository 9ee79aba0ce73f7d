"""The PyTorch models themselves, the trainer and the exporter's tensors: python3 -m pytest tests/python/test_train.py

The models are the oracle of the golden files, so they are held to what does not depend on their code: a cached decode must give
what the whole sequence gives, a later token must not change an earlier logit, and what is exported must read back bit for bit.
"""

import csv
import errno
import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tools" / name) for name in ("train", "export", "model")]

import attention  # noqa: E402
import checkpoint  # noqa: E402
import data  # noqa: E402
import tokenizer as tokenizer_trainer  # noqa: E402
import train as trainer  # noqa: E402
from export import export  # noqa: E402
from model import Config, Model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from trouble import Trouble  # noqa: E402

LATENT = Config(vocab_size=100, n_layers=3, width=24, n_heads=3, feed_forward_width=40, context_length=64, value_width=8,
                content_width=6, rope_width=4, latent_width=10)
GATED = replace(LATENT, gate="up", gate_norm="layer", gate_width=12, layer_group_size=2)
YARN = dict(rope_scaling="yarn", rope_factor=4.0, rope_original_context=16, yarn_log_multiplier=0.1)
LONG = dict(rope_scaling="longrope", rope_factor=4.0, rope_original_context=16, rope_factors_short=(1.0, 1.5),
            rope_factors_long=(2.0, 7.0))
VARIANTS = {
    "gate_layer": GATED,
    "gate_layer_split": replace(GATED, gate_norm="layer_split"),
    "gate_rms": replace(GATED, gate_norm="rms"),
    "gate_none": replace(GATED, gate_norm="none", kv_norm="none"),
    "latent_gate_layer": replace(GATED, gate="latent"),
    "latent_gate_rms": replace(GATED, gate="latent", gate_norm="rms"),
    "latent_gate_none": replace(GATED, gate="latent", gate_norm="none", layer_group_size=1),
    "mla": LATENT,
    "mla_wide_values": replace(LATENT, value_width=16),
    "mla_low_rank_query_yarn": replace(LATENT, query_latent_width=14, rope_interleaved=False, **YARN),
    "longrope": replace(GATED, **LONG),
    "biases_layernorm_gelu": replace(GATED, bias=True, tied=False, block_norm="layer", feed_forward="gelu_erf"),
    "relu2_scales": replace(LATENT, feed_forward="relu2", embedding_scale=3.0, residual_scale=0.5, logit_scale=0.25),
    "mha": replace(LATENT, attention="mha", feed_forward="gelu_tanh"),
    "mha_grouped": replace(LATENT, attention="mha", n_heads=4, n_kv_heads=2, rope_interleaved=False),
}


@pytest.fixture(params=VARIANTS)
def model(request):
    """A variant whose every parameter is random, in float64."""
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    torch.manual_seed(seed)
    model = Model(VARIANTS[request.param]).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.dim() == 1 else 1.0 if "embd" in name else p.shape[1] ** -0.5))
            if p.dim() == 1 and name.endswith("weight"):
                p.add_(1)
    return model


def distance(a, b):
    """The largest relative error of a row of logits."""
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).max().item()


@torch.no_grad()
def test_cached_decode_equals_the_full_forward(model):
    ids = torch.randint(model.c.vocab_size, (2, 40))
    whole = model(ids)
    logits, cache = model.prefill(ids[:, :7])
    parts = [logits]
    position = 7
    for n in (1, 1, 5, 1, 16, 9):
        parts.append(model.step(ids[:, position:position + n], cache))
        position += n
    assert position == 40
    assert distance(torch.cat(parts, 1), whole) < 1e-12
    # The control: another token in the cache shows.
    other = ids.clone()
    other[:, 3] = (other[:, 3] + 1) % model.c.vocab_size
    _, cache = model.prefill(other[:, :7])
    assert distance(model.step(ids[:, 7:], cache), whole[:, 7:]) > 1e-6


@torch.no_grad()
def test_no_logit_sees_a_later_token(model):
    ids = torch.randint(model.c.vocab_size, (1, 30))
    other = ids.clone()
    other[:, 20:] = (ids[:, 20:] + 1) % model.c.vocab_size
    a, b = model(ids), model(other)
    assert distance(a[:, :20], b[:, :20]) < 1e-12
    assert distance(a[:, 20:], b[:, 20:]) > 1e-6


def test_every_parameter_has_a_gradient(model):
    ids = torch.randint(model.c.vocab_size, (2, 24))
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name


def test_exported_tensors_and_keys_read_back(model, tmp_path):
    path = tmp_path / "model.gguf"
    export(model, path, texts=[("general.name", "trip")])
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}
    state = model.state_dict()
    extra = {f"rope_factors_{which}.weight" for which in ("short", "long")} if model.c.rope_scaling == "longrope" else set()
    assert set(tensors) == set(state) | extra
    for name, value in state.items():
        assert tensors[name].tensor_type == gguf.GGMLQuantizationType.F32
        assert list(tensors[name].shape) == list(reversed(value.shape)), name
        assert tensors[name].data.tobytes() == value.float().numpy().tobytes(), name

    def key(name):
        return reader.fields[f"egmla.{name}"].contents()

    c = model.c
    assert (key("embedding_length"), key("block_count"), key("vocab_size")) == (c.width, c.n_layers, c.vocab_size)
    assert (key("attention.kind"), key("feed_forward.kind")) == (c.attention, c.feed_forward)
    if c.gate != "none":
        assert (key("attention.gate_norm"), key("attention.layer_group_size")) == (c.gate_norm, c.layer_group_size)


TALE = "Once upon a time a fox found a lantern in the snow, and the lantern was still warm. " * 60


def write_texts(folder, train=TALE, held_out=TALE, copies=4):
    with lzma.open(folder / "tales.train.txt.xz", "wt", encoding="utf-8") as file:
        file.write("\n<|endoftext|>\n".join([train] * copies) + "\n<|endoftext|>\n")
    (folder / "tales.val.txt").write_text(held_out + "\n", encoding="utf-8")


def train(out, folder, *arguments):
    done = subprocess.run([sys.executable, REPOSITORY / "tools" / "train" / "train.py", out, "--data", folder, "--eager",
                           "--minutes", "0.05", "--batch", "1", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with open(out / "log.csv") as file:
        return checkpoint.read(out / "checkpoint.pt"), list(csv.DictReader(file))


def test_training_resumes_and_starts_from_weights(tmp_path):
    write_texts(tmp_path)
    first, log = train(tmp_path / "a", tmp_path)
    assert first["step"] > 0 and first["tokens"] == 512 * first["step"] and len(log) == 1
    assert int(log[0]["step"]) == first["step"] and float(log[0]["val_loss"]) > 0
    again, log = train(tmp_path / "a", tmp_path, "--resume", tmp_path / "a" / "checkpoint.pt")
    assert again["step"] > first["step"] and again["seconds"] > first["seconds"] and len(log) == 2
    assert any(not torch.equal(again["model"][name], value) for name, value in first["model"].items())
    assert float(log[1]["val_loss"]) < float(log[0]["val_loss"])  # one tale, again and again
    save_file({name: value.bfloat16() for name, value in again["model"].items()}, tmp_path / "weights.safetensors")
    third, log = train(tmp_path / "b", tmp_path, "--init", tmp_path / "weights.safetensors")
    assert third["step"] > 0 and int(log[0]["step"]) == third["step"]
    name = "blk.0.attn_q.weight"
    start = load_file(tmp_path / "weights.safetensors")[name].float()
    fresh = Model(third["config"]).state_dict()[name]
    assert (third["model"][name] - start).norm() < 0.5 * (fresh - start).norm()


@pytest.fixture
def tiny_run(tmp_path, monkeypatch):
    """Runs the trainer's main() in this process, over a model of some thousand weights: run(*arguments)."""
    monkeypatch.setattr(trainer.shapes, "shape_m", lambda vocab_size: replace(LATENT, vocab_size=vocab_size))
    monkeypatch.setattr(trainer, "REPOSITORY", tmp_path)  # the tokens' cache
    tokenizer = REPOSITORY / "tools" / "model" / "tokenizer.json"
    threads = torch.get_num_threads()

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [
            "train.py", str(tmp_path / "out"), "--data", str(tmp_path), "--tokenizer", str(tokenizer), "--eager",
            "--minutes", "0.01", "--batch", "2", *map(str, arguments)])
        trainer.main()

    yield run
    torch.set_num_threads(threads)


def test_products_in_bf16_learn_as_much(tmp_path, tiny_run):
    """Products round to 8 bits: the losses of 64 steps are not the same, and less than a hundredth apart."""
    write_texts(tmp_path)
    losses = []
    for arguments in ((), ("--bf16",)):
        tiny_run("--minutes", "5", "--tokens", str(64 * 2 * 64), *arguments)
        with open(tmp_path / "out" / "log.csv") as file:
            losses.append([float(row["val_loss"]) for row in csv.DictReader(file)])
        shutil.rmtree(tmp_path / "out")
    (exact,), (rounded,) = losses
    assert exact != rounded and abs(rounded - exact) < 0.01 * exact, losses


@pytest.mark.parametrize("n_tokens", [1, 3, 64, 70])
def test_attention_in_blocks_is_that_of_pytorch(n_tokens):
    """In float64, where both round to nothing: the values, and the gradients of all three."""
    seed = random.randrange(2 ** 32)
    torch.manual_seed(seed)
    inputs = [torch.randn(2, 3, n_tokens, width, dtype=torch.float64, requires_grad=True) for width in (24, 24, 16)]
    d_out = torch.randn(2, 3, n_tokens, 16, dtype=torch.float64)
    expected = torch.nn.functional.scaled_dot_product_attention(*inputs, is_causal=True, scale=0.3)
    found, _ = attention.attend(*inputs, 0.3)
    pairs = [(found, expected), *zip(torch.autograd.grad(found, inputs, d_out), torch.autograd.grad(expected, inputs, d_out))]
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12), (seed, n_tokens)


def test_texts_that_are_too_short_are_refused_before_training(tmp_path, tiny_run):
    short = "A fox."
    for texts, sentence in ((dict(held_out=short), r"tales.val.txt: \d tokens; a window of validation has 64"),
                            (dict(held_out=""), "tales.val.txt: 0 tokens"),
                            (dict(train=short, copies=1), r"tales.train.txt.xz: \d tokens; windows of 64 are drawn"),
                            (dict(train=""), "tales.train.txt.xz: 0 tokens")):
        write_texts(tmp_path, **texts)
        with pytest.raises(Trouble, match=sentence):
            tiny_run()
        assert not list((tmp_path / "out").iterdir())
    write_texts(tmp_path)
    (tmp_path / "tales.val.txt").write_bytes(b"A \xff fox.")
    with pytest.raises(Trouble, match="tales.val.txt: no UTF-8 at byte 2"):
        tiny_run()
    packed = tmp_path / "tales.train.txt.xz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(Trouble, match="tales.train.txt.xz: no whole .xz file"):
        tiny_run()
    write_texts(tmp_path)
    tiny_run()  # the control
    assert checkpoint.read(tmp_path / "out" / "checkpoint.pt")["step"] > 0


def test_trouble_ends_the_process_with_a_sentence(tmp_path):
    write_texts(tmp_path, held_out="A fox.")
    command = [sys.executable, REPOSITORY / "tools" / "train" / "train.py", tmp_path / "out", "--data", tmp_path, "--eager"]
    for folder, sentence in ((tmp_path, "a window of validation has 512\n"), (tmp_path / "none", "No such file or directory\n")):
        command[4] = folder
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1 and done.stderr.startswith("train.py: ") and done.stderr.endswith(sentence), done.stderr
        assert done.stderr.count("\n") == 1


def test_tokens_that_were_cut_on_the_disk_are_made_again(tmp_path):
    write_texts(tmp_path)
    tokenizer = REPOSITORY / "tools" / "model" / "tokenizer.json"
    whole = data.tokens(tmp_path / "tales.val.txt", tokenizer, tmp_path / "cache")
    cached, = (tmp_path / "cache").iterdir()
    for n in (0, 50, cached.stat().st_size - 1):
        cached.write_bytes(cached.read_bytes()[:n])
        assert (data.tokens(tmp_path / "tales.val.txt", tokenizer, tmp_path / "cache") == whole).all()


def test_weights_are_saved_before_they_are_validated(tmp_path, tiny_run, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError

    write_texts(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "validation_loss", fails)
        with pytest.raises(ZeroDivisionError):
            tiny_run()
    assert checkpoint.read(tmp_path / "out" / "checkpoint.pt")["step"] > 0
    monkeypatch.setattr(trainer, "validation_loss", lambda *_: float("nan"))
    with pytest.raises(Trouble, match="the validation loss is nan; the checkpoint before is .*checkpoint.previous.pt; .*"):
        tiny_run()


def test_a_loss_that_is_no_number_leaves_the_good_checkpoint(tmp_path, tiny_run):
    write_texts(tmp_path)
    tiny_run()
    path = tmp_path / "out" / "checkpoint.pt"
    good = path.read_bytes()
    weights = {name: torch.full_like(tensor, 1e30) for name, tensor in checkpoint.read(path)["model"].items()}
    save_file(weights, tmp_path / "huge.safetensors")
    with pytest.raises(Trouble, match="step [01]: the training loss is (nan|inf); this run has saved no checkpoint"):
        tiny_run("--init", tmp_path / "huge.safetensors", "--minutes", "1")  # time for a second step on a machine that is busy
    assert path.read_bytes() == good
    weights["output_norm.weight"][3] = float("nan")
    save_file(weights, tmp_path / "nan.safetensors")
    with pytest.raises(Trouble, match="nan.safetensors: tensor output_norm.weight holds NaN or infinity"):
        tiny_run("--init", tmp_path / "nan.safetensors")


def test_weights_that_become_nan_are_not_saved(tmp_path, tiny_run, monkeypatch):
    """The step's loss is a number, and the gradient is none: the weights after it are caught before they are saved."""
    write_texts(tmp_path)
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def poison(parameters, limit):
        parameters = list(parameters)
        clip(parameters, limit)
        calls.append(True)
        if len(calls) == 5:
            parameters[0].grad[0, 0] = float("nan")

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", poison)
    with pytest.raises(Trouble, match=r"step 5: .*tensor token_embd.weight holds NaN or infinity; .*checkpoint.pt is of step 4"):
        tiny_run("--save-seconds", "0", "--minutes", "1")
    assert checkpoint.read(tmp_path / "out" / "checkpoint.pt")["step"] == 4


def test_a_full_disk_stops_the_trainer_with_a_sentence(tmp_path, tiny_run, monkeypatch):
    write_texts(tmp_path)
    fsync, calls = os.fsync, []

    def full(descriptor):
        if "checkpoint.pt.tmp" in os.readlink(f"/proc/self/fd/{descriptor}"):
            calls.append(True)
            if len(calls) == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Trouble, match=r"step 3: .*checkpoint.pt cannot be written: No space left on device; .* is of step 2"):
        tiny_run("--save-seconds", "0", "--minutes", "1")
    assert checkpoint.read(tmp_path / "out" / "checkpoint.pt")["step"] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, tiny_run, monkeypatch, number):
    write_texts(tmp_path)
    batch = data.batch

    def signalled(*arguments):
        os.kill(os.getpid(), number)
        return batch(*arguments)

    monkeypatch.setattr(data, "batch", signalled)
    tiny_run("--minutes", "10")
    assert checkpoint.read(tmp_path / "out" / "checkpoint.pt")["step"] == 1


def test_a_damaged_checkpoint_is_resumed_from_the_one_before(tmp_path, tiny_run, capsys):
    write_texts(tmp_path)
    path = tmp_path / "out" / "checkpoint.pt"
    tiny_run()
    tiny_run("--resume", path)
    before = checkpoint.read(checkpoint.previous(path))["step"]
    path.write_bytes(path.read_bytes()[:-1000])
    tiny_run("--resume", path)
    assert f"{path}: damaged, or no checkpoint" in capsys.readouterr().err
    assert checkpoint.read(path)["step"] > before == checkpoint.read(checkpoint.previous(path))["step"]
    path.write_bytes(b"")
    checkpoint.previous(path).unlink()
    with pytest.raises(Trouble, match="checkpoint.pt: damaged, or no checkpoint"):
        tiny_run("--resume", path)
    with pytest.raises(Trouble, match="none.pt: No such file"):
        tiny_run("--resume", tmp_path / "none.pt")


def changed_tokenizer(folder, name, change):
    tokenizer = json.loads((REPOSITORY / "tools" / "model" / "tokenizer.json").read_text("utf-8"))
    change(tokenizer)
    (folder / name).write_text(json.dumps(tokenizer), "utf-8")
    return folder / name


def added(tokenizer, index, text, special=False):
    tokenizer["added_tokens"].append(dict(id=index, content=text, single_word=False, lstrip=False, rstrip=False, normalized=False,
                                          special=special))


def test_options_that_do_not_match_are_refused_on_resume(tmp_path, tiny_run, monkeypatch):
    write_texts(tmp_path)
    path = tmp_path / "out" / "checkpoint.pt"
    tiny_run()
    good = path.read_bytes()
    larger = changed_tokenizer(tmp_path, "larger.json", lambda t: added(t, 2048, "<tale>"))
    other = changed_tokenizer(tmp_path, "other.json", lambda t: t["model"]["merges"].reverse())
    for arguments, sentence in ((("--tokenizer", larger), "vocab_size 2048, --tokenizer and --shape say 2049"),
                                (("--tokenizer", other), "another --tokenizer of the same size")):
        with pytest.raises(Trouble, match=sentence):
            tiny_run("--resume", path, *arguments)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.shapes, "shape_m", lambda vocab_size: replace(LATENT, vocab_size=vocab_size, n_layers=4))
        with pytest.raises(Trouble, match="its model has n_layers 3, .* say 4"):
            tiny_run("--resume", path)
    state = checkpoint.read(path)
    save_file({k: v for k, v in state["model"].items() if k != "output_norm.weight"}, tmp_path / "fewer.safetensors")
    with pytest.raises(Trouble, match="fewer.safetensors: tensor output_norm.weight is missing"):
        tiny_run("--init", tmp_path / "fewer.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "fewer.safetensors").read_bytes()[:-1])
    with pytest.raises(Trouble, match="cut.safetensors: no whole safetensors file"):
        tiny_run("--init", tmp_path / "cut.safetensors")
    torch.save(state | {"config": asdict(state["config"]), "optimizers": [{"state": {}, "param_groups": []}] * 2},
               tmp_path / "optimizers.pt")
    with pytest.raises(Trouble, match="optimizers.pt: the optimisers' state is none of this trainer"):
        tiny_run("--resume", tmp_path / "optimizers.pt")
    for arguments in (("--resume", path, "--init", path), ("--batch", 0), ("--threads", 0), ("--minutes", "nan"), ("--minutes", -1)):
        with pytest.raises(SystemExit) as ended:
            tiny_run(*arguments)
        assert ended.value.code == 2
    assert path.read_bytes() == good
    tiny_run("--resume", path)  # the control
    assert checkpoint.read(path)["step"] > state["step"]


def test_vocabularies_are_as_large_as_the_texts_and_the_ids_allow(tmp_path, tiny_run, monkeypatch):
    write_texts(tmp_path)
    out = tmp_path / "tokenizer.json"

    def learn(size):
        monkeypatch.setattr(sys, "argv", ["tokenizer.py", "--data", str(tmp_path), "--vocab", str(size), "--out", str(out)])
        tokenizer_trainer.main()

    for size, sentence in ((256, "257 to 65536"), (65537, "257 to 65536"), (5000, r"these texts have pairs for \d+ tokens")):
        with pytest.raises(Trouble, match=sentence):
            learn(size)
        assert not out.exists()
    learn(270)
    assert data.read_tokenizer(out)[1] == 270
    tiny_run("--tokenizer", out)
    assert checkpoint.read(tmp_path / "out" / "checkpoint.pt")["config"].vocab_size == 270
    # Ids are kept in 16 bits: 65,536 would be 0.
    many = changed_tokenizer(tmp_path, "many.json", lambda t: [added(t, i, f"<{i}>") for i in range(2048, 65537)])
    with pytest.raises(Trouble, match="many.json: 65,537 token ids; 1 to 65,536 can be trained"):
        tiny_run("--tokenizer", many)
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(Trouble, match="none.json: no tokenizer"):
        tiny_run("--tokenizer", tmp_path / "none.json")
