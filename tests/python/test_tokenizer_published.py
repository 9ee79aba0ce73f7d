"""Vocabularies of published models (tools/ci/fetch_models): the ids that came with them, and those of the packages for random texts.

Needs the library (PITH_LIBRARY), the pith command (PITH_COMMAND) and the vocabularies; each is a GGUF file with texts (.inp) and their
ids (.out).
"""

import struct

import pytest
from tokenizers import AddedToken

import libpith
from conftest import model_folder
from random_texts import N_TEXTS, shortest, texts
from test_tokenizer_kinds import package
from vocabulary_model import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, metadata_of, model_of

SPECIALS = 4  # PITH_ENCODE_SPECIALS
NAMES = ["gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "deepseek-coder", "llama-spm", "phi-3"]


class Published:
    def __init__(self, folder, path):
        metadata = metadata_of(path)

        def value(key):
            return metadata.get(f"tokenizer.ggml.{key}")

        self.model, self.pre, self.tokens, self.types = (value(key) for key in ("model", "pre", "tokens", "token_type"))
        self.merges, self.scores = value("merges"), value("scores")
        ids = {name: value(f"{name}_token_id") for name in ("bos", "eos", "unknown")}
        self.ids = {name: number for name, number in ids.items() if number is not None}
        self.ours = libpith.Tokenizer(model_of(folder, self.tokens, self.types, self.merges, self.scores, self.model, self.pre, self.ids))
        shown = path.with_name(path.name + ".inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
        expected = path.with_name(path.name + ".out").read_text("utf-8").splitlines()
        self.cases = list(zip(shown, ([int(i) for i in line.split()] for line in expected)))

    def of_type(self, *numbers):
        return [token for token, number in zip(self.tokens, self.types) if number in numbers]


@pytest.fixture(scope="module", params=NAMES)
def published(request, tmp_path_factory):
    path = model_folder() / "llama_cpp_python-0.3.36" / f"ggml-vocab-{request.param}.gguf"
    if not path.exists():
        pytest.skip(f"no {path}: tools/ci/fetch_models fetches it")
    libpith.library()
    return Published(tmp_path_factory.mktemp("published"), path)


def test_the_ids_that_came_with_it(published):
    assert len(published.cases) >= 40
    for text, expected in published.cases:
        assert published.ours.encode(text) == expected, repr(text)


def hugging_face(published):
    """The vocabulary in the `tokenizers` package. Its added tokens have ids of their own: a map to those of the file."""
    normal = {t: i for i, (t, number) in enumerate(zip(published.tokens, published.types)) if number == NORMAL}
    out = package(published.pre, normal, [tuple(m.split(" ")) for m in published.merges])
    out.add_tokens([AddedToken(t, normalized=False) for t in published.of_type(USER_DEFINED)])
    places = {token: i for i, token in enumerate(published.tokens)}
    ids = {i: places[token.content] for i, token in out.get_added_tokens_decoder().items()}
    return lambda text: [ids.get(i, i) for i in out.encode(text, add_special_tokens=False).ids]


def field(number, wire, payload):
    def varint(n):
        out = b""
        while n >= 128:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    if wire == 0:
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | wire) + (varint(len(payload)) if wire == 2 else b"") + payload


def sentence_piece(published):
    """The vocabulary in the `sentencepiece` package, by way of its file format. Types beside those that it may have are normal."""
    sentencepiece = pytest.importorskip("sentencepiece")
    pieces = b""
    for i, (token, score, number) in enumerate(zip(published.tokens, published.scores, published.types)):
        kind = number if number in (CONTROL, USER_DEFINED, BYTE) or i == 0 else NORMAL if number == NORMAL else CONTROL
        pieces += field(1, 2, field(1, 2, token.encode()) + field(2, 5, struct.pack("<f", score)) + field(3, 0, kind))
    trainer = field(2, 2, field(3, 0, 2) + field(35, 0, 1))
    normalizer = field(3, 2, field(1, 2, b"identity") + field(3, 0, 1) + field(4, 0, 0) + field(5, 0, 1))
    return sentencepiece.SentencePieceProcessor(model_proto=pieces + trainer + normalizer).encode


def test_random_texts(published):
    assert published.types[0] != UNKNOWN or published.model == "llama"
    theirs = sentence_piece(published) if published.model == "llama" else hugging_face(published)
    n, longest = 0, 0
    for text in texts(N_TEXTS):
        text = text.replace("\0", "")
        if published.ours.encode(text) != theirs(text):
            text = shortest(text, lambda part: published.ours.encode(part) == theirs(part))
            pytest.fail(f"{text!r}: {published.ours.encode(text)}, not {theirs(text)}")
        n, longest = n + 1, max(longest, len(text))
    print(n, "texts, the longest of", longest, "characters")


def test_special_tokens(published):
    names = published.of_type(CONTROL)
    ids = [published.tokens.index(name) for name in names]
    assert published.ours.encode("".join(names), SPECIALS) == ids
    assert not set(published.ours.encode("".join(names))) & set(ids)
