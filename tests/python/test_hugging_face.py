"""Folders as people download them: packed by `pith quantize`, run by the library, against `transformers` in float64."""

import json
import os
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import libpith  # noqa: E402
import tiny_models  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
PITH = os.environ.get("PITH_COMMAND", REPOSITORY / "build" / "release" / "pith")

# Of the largest logit. Both sides have float32 in them: transformers computes angles in it (position 120: 120 * 2^-24 =
# 7e-6 radians) and softmax, pith everything. Measured: 0.3e-6 to 4e-6; what is forgotten or read wrongly costs 1e-3 and more.
BOUND = 2e-5


def quantize(folder, out):
    return subprocess.run([PITH, "quantize", folder, out, "--type", "f32"], capture_output=True, text=True)


def packed(folder, tmp_path):
    out = tmp_path / "packed.gguf"
    done = quantize(folder, out)
    assert done.returncode == 0, done.stderr
    return out


def difference(path, logits, seed):
    """The largest over 120 tokens, decoded one by one with float activations and cache."""
    ids = tiny_models.ids_of(seed)
    expected = logits(ids)
    ours = libpith.Model(path.read_bytes()).logits(ids, tiny_models.VOCABULARY, cache=libpith.F32, activations=libpith.F32)
    return abs(ours - expected).max() / abs(expected).max()


@pytest.fixture
def seed():
    value = np.random.SeedSequence().entropy % 2**31
    print("seed", value)
    return value


@pytest.mark.parametrize("name", tiny_models.MODELS)
def test_logits_are_those_of_transformers(name, tmp_path, seed):
    logits = tiny_models.write(name, tmp_path / "model", seed)
    assert difference(packed(tmp_path / "model", tmp_path), logits, seed) < BOUND


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_shards_of_halves(dtype, tmp_path, seed):
    folder = tmp_path / "model"
    logits = tiny_models.write("llama, biases everywhere", folder, seed, dtype, "60KB")
    assert len(list(folder.glob("*.safetensors"))) > 1 and (folder / "model.safetensors.index.json").exists()
    assert difference(packed(folder, tmp_path), logits, seed) < BOUND


@pytest.mark.parametrize("name", ["llama 3", "qwen2, yarn", "minicpm3, long", "deepseek v2, yarn", "youtu"])
def test_keys_of_older_versions(name, tmp_path, seed):
    """rope_theta and rope_scaling with `type` instead of rope_parameters."""
    folder = tmp_path / "model"
    logits = tiny_models.write(name, folder, seed)
    parameters = json.loads((folder / "config.json").read_text())["rope_parameters"]
    theta, kind = parameters.pop("rope_theta"), parameters.pop("rope_type")
    scaling = None if kind == "default" else parameters | dict(type=kind)
    tiny_models.edit(folder, rope_parameters=None, rope_theta=theta, rope_scaling=scaling)
    assert difference(packed(folder, tmp_path), logits, seed) < BOUND


@pytest.mark.parametrize("changes", [dict(rms_norm_eps=1e-3), dict(rope_parameters=dict(rope_theta=9e4, rope_type="default"))])
def test_the_bound_sees_a_wrong_value(changes, tmp_path, seed):
    """The control: one value that is read wrongly is far above the bound."""
    logits = tiny_models.write("llama, tied", tmp_path / "model", seed)
    tiny_models.edit(tmp_path / "model", **changes)
    assert difference(packed(tmp_path / "model", tmp_path), logits, seed) > 10 * BOUND


@pytest.mark.parametrize("name, changes, sentence", [
    ("llama, tied", dict(hidden_act="gelu"), "hidden_act"),
    ("llama, tied", dict(attention_bias=True), "self_attn.q_proj.bias"),
    ("llama, biases everywhere", dict(mlp_bias=None), "mlp.down_proj.bias"),
    ("llama, tied", dict(num_hidden_layers=2), "model.layers.2"),
    ("llama, tied", dict(num_local_experts=8), "mixtures of experts are not supported for llama"),
    ("deepseek v3, yarn", dict(first_k_dense_replace=1), "expert_used_count: 8 of 4 experts"),
    ("moonlight", dict(first_k_dense_replace=2), "model.layers.1.mlp.gate_proj.weight: missing"),
    ("moonlight", dict(n_routed_experts=9), "mlp.gate.weight: 8 x 64; config.json asks for 9 x 64"),
    ("moonlight", dict(n_routed_experts=6), "mlp.gate.weight: 8 x 64; config.json asks for 6 x 64"),
    ("moonlight", dict(num_experts_per_tok=9), "expert_used_count: 9 of 8 experts"),
    ("moonlight", dict(n_group=3), "expert_group_count: 3 does not divide the 8 experts"),
    ("moonlight", dict(topk_group=2), "expert_group_used_count: 2 of 1 groups"),
    ("moonlight", dict(scoring_func="softmax"), "scoring_func"),
    ("moonlight", dict(topk_method="greedy"), "topk_method"),
    ("moonlight", dict(moe_layer_freq=2), "moe_layer_freq"),
    ("moonlight", dict(moe_intermediate_size=32), "config.json asks for 32 x 64"),
    ("deepseek v2, experts", dict(norm_topk_prob=True), "norm_topk_prob"),
    ("deepseek v2, experts", dict(topk_method="noaux_tc"), "topk_method"),
    ("glm 4.7 flash", dict(mlp_layer_types=["sparse", "dense", "sparse"]), "mlp_layer_types"),
    ("glm 4.7 flash", dict(mlp_layer_types=["dense", "dense", "sparse"]), "mlp_layer_types"),
    ("qwen2", dict(use_sliding_window=True, sliding_window=64), "use_sliding_window"),
    ("youtu", dict(kv_lora_rank=24), "config.json asks for"),
])
def test_what_would_change_the_result_is_refused(name, changes, sentence, tmp_path, seed):
    tiny_models.write(name, tmp_path / "model", seed)
    packed(tmp_path / "model", tmp_path)  # as it is, it is read
    tiny_models.edit(tmp_path / "model", **changes)
    done = quantize(tmp_path / "model", tmp_path / "refused.gguf")
    assert done.returncode == 1 and sentence in done.stderr, done.stderr


def test_vocabulary_is_that_of_tokenizer_json(tmp_path, seed):
    """The built-in model's tokenizer in a folder: the same keys as the built-in model has, which another program wrote."""
    folder = tmp_path / "model"
    vocabulary = json.loads((REPOSITORY / "tools/model/tokenizer.json").read_text("utf-8"))
    tiny_models.write("llama, tied", folder, seed)
    matrix = torch.randn(2048, 64)
    from safetensors.torch import load_file, save_file
    tensors = load_file(folder / "model.safetensors") | {"model.embed_tokens.weight": matrix}
    save_file(tensors, folder / "model.safetensors")
    tiny_models.edit(folder, vocab_size=2048)
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>")))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    ours = gguf.GGUFReader(packed(folder, tmp_path)).fields
    theirs = gguf.GGUFReader(REPOSITORY / "tools/model/m.q4.gguf").fields
    for key in ("model", "pre", "tokens", "token_type", "merges", "bos_token_id", "eos_token_id"):
        key = f"tokenizer.ggml.{key}"
        assert ours[key].contents() == theirs[key].contents(), key
    assert ours["tokenizer.chat_template"].contents() == "{{ messages }}"
