"""Published models: SmolLM2-135M-Instruct in Q4_1, as it is downloaded, packed by `pith quantize`; against `transformers` in
float32 with the file's weights as the `gguf` package dequantises them."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import libpith  # noqa: E402
from test_tokenizer_smollm2 import AddedToken, Vocabulary, package  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
PITH = os.environ.get("PITH_COMMAND", REPOSITORY / "build" / "release" / "pith")
VOCABULARY = 49152
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
         "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
QUESTION = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n")


def halves(w, n_heads):
    """Rows of every head from neighbours (2i, 2i + 1), as llama.cpp stores them, to halves (i, n + i)."""
    return w.reshape(n_heads, -1, 2, w.shape[-1]).swapaxes(1, 2).reshape(w.shape)


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    v = Vocabulary(smollm2)
    out = package(v.tokens, v.merges, v.tokens[v.unknown])
    out.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in v.names])
    return out


@pytest.fixture(scope="module")
def reader(smollm2):
    return gguf.GGUFReader(smollm2)


@pytest.fixture(scope="module")
def reference(reader):
    field = lambda key: reader.fields["llama." + key].contents()  # noqa: E731
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=field("embedding_length"), intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"), num_attention_heads=field("attention.head_count"),
        num_key_value_heads=field("attention.head_count_kv"), max_position_embeddings=field("context_length"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"), tie_word_embeddings=True,
        rope_parameters=dict(rope_theta=field("rope.freq_base"), rope_type="default"))
    state = {}
    for t in reader.tensors:
        w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in reversed(t.shape)])
        stem = t.name.removesuffix(".weight")
        if stem.startswith("blk."):
            _, layer, part = stem.split(".")
            if part in ("attn_q", "attn_k"):
                w = halves(w, field("attention.head_count" if part == "attn_q" else "attention.head_count_kv"))
            name = f"model.layers.{layer}.{NAMES[part]}.weight"
        else:
            name = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}[stem]
        state[name] = torch.tensor(w)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="module")
def packed(smollm2, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "smollm2.gguf"
    done = subprocess.run([PITH, "quantize", smollm2, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("kept as they are") == 2, done.stderr  # Q4_1 and Q8_0
    return out


@pytest.fixture(scope="module")
def text_ids(tokenizer):
    text = (REPOSITORY / "tests" / "golden" / "tale.txt").read_text("utf-8")
    return np.array(tokenizer.encode(text).ids[:256])


@pytest.fixture(scope="module")
def expected(reference, text_ids):
    with torch.no_grad():
        return reference(torch.tensor(text_ids)[None]).logits[0].double().numpy()


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def compare(expected, ours, ids):
    """(mean KL in nats, share of equal top tokens, ratio of perplexities)"""
    p, q = log_softmax(expected), log_softmax(ours.astype(np.float64))
    kl = (np.exp(p) * (p - q)).sum(-1).mean()
    at = np.arange(len(ids) - 1)
    nats = [-x[at, ids[1:]].mean() for x in (p, q)]
    return kl, (p.argmax(-1) == q.argmax(-1)).mean(), np.exp(nats[1] - nats[0])


@pytest.mark.parametrize("options, kl_bound, top, perplexity", [
    # Nothing of the weights is rounded: what is left is float32, and the rotary angles of transformers in it.
    (dict(cache=libpith.F32, activations=libpith.F32), 1e-8, 0.99, 1e-4),  # measured: 3e-11
    # Activations and cache in int8: 0.005 and 0.001 nats of the 0.007.
    (dict(), 8e-3, 0.9, 0.03),  # 1.3 % of perplexity: some of 255 tokens, either way
])
def test_smollm2_keeps_its_weights(packed, expected, text_ids, options, kl_bound, top, perplexity):
    ours = libpith.Model(packed.read_bytes()).logits(text_ids, VOCABULARY, **options)
    kl, agreement, ratio = compare(expected, ours, text_ids)
    print(f"KL {kl:.2g}, top token {agreement:.4f}, perplexity {ratio:.5f} of the reference")
    assert kl < kl_bound and agreement > top and abs(ratio - 1) < perplexity


def test_rounding_twice_shows(smollm2, expected, text_ids, tmp_path):
    """The control: the same file, its weights rounded to q4 again."""
    out = tmp_path / "q4.gguf"
    subprocess.run([PITH, "quantize", smollm2, out, "--type", "q4"], check=True, capture_output=True)
    ours = libpith.Model(out.read_bytes()).logits(text_ids, VOCABULARY, cache=libpith.F32, activations=libpith.F32)
    kl, agreement, _ = compare(expected, ours, text_ids)
    assert kl > 0.05 and agreement < 0.92


@pytest.mark.parametrize("prompt", ["The capital of France is", QUESTION])
def test_smollm2_answers(packed, tokenizer, reference, prompt):
    ids = tokenizer.encode(prompt).ids
    with torch.no_grad():
        answer = reference.generate(torch.tensor([ids]), max_new_tokens=20, do_sample=False, eos_token_id=2)[0, len(ids):].tolist()
    text = tokenizer.decode(answer, skip_special_tokens=True)
    assert "Paris" in text
    ours = libpith.Model(packed.read_bytes()).logits(ids + answer, VOCABULARY, cache=libpith.F32, activations=libpith.F32)
    assert ours[len(ids) - 1:-1].argmax(-1).tolist() == answer
    if prompt == QUESTION:
        return
    done = subprocess.run([PITH, "run", packed, "-p", prompt, "-n", "20", "--temp", "0", "--cache", "f32", "--activations", "f32"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(prompt + text), done.stderr
