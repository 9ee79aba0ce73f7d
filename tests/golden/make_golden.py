"""Makes the golden files of the C++ tests: PITH_COMMAND=build/release/pith python3 tests/golden/make_golden.py [traces]

    NAME.gguf, NAME.tokens (int32), NAME.logits (float32 [tokens, V])   small float models and their logits in PyTorch float64
    tiny.q4.gguf                                                      a packed model with the built-in vocabulary
    minima.q4m.gguf                                                   a packed model of random weights with a minimum per block
    experts.q4.gguf                                                   a packed model of random weights with experts
    NAME.pytorch.safetensors                                          traces of those models, of more, and of layers of the built-in one, in
                                                                      PyTorch float64 on the CPU, rounded to float32 (`traces`: only these)
    tokenizer_cases.tsv                                               texts (hex) and their ids by the `tokenizers` package
"""

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY / "tools" / "train"), str(REPOSITORY / "tools" / "export"), str(REPOSITORY / "tests" / "python")]

from export import export  # noqa: E402
from gguf_model import load  # noqa: E402
from model import Config, Model  # noqa: E402
from shapes import shape_m  # noqa: E402
from random_weights import randomised  # noqa: E402
import trace  # noqa: E402

TOKENIZER = REPOSITORY / "tools" / "model" / "tokenizer.json"
SMALL = dict(vocab_size=300, n_layers=2, width=32, n_heads=2, feed_forward_width=48, context_length=128, value_width=16,
             content_width=8, rope_width=8, latent_width=16)
GATED = dict(gate="up", gate_norm="layer", gate_width=16, layer_group_size=2)
MODELS = {
    "egmla": GATED,
    "latent_gate": dict(GATED, gate="latent", tied=False, bias=True, block_norm="layer", feed_forward="gelu_erf"),
    "mla_yarn": dict(query_latent_width=24, rope_scaling="yarn", rope_factor=8.0, rope_original_context=32,
                     yarn_log_multiplier=0.07, rope_interleaved=False, feed_forward="relu2"),
    "mha_grouped": dict(attention="mha", n_heads=4, n_kv_heads=2, embedding_scale=2.0, residual_scale=0.5, logit_scale=0.5),
    "experts": dict(n_experts=8, n_used_experts=2, n_shared_experts=1, expert_width=24, n_dense_layers=1, n_expert_groups=4,
                    n_used_expert_groups=2, expert_gating="sigmoid", expert_weights_norm=True, expert_weights_scale=1.8, tied=False),
}

# Of traces alone: what the others do not use.
TRACED = {
    "split_low_rank": dict(GATED, gate_norm="layer_split", rope_interleaved=False, query_latent_width=24, layer_group_size=1),
    "rms_gate": dict(GATED, gate_norm="rms", kv_norm="none", bias=True, block_norm="layer", feed_forward="gelu_tanh", tied=False),
    "mla_longrope": dict(rope_scaling="longrope", rope_factor=4.0, rope_original_context=64, feed_forward="relu2", embedding_scale=3.0,
                         residual_scale=0.4, logit_scale=0.3, rope_factors_short=(1.0,) * 4, rope_factors_long=(1.0, 1.5, 2.0, 4.0)),
}
TRACED_VOCAB = 96
TRACED_TOKENS = 32
BUILTIN_TOKENS, BUILTIN_LAYERS = 12, {0, 11}


def random_model(config, seed):
    torch.manual_seed(seed)
    return randomised(Model(config))


def write_models():
    for seed, (name, variant) in enumerate(MODELS.items()):
        model = random_model(Config(**(SMALL | variant)), seed)
        export(model, HERE / f"{name}.gguf")
        tokens = np.random.default_rng(seed).integers(0, 300, 80).astype(np.int32)
        tokens[48:72] = tokens[:24]
        with torch.no_grad():
            logits = model.double()(torch.from_numpy(tokens).long()[None])[0].numpy()
        tokens.tofile(HERE / f"{name}.tokens")
        logits.astype(np.float32).tofile(HERE / f"{name}.logits")


def write_trace(name, model, ids, layers=None):
    trace.write(HERE / f"{name}.pytorch.safetensors", model.double(), torch.from_numpy(ids).long(), torch.float32, layers,
                {"model": name, "commit": trace.commit(), "machine": platform.machine()})


def builtin_model():
    weights = load_file(REPOSITORY / "tools" / "model" / "weights.bf16.safetensors")
    model = Model(shape_m())
    model.load_state_dict({k: v.float() for k, v in weights.items()})
    return model


