"""GGUF files of other programs: packed by `pith quantize`, run by the library, against `transformers` in float64 and against
their own weights as the `gguf` package dequantises them."""

import json
import os
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

pytest.importorskip("transformers")

import foreign_gguf  # noqa: E402
import libpith  # noqa: E402
import tiny_models  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
PITH = os.environ.get("PITH_COMMAND", REPOSITORY / "build" / "release" / "pith")
TYPES = gguf.GGMLQuantizationType
BOUND = 2e-5  # as in test_hugging_face.py
EXACT = dict(cache=libpith.F32, activations=libpith.F32)

GROUPED = ["llama, tied", "llama, head width of its own", "llama 3", "llama, linear scaling", "qwen2", "qwen2, yarn", "qwen3"]
LATENT = ["minicpm3, short", "youtu", "deepseek v2, yarn", "deepseek v3, yarn", "plm"]
EXPERTS = ["deepseek v2, experts", "deepseek v2, groups of experts", "deepseek v3, groups of experts", "moonlight",
           "deepseek v3, weights not normed", "glm 4.7 flash"]


@pytest.fixture
def seed():
    value = np.random.SeedSequence().entropy % 2**31
    print("seed", value)
    return value


def quantize(path, out, *arguments):
    return subprocess.run([PITH, "quantize", path, out, *arguments], capture_output=True, text=True)


def packed(path, out, *arguments):
    done = quantize(path, out, *arguments)
    assert done.returncode == 0, done.stderr
    return libpith.Model(Path(out).read_bytes())


def relative(ours, expected):
    return abs(ours - expected).max() / abs(expected).max()


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def mean_kl(expected, ours):
    """In nats, of logits as far apart as those of a trained model (SmolLM2's have a standard deviation of 2 to 3)."""
    cooler = min(1, 2.5 / np.std(expected))
    p, q = log_softmax(cooler * expected), log_softmax(cooler * ours)
    return (np.exp(p) * (p - q)).sum(-1).mean()


@pytest.fixture
def published_scales(monkeypatch):
    """Those of MiniCPM3-4B: its GGUF does not say them."""
    kind, arguments = tiny_models.MODELS["minicpm3, short"]
    monkeypatch.setitem(tiny_models.MODELS, "minicpm3, short",
                        (kind, arguments | dict(scale_emb=12, scale_depth=1.4, dim_model_base=256)))


@pytest.mark.parametrize("name, is_split", [(name, False) for name in GROUPED + LATENT + EXPERTS] + [(name, True) for name in LATENT + EXPERTS])
def test_logits_are_those_of_transformers(name, is_split, tmp_path, seed, published_scales):
    folder = tmp_path / "model"
    logits = tiny_models.write(name, folder, seed)
    path = foreign_gguf.write(folder, tmp_path / "f32.gguf", is_split)
    ids = tiny_models.ids_of(seed)
    model = packed(path, tmp_path / "packed.gguf", "--type", "f32")
    assert relative(model.logits(ids, tiny_models.VOCABULARY, **EXACT), logits(ids)) < BOUND


# ---- Quantised weights stay what they are ----

# Where integers and fp16 scales are in a block; the rest is integers of any value.
SCALES = {"Q4_0": {0: 0.02}, "Q4_1": {0: 0.02, 2: -0.15}, "Q5_0": {0: 0.01}, "Q5_1": {0: 0.01, 2: -0.15},
          "Q8_0": {0: 0.0012}, "Q2_K": {80: 0.01, 82: 0.01}, "Q3_K": {108: 0.0015}, "Q4_K": {0: 6e-4, 2: 5e-3},
          "Q5_K": {0: 3e-4, 2: 5e-3}, "Q6_K": {208: 6e-5}, "IQ4_NL": {0: 0.0015}, "IQ4_XS": {0: 1e-4}}
# What the importer promises, with float activations and cache:
#   integers and scales kept: the dequantised file's logits, to the rounding of float32
#   Q4_K, and what becomes q8: the same of the file whose weights numpy has rounded as promised, but for ties. How far that is
#   from the file itself is the chance of the model: mean KL of Q5_K 0.6e-3 to 2.4e-3 nats
#   the others' products of scales: mean KL against the dequantised file, 8e-6 nats where measured
KEPT = {"Q4_0", "Q4_1", "Q5_0", "Q8_0", "IQ4_NL"}
SCALES_ROUNDED = {"IQ4_XS", "Q3_K"}  # Q3_K: of random bytes many blocks hold a 128, which is rounded
WIDE = dict(hidden_size=256, intermediate_size=512, num_attention_heads=8, num_key_value_heads=2)
WIDE_HEAD = WIDE["hidden_size"] // WIDE["num_attention_heads"]


