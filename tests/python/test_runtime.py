"""The runtime against PyTorch in float64, for every variant of the family, through an independent packer."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "train"))

import libpith
import packed_file
import trace
from model import Config, Model
from random_weights import randomised

BASE = dict(vocab_size=300, n_layers=3, width=48, n_heads=3, feed_forward_width=72, context_length=256, value_width=16,
            content_width=8, rope_width=8, latent_width=16)
GATED = dict(gate="up", gate_width=24)
EXPERTS = dict(n_experts=8, n_used_experts=2, expert_width=40, n_dense_layers=1)
VARIANTS = {
    "egmla joint layer norm, shared tables": dict(GATED, gate_norm="layer", layer_group_size=2),
    "egmla split norm, rope halves": dict(GATED, gate_norm="layer_split", rope_interleaved=False),
    "egmla rms, no kv norm": dict(GATED, gate_norm="rms", kv_norm="none"),
    "egmla without gate norm": dict(GATED, gate_norm="none"),
    "egmla r = 96": dict(GATED, gate_norm="layer", latent_width=96),
    "latent gate": dict(gate="latent", gate_norm="layer", gate_width=24, tied=False),
    "latent gate, rms": dict(gate="latent", gate_norm="rms", gate_width=24),
    "mla": dict(),
    "mla r = 96": dict(latent_width=96),
    "mla low-rank query, yarn": dict(query_latent_width=40, rope_scaling="yarn", rope_factor=8, rope_original_context=32,
                                     yarn_log_multiplier=0.07, rope_interleaved=False),
    "grouped mha": dict(attention="mha", n_heads=4, n_kv_heads=2),
    "grouped mha, norms of heads": dict(attention="mha", n_heads=6, n_kv_heads=2, head_norm="rms", rope_interleaved=False,
                                        q_norm_epsilon=1e-3),
    "gelu, layer norm, biases, untied": dict(feed_forward="gelu_tanh", block_norm="layer", bias=True, tied=False),
    "gelu by erf, biases, gated": dict(GATED, feed_forward="gelu_erf", block_norm="layer", bias=True, gate_norm="layer"),
    "relu2, scales, longrope": dict(feed_forward="relu2", embedding_scale=3.0, residual_scale=0.4, logit_scale=0.3,
                                    rope_scaling="longrope", rope_factor=4, rope_original_context=64,
                                    rope_factors_short=(1, 1, 1, 1), rope_factors_long=(1.0, 1.5, 2.0, 4.0)),
    "experts, softmax, shared": dict(EXPERTS, n_shared_experts=2, expert_weights_scale=1.5),
    "experts, softmax, groups, relu2": dict(EXPERTS, n_expert_groups=4, n_used_expert_groups=2, feed_forward="relu2"),
    "experts, sigmoid, groups, normed, shared": dict(EXPERTS, expert_gating="sigmoid", n_expert_groups=4, n_used_expert_groups=2,
                                                     expert_weights_norm=True, expert_weights_scale=1.8, n_shared_experts=1,
                                                     query_latent_width=24),
    "experts of grouped mha, three used": dict(EXPERTS, attention="mha", n_heads=4, n_kv_heads=2, n_dense_layers=0,
                                               n_used_experts=3),
}


def random_model(variant, seed):
    torch.manual_seed(seed)
    return randomised(Model(Config(**(BASE | variant))).double())


def chosen(model, ids, noise=0.0):
    """Which experts every token goes to [T, layers with experts, E], with that much noise on the logits of routers."""
    handles = [module.register_forward_hook(lambda _, __, logits: logits + noise * torch.randn_like(logits))
               for name, module in model.named_modules() if name.endswith("ffn_gate_inp")]
    tensors = trace.trace(model, torch.tensor(ids))
    for handle in handles:
        handle.remove()
    return torch.stack([x != 0 for name, x in tensors.items() if name.endswith(".experts")], 1)


def model_and_ids(variant):
    """Of chance; for models with experts such that no choice hangs on a ten-thousandth of a logit: rounding moves none."""
    while True:
        seed = np.random.SeedSequence().entropy % 2**31
        print("seed", seed)
        model = random_model(variant, seed)
        ids = np.random.default_rng(seed).integers(0, 300, 150)
        ids[80:140] = ids[:60]  # repeated ids, over more than two tiles
        if not model.c.n_experts or all(torch.equal(chosen(model, ids), chosen(model, ids, 1e-4)) for _ in range(3)):
            return model, ids


def relative(a, b):
    """Largest ||a - b|| / ||b|| of a token."""
    return (np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max()


@pytest.mark.parametrize("name", VARIANTS)
def test_runtime_agrees_with_pytorch(name):
    model, ids = model_and_ids(VARIANTS[name])
    with torch.no_grad():
        expected = model(torch.tensor(ids)[None])[0].numpy()
    runtime = libpith.Model(packed_file.write(model))
    exact = dict(cache=libpith.F32, activations=libpith.F32)
    full = runtime.logits(ids, 300, **exact)
    # float32 rounding of a dozen products a layer over three layers: measured 4e-7 to 8e-7; 2e-5 is the promise.
    assert relative(full, expected) < 2e-5
    materialised = runtime.logits(ids, 300, attention=libpith.MATERIALISE, **exact)
    assert relative(materialised, expected) < 2e-5
    assert relative(runtime.logits(ids, 300, pool_bytes=libpith.POOL_NONE, **exact), expected) < 2e-5
    assert np.array_equal(full, runtime.logits(ids, 300, tier=b"scalar", **exact))
    assert np.array_equal(full, runtime.logits(ids, 300, max_threads=2, **exact))
    if model.c.n_experts:  # rounded, some tokens go to other experts
        return
    # 8-bit rounding: one part in 254 of the largest of 32 values at each of some 20 products; measured 1e-3 to 4e-2.
    assert relative(runtime.logits(ids, 300, activations=libpith.F32), expected) < 0.05
    assert relative(runtime.logits(ids, 300), expected) < 0.1


@pytest.mark.parametrize("kind", ["q8", "q4", "q4m"])
@pytest.mark.parametrize("name", ["egmla joint layer norm, shared tables", "mla r = 96", "grouped mha", "experts, softmax, shared"])
def test_stored_layouts(name, kind):
    """Packed weights mean what the prose says: with the rounded matrices in PyTorch, only float32 rounding is left."""
    model = random_model(VARIANTS[name], 7)
    with torch.no_grad():  # W_O beta_v is folded before W_O is rounded: leave beta out of this comparison
        for key, p in model.named_parameters():
            if key.endswith("attn_gate_norm.bias"):
                p.zero_()
    stored = {}
    runtime = libpith.Model(packed_file.write(model, kind, stored))
    folded = packed_file.fold(model)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if key in stored:  # undo the fold on the rounded matrix: it is a scale per row or per column
                scale = np.divide(model.state_dict()[key].numpy(), folded[key], out=np.ones_like(folded[key]), where=folded[key] != 0)
                p.copy_(torch.from_numpy(stored[key] * scale))
        ids = np.random.default_rng(7).integers(0, 300, 100)
        expected = model(torch.tensor(ids)[None])[0].numpy()
    got = runtime.logits(ids, 300, cache=libpith.F32, activations=libpith.F32)
    assert relative(got, expected) < 2e-5
    quantized = runtime.logits(ids, 300)
    assert model.c.n_experts or relative(quantized, expected) < 0.1  # rounded, some tokens go to other experts
    assert np.array_equal(quantized, runtime.logits(ids, 300, tier=b"scalar"))


def test_a_wrong_gate_is_seen():
    """The comparison has teeth: one gate row off is far beyond the bound."""
    model = random_model(VARIANTS["egmla joint layer norm, shared tables"], 1)
    runtime = libpith.Model(packed_file.write(model))
    ids = np.arange(20)
    with torch.no_grad():
        model.gate_embd[0].weight[5] += 0.1
        expected = model(torch.tensor(ids)[None])[0].numpy()
    got = runtime.logits(ids, 300, cache=libpith.F32, activations=libpith.F32)
    assert relative(got[:5], expected[:5]) < 2e-5 < relative(got[5:], expected[5:])
