"""SentencePiece's BPE against the `sentencepiece` package, on models that the package trains here and on the importer's way to
them: a tokenizer.model becomes the keys of a model file, whose ids are those of the package.

Needs the library (PITH_LIBRARY) and the pith command (PITH_COMMAND). PITH_TOKENIZER_TEXTS: see random_texts.py.
"""

import io
import random
from pathlib import Path

import pytest

import libpith
from random_texts import N_TEXTS, chance_of, shortest, texts
from vocabulary_model import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, model_of

sentencepiece = pytest.importorskip("sentencepiece")

TALE = Path(__file__).resolve().parents[1] / "golden" / "tale.txt"
SPECIALS = 4  # PITH_ENCODE_SPECIALS
USERS = ["<|tool|>", "ab", "▁▁x", "<|tool"]


def trained(seed, **options):
    chance = random.Random(seed)
    lines = [line.strip("\n") for line in TALE.read_text("utf-8").splitlines()]
    lines += [(text * chance.randrange(1, 4)).replace("\0", "") for text in texts(200, chance.randrange(2 ** 32))]
    out = io.BytesIO()
    settings = dict(model_type="bpe", vocab_size=4000, character_coverage=0.98, normalization_rule_name="identity",
                    remove_extra_whitespaces=False, byte_fallback=True, max_sentence_length=100_000, minloglevel=2,
                    split_by_unicode_script=False, hard_vocab_limit=False)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, **{**settings, **options})
    return sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())


def type_of(theirs, i):
    checks = {UNKNOWN: theirs.is_unknown, CONTROL: theirs.is_control, BYTE: theirs.is_byte, UNUSED: theirs.is_unused}
    for number, check in checks.items():
        if check(i):
            return number
    return USER_DEFINED if theirs.id_to_piece(i) in USERS else NORMAL


def library_of(folder, theirs, **flags):
    n = theirs.get_piece_size()
    pieces, types = [theirs.id_to_piece(i) for i in range(n)], [type_of(theirs, i) for i in range(n)]
    scores = [theirs.get_score(i) for i in range(n)]
    return libpith.Tokenizer(model_of(folder, pieces + ["[PAD0]"], types + [UNUSED], scores=scores + [-1000.0], model="llama",
                                      pre="default", ids={"unknown": 0, "bos": 1, "eos": 2}, flags=flags))


VARIANTS = {
    "bytes": {},
    "users": {"user_defined_symbols": USERS},
    "no prefix": {"add_dummy_prefix": False},
    "no bytes": {"byte_fallback": False},
    "across words": {"split_by_whitespace": False, "split_by_number": False, "max_sentencepiece_length": 32},
}


@pytest.fixture(scope="module", params=VARIANTS)
def both(request, tmp_path_factory):
    libpith.library()
    seed = random.randrange(2 ** 32)
    print("seed of the vocabulary", seed)
    theirs = trained(seed, **VARIANTS[request.param])
    flags = {"add_space_prefix": False} if request.param == "no prefix" else {}
    return library_of(tmp_path_factory.mktemp("pieces"), theirs, **flags), theirs, request.param


def test_random_texts(both):
    ours, theirs, variant = both
    n, longest, n_bytes = 0, 0, 0
    for text in texts(N_TEXTS):
        text = text.replace("\0", "")  # which the package takes for the end of a text
        expected = theirs.encode(text)
        if ours.encode(text) != expected:
            text = shortest(text, lambda part: ours.encode(part) == theirs.encode(part))
            pytest.fail(f"{text!r}: {ours.encode(text)}, not {theirs.encode(text)}")
        if variant == "bytes" and text:  # what comes back: a blank for every U+2581, and one in front
            assert ours.decode(expected).decode() == " " + text.replace("▁", " ")
        n, longest = n + 1, max(longest, len(text))
        n_bytes += sum(theirs.is_byte(i) or theirs.is_unknown(i) for i in expected)
    print(n, "texts, the longest of", longest, "characters,", n_bytes, "tokens of bytes or unknown")
    assert n_bytes > n // 10


def test_long_texts(both):
    ours, theirs, _ = both
    chance = chance_of()
    for _ in range(3):
        text = "".join(texts(150, chance.randrange(2 ** 32))).replace("\0", "")
        assert ours.encode(text) == theirs.encode(text), "seed above"
    for letter in ("a", " ", "\n", "中", "▁"):
        assert ours.encode(letter * 20_000) == theirs.encode(letter * 20_000)


def test_special_tokens_part_the_text(both):
    ours, theirs, _ = both
    chance = chance_of()
    for left, right in zip(texts(200, chance.randrange(2 ** 32)), texts(200, chance.randrange(2 ** 32))):
        left, right = (text.replace("\0", "").replace("</s>", "").replace("<s>", "") for text in (left, right))
        expected = theirs.encode(left) + [2] + theirs.encode(right) + [1]
        assert ours.encode(left + "</s>" + right + "<s>", SPECIALS) == expected, repr((left, right))


def test_the_comparison_sees_a_difference(both):
    ours, theirs, _ = both
    assert ours.encode("the fox") != theirs.encode("the  fox")