def random_blocks(random, shape, kind):
    """Random weights of a type: about as large as trained ones."""
    elements, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (shape[0], shape[1] // elements, n_bytes), dtype=np.uint8)
    if kind == TYPES.Q8_0:
        blocks[blocks == 128] = 129  # -128 is no code of its quantiser
    for at, scale in SCALES[kind.name].items():
        values = (scale * random.uniform(0.5, 1, blocks.shape[:2])).astype(np.float16)
        blocks[..., at:at + 2] = values.view(np.uint8).reshape(*values.shape, 2)
    return blocks.reshape(shape[0], -1)


def stored_blocks(name, blocks, kind):
    return blocks, kind


def dequantised(name, blocks, kind):
    return gguf.dequantize(blocks, kind).astype(np.float32), TYPES.F32


def with_halved_products(blocks):
    """Q4_K's weights, d s and dmin t rounded to fp16: 256 of a block share d and dmin, 32 share s and t, of 6 bits each."""
    b = blocks.reshape(-1, 144)
    d, dmin = (b[:, at:at + 2].copy().view(np.float16).astype(np.float32) for at in (0, 2))
    p = b[:, 4:16]
    s = np.concatenate((p[:, :4] & 63, p[:, 8:] & 15 | p[:, :4] >> 6 << 4), 1)
    t = np.concatenate((p[:, 4:8] & 63, p[:, 8:] >> 4 | p[:, 4:8] >> 6 << 4), 1)
    u = b[:, 16:].reshape(-1, 4, 32)
    u = np.stack((u & 15, u >> 4), 2).reshape(-1, 8, 32)
    scale, minimum = ((x * y).astype(np.float16).astype(np.float32)[..., None] for x, y in ((d, s), (-dmin, t)))
    return (scale * u + minimum).reshape(len(blocks), -1)


def rounded_to_q8(w):
    """32 of a row share d = fp16(max |w| / 127)."""
    x = w.reshape(len(w), -1, 32)
    d = (abs(x).max(-1, keepdims=True) / np.float32(127)).astype(np.float16).astype(np.float64)
    return (np.clip(np.rint(x / np.where(d == 0, 1, d)), -127, 127) * d).reshape(w.shape)


def rounded_as_promised(name, blocks, kind):
    if kind == TYPES.Q4_K:
        return with_halved_products(blocks), TYPES.F32
    scale = WIDE_HEAD ** -0.5 if ".attn_q." in name else 1  # the score scale is inside W_Q when it is rounded
    w = (gguf.dequantize(blocks, kind).astype(np.float64) * scale).astype(np.float32)
    return (rounded_to_q8(w) / scale).astype(np.float32), TYPES.F32


def write_quantised(folder, path, kind, seed, stored_as):
    random = np.random.default_rng(seed)
    return foreign_gguf.write(folder, path,
                              encode=lambda name, value: stored_as(name, random_blocks(random, value.shape, kind), kind))


@pytest.mark.parametrize("kind", SCALES)
def test_quantised_weights_are_not_rounded_again(kind, tmp_path, seed, monkeypatch):
    monkeypatch.setitem(tiny_models.MODELS, "wide", ("Llama", tiny_models.GROUPED | tiny_models.rope(1e4) | WIDE))
    folder, kind = tmp_path / "model", TYPES[kind]
    tiny_models.write("wide", folder, seed)
    plain = write_quantised(folder, tmp_path / "plain.gguf", kind, seed, dequantised)
    stored = write_quantised(folder, tmp_path / "stored.gguf", kind, seed, stored_blocks)
    ids = tiny_models.ids_of(seed)
    expected = packed(plain, tmp_path / "a.gguf", "--type", "f32").logits(ids, tiny_models.VOCABULARY, **EXACT)
    ours = packed(stored, tmp_path / "b.gguf").logits(ids, tiny_models.VOCABULARY, **EXACT)
    floats = packed(stored, tmp_path / "c.gguf", "--type", "f32").logits(ids, tiny_models.VOCABULARY, **EXACT)
    assert np.array_equal(floats, expected)  # dequantised as the gguf package does, to the bit
    error, kl = relative(ours, expected), mean_kl(expected, ours)
    print(f"{kind.name}: logits {np.std(expected):.2g}; {error:.2g} of the largest logit, KL {kl:.2g}")
    assert np.std(expected) > 0.1
    if kind.name in KEPT:
        assert error < BOUND
    elif kind.name in SCALES_ROUNDED:
        assert kl < 2e-4
    else:
        file = write_quantised(folder, tmp_path / "rounded.gguf", kind, seed, rounded_as_promised)
        promised = packed(file, tmp_path / "e.gguf", "--type", "f32").logits(ids, tiny_models.VOCABULARY, **EXACT)
        # The few weights that float32 and float64 round to neighbours; amplified as much as the rounding itself.
        assert 10 * BOUND < error and relative(ours, promised) < min(error / 50, 1e-3)
    if kind.name != "Q4_0":  # the control: another rounding shows
        rounded = packed(stored, tmp_path / "d.gguf", "--type", "q4").logits(ids, tiny_models.VOCABULARY, **EXACT)
        assert relative(rounded, expected) > 10 * BOUND


# ---- What would change the result is refused ----

@pytest.mark.parametrize("name, key, sentence", [
    ("llama, tied", ("attention.clamp_kqv", "add_float32", 8.0), "llama.attention.clamp_kqv: not known"),
    ("llama, tied", ("expert_count", "add_uint32", 8), "llama.expert_count: mixtures of experts"),
    ("youtu", ("nextn_predict_layers", "add_uint32", 3), "deepseek2.nextn_predict_layers: 3 of 3 layers"),
    ("llama, tied", ("attention.sliding_window", "add_uint32", 64), "llama.attention.sliding_window"),
    ("llama, tied", ("rope.scaling.type", "add_string", "dynamic"), 'llama.rope.scaling.type: "dynamic"'),
    ("llama, tied", ("rope.scaling.attn_factor", "add_float32", 1.2), "llama.rope.scaling.attn_factor"),
    ("llama, tied", ("attention.causal", "add_bool", False), "llama.attention.causal"),
    ("llama, tied", ("rope.dimension_count", "add_uint32", 8), "llama.rope.dimension_count"),
    ("qwen3", ("logit_scale", "add_float32", 0.5), "qwen3.logit_scale"),
])
def test_keys_that_would_change_the_result_are_refused(name, key, sentence, tmp_path, seed):
    folder = tmp_path / "model"
    tiny_models.write(name, folder, seed)
    harmless = (key[0], key[1], {"add_bool": True, "add_string": "none", "add_float32": 0.0}.get(key[1], 0))
    if key[0] not in ("rope.dimension_count", "rope.scaling.attn_factor"):
        good = foreign_gguf.write(folder, tmp_path / "good.gguf", keys=[harmless])
        assert quantize(good, tmp_path / "out.gguf").returncode == 0  # the control
    bad = foreign_gguf.write(folder, tmp_path / "bad.gguf", keys=[key])
    done = quantize(bad, tmp_path / "refused.gguf")
    assert done.returncode == 1 and sentence in done.stderr, done.stderr
    assert not (tmp_path / "refused.gguf").exists() and not list(tmp_path.glob("refused*"))


# ---- Experts ----

def trace_experts(path, ids):
    """By pith's own trace in float32: [T, E] weights of every layer with experts."""
    out = path.parent / "trace.safetensors"
    done = subprocess.run([PITH, "parity", path, "--ids", ",".join(map(str, ids)), "--save-trace", out, "--cache", "f32",
                           "--activations", "f32"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: value for name, value in load_file(out).items() if name.endswith(".experts")}


@pytest.mark.parametrize("name", EXPERTS)
def test_the_chosen_experts_are_those_of_transformers(name, tmp_path, seed):
    folder = tmp_path / "model"
    logits = tiny_models.write(name, folder, seed)
    ids = tiny_models.ids_of(seed)
    packed(foreign_gguf.write(folder, tmp_path / "f32.gguf"), tmp_path / "packed.gguf", "--type", "f32")
    ours = trace_experts(tmp_path / "packed.gguf", ids)
    theirs = tiny_models.chosen(logits.model, ids)
    assert len(ours) == len(theirs) == 2
    for weights, experts in zip((ours[name] for name in sorted(ours)), theirs):
        assert np.array_equal(np.stack([np.flatnonzero(row) for row in weights]), experts)


@pytest.mark.parametrize("changes", [
    ("expert_gating_func", "add_uint32", 1), ("expert_weights_norm", "add_bool", False), ("expert_weights_scale", "add_float32", 1.0),
    ("expert_used_count", "add_uint32", 1), ("expert_group_used_count", "add_uint32", 3)])
def test_the_bound_sees_another_choice(changes, tmp_path, seed):
    """The control: one key that is read wrongly is far above the bound."""
    folder = tmp_path / "model"
    logits = tiny_models.write("deepseek v3, groups of experts", folder, seed)
    ids = tiny_models.ids_of(seed)
    path = foreign_gguf.write(folder, tmp_path / "f32.gguf", keys=[changes])
    model = packed(path, tmp_path / "packed.gguf", "--type", "f32")
    assert relative(model.logits(ids, tiny_models.VOCABULARY, **EXACT), logits(ids)) > 10 * BOUND


def test_files_without_a_gating_function(tmp_path, seed):
    """Older than the key: softmax, unless scores are corrected."""
    for name in ("deepseek v2, experts", "moonlight"):
        folder = tmp_path / name
        logits = tiny_models.write(name, folder, seed)
        path = foreign_gguf.write(folder, tmp_path / "f32.gguf", keys=[("expert_gating_func", None, None)])
        model = packed(path, tmp_path / "packed.gguf", "--type", "f32")
        ids = tiny_models.ids_of(seed)
        assert relative(model.logits(ids, tiny_models.VOCABULARY, **EXACT), logits(ids)) < BOUND


def test_layers_that_predict_further_tokens_are_passed_over(tmp_path, seed):
    folder = tmp_path / "model"
    logits = tiny_models.write("glm 4.7 flash", folder, seed)
    extra = {"blk.3.nextn.eh_proj.weight": np.zeros((64, 128), np.float32), "blk.3.attn_norm.weight": np.zeros(64, np.float32)}
    keys = [("block_count", "add_uint32", 4), ("nextn_predict_layers", "add_uint32", 1)]
    path = foreign_gguf.write(folder, tmp_path / "f32.gguf", keys=keys, extra=extra)
    done = quantize(path, tmp_path / "packed.gguf", "--type", "f32")
    assert done.returncode == 0 and "1 layers after the last" in done.stderr, done.stderr
    ids = tiny_models.ids_of(seed)
    ours = libpith.Model((tmp_path / "packed.gguf").read_bytes()).logits(ids, tiny_models.VOCABULARY, **EXACT)
    assert relative(ours, logits(ids)) < BOUND
    refused = quantize(foreign_gguf.write(folder, tmp_path / "bad.gguf", extra=extra), tmp_path / "no.gguf")
    assert refused.returncode == 1 and "blk.3.attn_norm.weight" in refused.stderr or "blk.3.nextn" in refused.stderr


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "Q4_1"])
def test_quantised_experts_are_not_rounded_again(kind, tmp_path, seed, monkeypatch):
    """Rows of 64 and 96: whole blocks; routers stay floats."""
    shape = dict(moe_intermediate_size=64, kv_lora_rank=32, v_head_dim=32, q_lora_rank=32)
    name, arguments = tiny_models.MODELS["moonlight"]
    monkeypatch.setitem(tiny_models.MODELS, "blocks", (name, arguments | shape | dict(qk_nope_head_dim=16)))
    folder, kind = tmp_path / "model", TYPES[kind]
    tiny_models.write("blocks", folder, seed)

    def only_experts(encoding):
        def encode(name, value):
            if "_exps" not in name:
                return None
            random = np.random.default_rng([seed, sum(map(ord, name))])
            flat = random_blocks(random, (value.shape[0] * value.shape[1], value.shape[2]), kind)
            blocks, stored = encoding(name, flat, kind)
            return blocks.reshape(*value.shape[:2], -1), stored
        return encode
    plain = foreign_gguf.write(folder, tmp_path / "plain.gguf", encode=only_experts(dequantised))
    stored = foreign_gguf.write(folder, tmp_path / "stored.gguf", encode=only_experts(stored_blocks))
    ids = tiny_models.ids_of(seed)
    for arguments in (["--type", "f32"], []):
        a, b = (packed(path, tmp_path / "out.gguf", *arguments).logits(ids, tiny_models.VOCABULARY, **EXACT)
                for path in (plain, stored))
        if arguments:
            assert np.array_equal(a, b)
            expected = a
        else:
            assert relative(b, expected) > 10 * BOUND  # the rest was rounded
    done = quantize(stored, tmp_path / "out.gguf")
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([PITH, "info", tmp_path / "out.gguf", "--json"], capture_output=True, text=True)
    types = {t["name"]: t["type"] for t in json.loads(listed.stdout)["tensors"]}
    wanted = {"Q4_0": "q4", "Q8_0": "q8", "Q4_1": "q4m"}[kind.name]
    assert {t for name, t in types.items() if "_exps" in name} == {wanted}
    assert {t for name, t in types.items() if "gate_inp" in name} == {"f32"}
