"""Grouped heads rewritten as latent attention (tools/convert), run by the library against the original, run by the library and
by `transformers` in float64.

    PITH_LIBRARY=... PITH_COMMAND=... python3 -m pytest tests/python/test_latent.py
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import foreign_gguf  # noqa: E402
import libpith  # noqa: E402
import tiny_models  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tools" / name) for name in ("train", "export", "convert")]

import fidelity  # noqa: E402
import grouped  # noqa: E402
import heal  # noqa: E402
import latent  # noqa: E402
import self_text  # noqa: E402
from trouble import Trouble  # noqa: E402

PITH = os.environ.get("PITH_COMMAND", REPOSITORY / "build" / "release" / "pith")
EXACT = dict(cache=libpith.F32, activations=libpith.F32)

# Of the largest logit, over 120 tokens; as in test_hugging_face.py, both sides have float32 in them. The divisors of frequencies are
# float32 too: an angle at position 120 is wrong by 120 * 2^-25 = 4e-6 at most, a score by as much of itself.
BOUND = 2e-5


@pytest.fixture
def seed():
    value = np.random.SeedSequence().entropy % 2**31
    print("seed", value)
    return value


def run_by_pith(path, ids, vocabulary, packed=None, options=("--type", "f32")):
    packed = packed or path.with_suffix(".packed.gguf")
    done = subprocess.run([PITH, "quantize", path, packed, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return libpith.Model(packed.read_bytes()).logits(ids, vocabulary, **EXACT)


def relative(ours, expected):
    return abs(ours - expected).max() / abs(expected).max()


class Tiny:
    """A random Llama of 4 heads in 2 groups; its file, its logits in float64, and what a rewritten one's are."""

    def __init__(self, folder, seed, name="llama, tied"):
        self.folder, self.ids = folder, tiny_models.ids_of(seed)
        oracle = tiny_models.write(name, folder / "model", seed)
        self.expected, self.path = oracle(self.ids), foreign_gguf.write(folder / "model", folder / "f32.gguf", False)
        self.model = grouped.load(self.path)

    def logits(self, rewritten):
        out = self.folder / "latent.gguf"
        latent.save(rewritten, self.path, out)
        return run_by_pith(out, self.ids, tiny_models.VOCABULARY)

    def statistics(self):
        return latent.statistics(self.model, self.ids.reshape(4, 30))


@pytest.fixture
def tiny(tmp_path, seed):
    return Tiny(tmp_path, seed)


@pytest.mark.parametrize("name", ["llama, tied", "llama, head width of its own"])
def test_rewriting_is_exact(name, tmp_path, seed):
    tiny = Tiny(tmp_path, seed, name)
    rewritten = latent.rewrite(tiny.model)
    c = rewritten.c
    assert c.rope_width + c.latent_width == 2 * tiny.model.c.n_kv_heads * tiny.model.c.value_width
    ours = tiny.logits(rewritten)
    assert relative(ours, tiny.expected) < BOUND
    assert relative(ours, run_by_pith(tiny.path, tiny.ids, tiny_models.VOCABULARY)) < BOUND
    with torch.no_grad():
        plain = rewritten.double()(torch.from_numpy(tiny.ids)[None])[0]
    assert relative(plain.numpy(), tiny.expected) < BOUND


def swap_lanes(model):
    """Of the rotary keys: lane 0 of the first two slots."""
    for block in model.blk:
        w, first = block.attn_kv_a_mqa.weight, model.c.latent_width
        w[[first, first + 2]] = w[[first + 2, first]]


def order_frequencies_by_groups(model):
    """As if all pairs of a group stood together; they stand by pairs."""
    turned = np.array(model.c.rope_factors_short).reshape(-1, 2).T.flatten()
    model.c = replace(model.c, rope_factors_short=tuple(turned.tolist()))


def pair_halves(model):
    model.c = replace(model.c, rope_interleaved=False)


def keep_score_scale(model):
    for block in model.blk:
        block.attn_q.weight /= (model.c.query_head_width / model.c.value_width) ** 0.5


@pytest.mark.parametrize("mistake", [swap_lanes, order_frequencies_by_groups, pair_halves, keep_score_scale])
def test_a_mistake_is_seen(mistake, tiny):
    """The control: one lane out of order, or a scale left out, is far above the bound."""
    rewritten = latent.rewrite(tiny.model)
    mistake(rewritten)
    assert relative(tiny.logits(rewritten), tiny.expected) > 100 * BOUND


def test_components_of_all_slots_are_exact_and_a_narrow_latent_is_not(tiny):
    """Key groups mixed by their principal components; a latent as wide as the values of all groups, and narrower ones."""
    stats, every = tiny.statistics(), torch.ones(8, 2, dtype=torch.bool)
    errors = [relative(tiny.logits(latent.rewrite(tiny.model, stats, every, rank)), tiny.expected) for rank in (32, 24, 8)]
    assert errors[0] < BOUND and 100 * BOUND < errors[1] < errors[2]