def write_traces():
    for name in MODELS:
        write_trace(name, load(HERE / f"{name}.gguf"), np.fromfile(HERE / f"{name}.tokens", np.int32)[:TRACED_TOKENS])
    for seed, (name, variant) in enumerate(TRACED.items()):
        model = random_model(Config(**(SMALL | variant | dict(vocab_size=TRACED_VOCAB))), 200 + seed)
        export(model, HERE / f"{name}.gguf")
        ids = np.random.default_rng(200 + seed).integers(0, TRACED_VOCAB, TRACED_TOKENS).astype(np.int32)
        ids[20:28] = ids[:8]
        write_trace(name, model, ids)
    text = (HERE / "tale.txt").read_text("utf-8")
    ids = Tokenizer.from_file(str(TOKENIZER)).encode(text, add_special_tokens=False).ids[:BUILTIN_TOKENS - 1]
    write_trace("builtin", builtin_model(), np.array([0] + ids, np.int32), BUILTIN_LAYERS)


def write_tiny():
    model = random_model(Config(**(SMALL | GATED | dict(vocab_size=2048))), 100)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        export(model, path, TOKENIZER, [("general.name", "tiny"), ("general.license", "apache-2.0")])
        subprocess.run([os.environ["PITH_COMMAND"], "quantize", path, HERE / "tiny.q4.gguf"], check=True)


def write_synthetic(shape, name, kind):
    shape_file = name.split(".")[0] + ".json"  # its name goes into the file
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / shape_file).write_text(json.dumps(shape))
        subprocess.run([Path(os.environ["PITH_COMMAND"]).resolve(), "synth", shape_file, HERE / name, "--type", kind],
                       cwd=folder, check=True)


def write_minima():
    shape = {"attention.kind": "latent", "attention.gate": "up", "attention.gate_norm": "layer", "attention.gate_length": 32,
             "attention.layer_group_size": 1, "block_count": 1, "embedding_length": 160, "attention.head_count": 4,
             "attention.value_length": 24, "attention.key_length_content": 24, "rope.dimension_count": 16, "vocab_size": 300,
             "attention.kv_lora_rank": 64, "feed_forward_length": 200, "context_length": 128, "tied": True}
    write_synthetic(shape, "minima.q4m.gguf", "q4m")


def write_experts():
    """Widths that are no whole blocks."""
    shape = {"attention.kind": "latent", "block_count": 2, "embedding_length": 72, "attention.head_count": 3,
             "attention.value_length": 16, "attention.key_length_content": 16, "rope.dimension_count": 8, "vocab_size": 300,
             "attention.kv_lora_rank": 32, "feed_forward_length": 104, "context_length": 128, "tied": True,
             "expert_count": 8, "expert_used_count": 3, "expert_shared_count": 1, "expert_feed_forward_length": 40,
             "leading_dense_block_count": 1, "expert_group_count": 4, "expert_group_used_count": 2,
             "expert_gating_func": "sigmoid", "expert_weights_norm": True, "expert_weights_scale": 1.8}
    write_synthetic(shape, "experts.q4.gguf", "q4")


def odd_texts():
    yield from ["", " ", "  ", "\n", " \n\n a", "a  b", "a   b ", "\t\tx", "don't we're I'll he'd I'm it's you've 'tis 'S",
                "3 lanterns, 42nd; 1/2 ½ ² Ⅷ ٣٤ ४५", "naïve café e\u0301 a\u0308", "Привет, мир!", "你好，世界。", "مرحبا بالعالم",
                "שלום עולם", "👩‍👩‍👧‍👦 👍🏽 🇩🇪", "\u00a0nbsp\u2003em\u3000ideo\u1680ogham\u2028line\u0085nel", "zero\u200bwidth\u200djoin\ufeffbom",
                "\x00\x01\x1f\x7f\x80", "a\u0300\u0301\u0302b", "ﬀ ﬁ ǅ ʰ ª º", "_under-score's--dash...''\"", "<|endoftext|>",
                "The fox and the lantern", "x" * 300, " " * 70 + "y", "é" * 100, "\U0010ffff\U000e0001", "¡Hola! ¿Qué?", "a\r\nb\rc"]
    alphabet = ["the ", "fox", "'s", "'", " ", "  ", "\n", "\t", "7", "é", "ß", "中", "🦊", "\u00a0", "\u2009", ".", "--", "Ω", "٣", "\u0301"]
    chance = random.Random(1)
    for _ in range(300):
        yield "".join(chance.choice(alphabet) for _ in range(chance.randrange(1, 25)))


def write_tokenizer_cases():
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    plain = [t for t in odd_texts() if "<|endoftext|>" not in t]  # the package finds special tokens in text; pith does not
    rows = [f"{t.encode().hex()}\t{' '.join(map(str, tokenizer.encode(t, add_special_tokens=False).ids))}" for t in plain]
    (HERE / "tokenizer_cases.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["traces"]:
        write_models()
        write_tiny()
        write_minima()
        write_experts()
        write_tokenizer_cases()
    write_traces()
