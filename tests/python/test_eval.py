"""`pith eval --ids --logits`: NumPy reads the file, and its numbers are those of the C ABI, call by call.

Needs the pith command (PITH_COMMAND) and the library (PITH_LIBRARY).
"""

import json
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

import libpith

COMMAND = os.environ.get("PITH_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="PITH_COMMAND does not name the pith command")

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
VOCAB = 300
COMMON = {"block_count": 3, "embedding_length": 32, "attention.head_count": 4, "attention.value_length": 16,
          "vocab_size": VOCAB, "feed_forward_length": 64, "context_length": 128}
LATENT = {**COMMON, "attention.kind": "latent", "attention.key_length_content": 16, "rope.dimension_count": 8,
          "attention.kv_lora_rank": 16}
SHAPES = {
    "mha": {**COMMON, "attention.kind": "mha", "attention.head_count_kv": 2},
    "mla": LATENT,
    "egmla": {**LATENT, "attention.gate": "up", "attention.gate_norm": "layer", "attention.gate_length": 16,
              "attention.layer_group_size": 2},
}


def pith(*arguments):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def done(*arguments):
    result = pith(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module", params=SHAPES)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "shape.json").write_text(json.dumps(SHAPES[request.param]))
    done("synth", folder / "shape.json", folder / "model.gguf", "--seed", 3)
    return folder / "model.gguf"


def random_ids(n):
    seed = random.randrange(2 ** 32)
    print("seed", seed)
    return np.random.default_rng(seed).integers(0, VOCAB, n)


def evaluate(model, ids, folder, *options):
    """The logits, and the document that the command prints."""
    (folder / "ids").write_text(",".join(map(str, ids)))
    out = done("eval", model, "--ids", folder / "ids", "--logits", folder / "out.npy", "--json", *options)
    return np.load(folder / "out.npy", allow_pickle=False), json.loads(out)


def same_bits(a, b):
    return a.shape == b.shape and np.array_equal(a.view(np.uint32), b.view(np.uint32))


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def test_logits_are_those_of_the_library(model, tmp_path):
    ids = random_ids(100)
    runtime = libpith.Model(model.read_bytes())
    for options, of_library in (((), {}),
                                (("--activations", "f32", "--cache", "f32"),
                                 dict(activations=libpith.F32, cache=libpith.F32)),
                                (("--attention", "materialise"), dict(attention=libpith.MATERIALISE))):
        got, document = evaluate(model, ids, tmp_path, "--chunk", 1, *options)
        assert got.dtype == np.dtype("<f4") and got.flags.c_contiguous and got.shape == (100, VOCAB)
        assert same_bits(got, runtime.logits(ids, VOCAB, **of_library))
        predicted = log_softmax(got[:-1])[np.arange(99), ids[1:]]
        assert document["perplexity"] == pytest.approx(np.exp(-predicted.mean()), rel=1e-12)
        assert document["tokens"] == 99 and document["logits"] == str(tmp_path / "out.npy")
    changed = ids.copy()
    changed[60] = (changed[60] + 1) % VOCAB
    other, _ = evaluate(model, changed, tmp_path, "--chunk", 1, "--attention", "materialise")
    assert same_bits(other[:60], got[:60]) and not np.array_equal(other[60:], got[60:])  # the comparison has teeth


def test_chunks_agree_where_that_is_promised(model, tmp_path):
    """pith.h: the same bits with PITH_ATTENTION_MATERIALISE and for MHA; otherwise as far apart as the two forms are."""
    ids = random_ids(101)
    for attention in ("materialise", "grouped"):
        whole, _ = evaluate(model, ids, tmp_path, "--attention", attention)
        for chunk in (1, 7, 100):
            got, _ = evaluate(model, ids, tmp_path, "--attention", attention, "--chunk", chunk)
            if attention == "materialise" or "mha" in str(model):
                assert same_bits(got, whole), chunk
            else:
                assert np.linalg.norm(got - whole) < 0.1 * np.linalg.norm(whole), chunk


def test_ids_beyond_the_context(model, tmp_path):
    ids = random_ids(50)
    (tmp_path / "ids").write_text("\n".join(map(str, ids)))
    refused = pith("eval", model, "--ids", tmp_path / "ids", "--context", 20, "--logits", tmp_path / "out.npy")
    assert refused.returncode == 1 and "50 ids" in refused.stderr and "context of 20" in refused.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "ids"]
    runtime = libpith.Model(model.read_bytes())
    for keep in (0, 4):
        got, _ = evaluate(model, ids, tmp_path, "--chunk", 1, "--context", 20, "--slide", "--keep", keep)
        assert same_bits(got, runtime.logits(ids, VOCAB, capacity=20, n_keep=keep))


def test_a_model_without_a_vocabulary(tmp_path):
    done("quantize", GOLDEN / "egmla.gguf", tmp_path / "model.gguf")
    runtime = libpith.Model((tmp_path / "model.gguf").read_bytes())
    size = json.loads(done("info", tmp_path / "model.gguf", "--json"))
    assert "tokenizer.ggml.tokens" not in size["metadata"]
    size = size["config"]["vocab_size"]
    ids = random_ids(30) % size
    got, _ = evaluate(tmp_path / "model.gguf", ids, tmp_path, "--chunk", 1)
    assert same_bits(got, runtime.logits(ids, size))