def test_content_is_the_key_that_does_not_turn(tiny):
    """At full rank a model whose six fastest pairs alone are rotated is the original with the other frequencies 0."""
    rewritten = latent.rewrite(tiny.model, tiny.statistics(), latent.fastest(tiny.model.c, 6), 2 * 4 + 32)
    assert (rewritten.c.rope_width, rewritten.c.content_width) == (24, 8)  # 4 lanes of content, and 4 of zeros
    angles = torch.arange(len(tiny.ids))[:, None] * latent.frequencies(tiny.model.c) * (torch.arange(8) < 6)
    original = tiny.model.double()
    original.tables[0, len(tiny.ids), torch.float64, torch.device("cpu")] = [f(angles)[:, None] for f in (torch.cos, torch.sin)]
    with torch.no_grad():
        expected = original(torch.from_numpy(tiny.ids)[None])[0].numpy()
    assert relative(expected, tiny.expected) > 100 * BOUND  # the frequencies do matter
    assert relative(tiny.logits(rewritten), expected) < BOUND


def test_a_gate_of_one_changes_nothing_and_healing_brings_nearer(tiny):
    """Of the most important slots and a narrow latent, by the KL divergence from the original on the text of the training."""
    stats = tiny.statistics()
    small = latent.rewrite(tiny.model, stats, latent.most_important(tiny.model, stats, 10), 24)
    gated = heal.with_gate(small, 8)
    assert relative(tiny.logits(gated), tiny.logits(small)) < BOUND
    ids = tiny.ids.reshape(4, 30)
    for model in small, gated:
        kl = [fidelity.compare(model, tiny.model, ids)[2]]
        last = heal.heal_layers(tiny.model, model, ids, epochs=10, rate=2e-3, batch=2, seed=1)
        kl.append(fidelity.compare(model, tiny.model, ids)[2])
        heal.heal_whole(tiny.model, model, ids, last, epochs=40, rate=1e-4, batch=2, seed=1, seconds=60)
        kl.append(fidelity.compare(model, tiny.model, ids)[2])
        print(kl)
        assert kl[0] > 1.5 * kl[1] and kl[1] > kl[2]
    table = gated.gate_embd[0].weight
    assert float((gated.blk[0].attn_gate_up(table) - 1).abs().max()) > 0.01  # the gate has moved


def test_the_measure_of_a_model_against_itself_is_zero(tiny):
    ids = tiny.ids.reshape(4, 30)
    ppl, base, kl, same = fidelity.compare(latent.rewrite(tiny.model), tiny.model, ids)
    assert abs(kl) < 1e-5 and same == 1 and abs(ppl / base - 1) < 1e-4


def test_text_is_drawn_from_the_logits_of_the_model(tiny):
    """The decoder of self_text.py with its cache against whole sequences."""
    ids = torch.from_numpy(tiny.ids.reshape(4, 30))
    decoder = self_text.Decoder(tiny.model, 4, 30)
    with torch.no_grad():
        stepped = torch.stack([decoder.step(ids[:, t]) for t in range(30)], 1)
        whole = tiny.model(ids)
    assert relative(stepped.numpy(), whole.numpy()) < BOUND


@pytest.mark.parametrize("name, sentence", [("qwen2", "general.architecture is 'qwen2'"), ("llama 3", "scaled rotary embedding")])
def test_other_models_are_refused(name, sentence, tmp_path, seed):
    tiny_models.write(name, tmp_path / "model", seed)
    path = foreign_gguf.write(tmp_path / "model", tmp_path / "f32.gguf", False)
    with pytest.raises(Trouble, match=sentence):
        grouped.load(path)


@pytest.mark.skipif("PITH_NIGHTLY" not in os.environ, reason="takes 40 s and 540 MB: tools/ci/nightly sets PITH_NIGHTLY")
def test_smollm2_is_rewritten_exactly(smollm2, tmp_path):
    """The published model: its weights as floats against the file as it is packed, which keeps its integers, and the PyTorch model.
    Measured: see bench/results/latent.md. 24 tokens of text."""
    original = grouped.load(smollm2)
    ids = np.array(grouped.tokenizer_of(smollm2).encode("The moon is the only natural satellite of the Earth. " * 3).ids[:24])
    latent.save(latent.rewrite(original), smollm2, tmp_path / "latent.gguf")
    ours = run_by_pith(tmp_path / "latent.gguf", ids, original.c.vocab_size)
    (tmp_path / "latent.gguf").unlink()
    with torch.no_grad():
        expected = original(torch.from_numpy(ids)[None])[0].numpy()
    theirs = run_by_pith(smollm2, ids, original.c.vocab_size, tmp_path / "original.gguf", ())
    print(len(ids), relative(ours, expected), relative(ours, theirs))
    assert relative(ours, expected) < BOUND and relative(ours, theirs) < BOUND
