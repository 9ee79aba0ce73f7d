"""The vocabulary of SmolLM2, digits apart and without tokens for 21 bytes, against the `tokenizers` package.

Needs the pith command (PITH_COMMAND), the library (PITH_LIBRARY), and for the real vocabulary the file that
tools/ci/fetch_models fetches.
"""

import os
import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

import libpith
import vocabulary_model
from conftest import TEXTS
from random_texts import TOO_NEW
from vocabulary_model import CONTROL, NORMAL, byte_alphabet

COMMAND = os.environ.get("PITH_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="PITH_COMMAND does not name the pith command")

SPECIALS = 4  # PITH_ENCODE_SPECIALS
E_ARGUMENT = 10


def model_of(folder, tokens, types, merges, **ids):
    return vocabulary_model.model_of(folder, tokens, types, merges, pre="smollm", ids=ids)


def package(tokens, merges, unknown=None):
    """SmolLM2's tokenizer, as the package makes it of tokens and merges."""
    out = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges],
                               unk_token=unknown))
    out.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    out.decoder = decoders.ByteLevel()
    return out


class Vocabulary:
    def __init__(self, path):
        metadata = vocabulary_model.metadata_of(path)
        read = {key: metadata[f"tokenizer.ggml.{key}"] for key in
                ("pre", "tokens", "token_type", "merges", "unknown_token_id")}
        assert read["pre"] == "smollm"
        self.tokens, self.types, self.merges = read["tokens"], read["token_type"], read["merges"]
        self.unknown = read["unknown_token_id"]
        self.names = [t for t, kind in zip(self.tokens, self.types) if kind == CONTROL]


@pytest.fixture(scope="module")
def vocabulary(smollm2):
    return Vocabulary(smollm2)


@pytest.fixture(scope="module")
def ours(vocabulary, tmp_path_factory):
    v = vocabulary
    return libpith.Tokenizer(model_of(tmp_path_factory.mktemp("smollm2"), v.tokens, v.types, v.merges, unknown=v.unknown, bos=1, eos=2))


@pytest.fixture(scope="module")
def theirs(vocabulary):
    return package(vocabulary.tokens, vocabulary.merges, vocabulary.tokens[vocabulary.unknown])


def random_texts(n):
    seed = random.randrange(2 ** 32)
    print("seed", seed)
    chance = random.Random(seed)
    words = ["the ", "'s", "'re", "'", " ", "  ", "\n", "\r\n", "\t", "42", "1", "½", "٣", ".", "\u00a0", "\u3000", "\u0301", "é",
             "中", "🦊", "\x04", "\x16", "user", "<|im_start|>", "def f(x):\n    return", "https://"]

    def character():
        kind = chance.randrange(5)
        if kind < 2:
            return chance.choice(words)
        code = chance.randrange(*((0x20, 0x3000), (0x3000, 0xd800), (0xe000, 0x110000))[kind - 2])
        return chr(code) if code not in TOO_NEW else "."

    return ["".join(character() for _ in range(chance.randrange(1, 30))) for _ in range(n)]


def test_random_texts(ours, theirs, vocabulary):
    n_unknown = 0
    for text in random_texts(5000):
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text) == expected, repr(text)
        n_unknown += expected.count(vocabulary.unknown)
    assert n_unknown > 100  # bytes without a token were among them


@pytest.mark.parametrize("name", ["wikitext2.test.txt", "tales.val.txt"])
def test_texts(ours, theirs, name):
    if not (TEXTS / name).exists():
        pytest.skip(f"no {TEXTS / name}")
    text = (TEXTS / name).read_text("utf-8")
    assert len(text) > 100_000
    ids = ours.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False).ids
    assert sum(len(t) for t in text.split()) > 2 * len(ids)  # the merges are at work


def test_special_tokens_stay_special(ours, vocabulary):
    v = vocabulary
    marked = package(v.tokens, v.merges, v.tokens[v.unknown])
    marked.add_special_tokens([AddedToken(name, normalized=False) for name in v.names])
    chat = "<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n"
    ids = ours.encode(chat, SPECIALS)
    assert ids == marked.encode(chat, add_special_tokens=False).ids
    assert [i for i in ids if i < len(v.names)] == [1, 2, 1]
    assert not any(i < len(v.names) for i in ours.encode(chat))  # text that spells them is text
    for text in random_texts(500):
        assert ours.encode(text, SPECIALS) == marked.encode(text, add_special_tokens=False).ids, repr(text)


def test_bytes_without_a_token(ours, vocabulary, tmp_path):
    alphabet = byte_alphabet()
    known = set(vocabulary.tokens)
    lacking = [b for b in range(256) if alphabet[b] not in known]
    assert lacking == [0x04, 0x06, 0x13, 0x14, 0x16, 0x1d, 0xc0, 0xc1, 0xf1, 0xf2, *range(0xf5, 0x100)]
    without = libpith.Tokenizer(model_of(tmp_path, vocabulary.tokens, vocabulary.types, vocabulary.merges))
    for byte in range(256):
        data = b"a." + bytes([byte])
        status, ids = ours.try_encode(data)
        assert status == 0 and (ids[-1] == vocabulary.unknown) == (byte in lacking)
        status, _ = without.try_encode(data)
        assert status == (E_ARGUMENT if byte in lacking else 0)
        if byte in lacking:
            assert f"byte {byte}, which is at 2" in without.model.error.value.decode()


def test_every_character_is_of_the_same_kind(tmp_path):
    """All characters: a letter, a digit, a mark and a blank merge with any byte that stands behind them in the same piece."""
    libpith.library()
    alphabet = byte_alphabet()
    pairs = [(left, right) for left in ("n", "1", ".", alphabet[32]) for right in alphabet]
    tokens = ["<|end|>", *alphabet, *(left + right for left, right in pairs)]
    merges = [f"{left} {right}" for left, right in pairs]
    cpp = libpith.Tokenizer(model_of(tmp_path, tokens, [CONTROL] + [NORMAL] * (len(tokens) - 1), merges))
    theirs = package(tokens, merges)
    # Beyond are no characters yet. In small texts, for the package takes quadratic time.
    for first in [*range(0, 0x40000, 0x40), *range(0xe0000, 0xe0400, 0x40)]:
        codes = [c for c in range(first, first + 0x40) if not 0xd800 <= c < 0xe000 and c not in TOO_NEW]
        if codes:
            text = "".join(f"n{chr(c)}  1{chr(c)}  .{chr(c)}  " for c in codes)
            assert cpp.encode(text) == theirs.encode(text, add_special_tokens=False).ids, hex(first)
    assert [len(cpp.encode(t)) for t in ("n", "na", "n1", "11", " 1", "1a")] == [1, 1, 2, 2, 2, 2]
