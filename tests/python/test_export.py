"""The exporter's vocabulary: added tokens, more rows than tokens, and what it refuses.

    PITH_LIBRARY=... PITH_COMMAND=... python3 -m pytest tests/python/test_export.py

The judge of ids is the `tokenizers` package, of the same tokenizer.json.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from libpith import Tokenizer

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
tokenizers = pytest.importorskip("tokenizers")

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tools" / name) for name in ("train", "export")]

from export import export  # noqa: E402
from model import Config, Model  # noqa: E402
from trouble import Trouble  # noqa: E402

BUILT_IN = REPOSITORY / "tools" / "model" / "tokenizer.json"
N = 2048  # its tokens
SHAPE = dict(n_layers=1, width=64, n_heads=2, feed_forward_width=64, context_length=64, value_width=32, content_width=32,
             rope_width=32, latent_width=32)
ADDED = {N: ("<|user|>", True), N + 1: ("<tale>", False), N + 2: ("Füchse", False), N + 6: ("<|end|>", True)}  # with a gap


def changed(path, change=lambda tokenizer: None, added=()):
    """The built-in tokenizer, changed, with {id: (text, is special)} added; written to `path`."""
    tokenizer = json.loads(BUILT_IN.read_text("utf-8"))
    for index, (text, special) in dict(added).items():
        tokenizer["added_tokens"].append(dict(id=index, content=text, single_word=False, lstrip=False, rstrip=False,
                                              normalized=False, special=special))
    change(tokenizer)
    path.write_text(json.dumps(tokenizer), "utf-8")
    return path


def exported(tmp_path, tokenizer, rows):
    path = tmp_path / "model.gguf"
    export(Model(Config(vocab_size=rows, **SHAPE)), path, tokenizer)
    return path


def test_added_tokens_and_rows_without_a_token_are_written(tmp_path):
    path = exported(tmp_path, changed(tmp_path / "tokenizer.json", added=ADDED), N + 10)
    reader = gguf.GGUFReader(path)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    assert len(tokens) == len(types) == N + 10
    vocabulary = json.loads(BUILT_IN.read_text("utf-8"))["model"]["vocab"]
    assert tokens[:N] == sorted(vocabulary, key=vocabulary.get) and types[:N] == [3] + [1] * (N - 1)
    for index in range(N, N + 10):
        text, special = ADDED.get(index, (f"[PAD{index}]", None))
        assert (tokens[index], types[index]) == (text, {True: 3, False: 4, None: 5}[special])


def test_texts_have_the_ids_of_the_tokenizers_package(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    file = changed(tmp_path / "tokenizer.json", added=ADDED)
    path = exported(tmp_path, file, N + 10)
    command = os.environ.get("PITH_COMMAND") or pytest.skip("PITH_COMMAND does not name the command")
    subprocess.run([command, "quantize", path, tmp_path / "m.q8.gguf", "--type", "q8"], check=True, capture_output=True)
    ours, theirs = Tokenizer((tmp_path / "m.q8.gguf").read_bytes()), tokenizers.Tokenizer.from_file(str(file))
    theirs.encode_special_tokens = True  # as texts are read: special tokens are no part of them
    words = ["Once upon a time", " a fox", "<tale>", "Füchse", " Füchse", "[PAD2051]", "\n", "é", "lantern", "<", "tale>", "F"]
    n_added = 0
    for _ in range(500):
        text = "".join(rng.choice(words) for _ in range(rng.randrange(1, 12)))
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False).ids, text
        assert ours.decode(ids).decode() == text
        n_added += sum(i >= N for i in ids)
    assert n_added > 100  # the control


def test_more_tokens_than_rows_and_other_tokenizers_are_refused(tmp_path):
    def refused(sentence, rows=N, **more):
        file = changed(tmp_path / "tokenizer.json", **more)
        with pytest.raises(Trouble, match=f"tokenizer.json: {sentence}"):
            exported(tmp_path, file, rows)
        assert not (tmp_path / "model.gguf").exists() and not list(tmp_path.glob("*.tmp"))

    refused(r"token 2,054 \('<\|end\|>'\): the model has 2,052 rows", N + 4, added={N + 6: ADDED[N + 6]})
    refused("token 2,047 .*: the model has 2,047 rows", N - 1)
    refused("token -1", added={-1: ("<tale>", False)})
    refused("two tokens have one id", change=lambda t: t["model"]["vocab"].update({"twice": 5}))
    refused("no byte-level BPE with GPT-2's pattern", change=lambda t: t["pre_tokenizer"].update(use_regex=False))
    refused("no byte-level BPE with GPT-2's pattern", change=lambda t: t.update(normalizer={"type": "NFC"}))
    refused("no byte-level BPE with GPT-2's pattern", change=lambda t: t["model"].update(type="WordPiece"))
    refused("no tokenizer.json", change=lambda t: t["model"].pop("merges"))
    file = changed(tmp_path / "tokenizer.json")
    file.write_text("[")
    with pytest.raises(Trouble, match="no tokenizer.json"):
        exported(tmp_path, file, N)
    exported(tmp_path, BUILT_IN, N)  # the control
