"""The PyTorch models themselves, the trainer and the exporter: python3 -m pytest tests/python/test_train.py

The models are the oracle of the golden files, so they are held to what does not depend on their code: a cached decode must give
what the whole sequence gives, a later token must not change an earlier logit, and what is exported must read back bit for bit.
"""

import csv
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tools" / name) for name in ("train", "export", "model")]

from export import export  # noqa: E402
from model import Config, Model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

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


def train(out, folder, *arguments):
    done = subprocess.run([sys.executable, REPOSITORY / "tools" / "train" / "train.py", out, "--data", folder, "--eager",
                           "--minutes", "0.05", "--batch", "1", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with open(out / "log.csv") as file:
        return torch.load(out / "checkpoint.pt", weights_only=False), list(csv.DictReader(file))


def test_training_resumes_and_starts_from_weights(tmp_path):
    import lzma
    tale = "Once upon a time a fox found a lantern in the snow, and the lantern was still warm. " * 60
    text = "\n<|endoftext|>\n".join([tale] * 4) + "\n<|endoftext|>\n"
    with lzma.open(tmp_path / "tales.train.txt.xz", "wt", encoding="utf-8") as file:
        file.write(text)
    (tmp_path / "tales.val.txt").write_text(tale + "\n", encoding="utf-8")
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
