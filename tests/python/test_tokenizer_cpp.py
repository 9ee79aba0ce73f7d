"""The tokenizer and the text stream of libpith.so against the `tokenizers` package and Python's decoder.

PITH_LIBRARY names libpith.so; PITH_MODEL a packed model whose vocabulary is that of tools/model/tokenizer.json (left out:
tests/golden/tiny.q4.gguf, which has it).
"""

import ctypes
import lzma
import os
import random
import struct
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "train"))

import libpith  # noqa: E402
import packed_file  # noqa: E402
from conftest import TEXTS  # noqa: E402
from libpith import library  # noqa: E402
from model import Config, Model as TorchModel  # noqa: E402

TOKENIZER = REPOSITORY / "tools" / "model" / "tokenizer.json"
NOVEL_BYTES = 4 << 20  # of the novels' text
SEED = 7
SPECIAL = "<|endoftext|>"
I32 = 5  # a GGUF type


@pytest.fixture(scope="module")
def ours():
    library()  # skips where there is none
    path = os.environ.get("PITH_MODEL") or REPOSITORY / "tests" / "golden" / "tiny.q4.gguf"
    if not Path(path).exists():
        pytest.skip(f"no model {path}")
    return libpith.Tokenizer(Path(path).read_bytes())


@pytest.fixture(scope="module")
def theirs():
    return Tokenizer.from_file(str(TOKENIZER))


def assert_equal(ours, theirs, text):
    data, expected = text.encode(), theirs.encode(text, add_special_tokens=False).ids
    ids = ours.encode(data)
    assert ids == expected, text[:200]
    assert ours.decode(ids) == data


def texts_of_data():
    yield "tales.val.txt", lambda path: path.read_text("utf-8")
    yield "wikitext2.test.txt", lambda path: path.read_text("utf-8")
    yield "novels.train.txt.xz", lambda path: lzma.open(path).read(NOVEL_BYTES).decode("utf-8", "ignore")


@pytest.mark.parametrize("name, read", texts_of_data())
def test_texts(ours, theirs, name, read):
    if not (TEXTS / name).exists():
        pytest.skip(f"no {TEXTS / name}")
    # The package finds special tokens in text; pith takes them for text.
    text = read(TEXTS / name).replace(SPECIAL, "")
    assert len(text) > 100_000
    assert_equal(ours, theirs, text)


def test_random_unicode(ours, theirs):
    print("seed", SEED)
    chance = random.Random(SEED)
    words = ["the ", "'s", "'re", "'ll", "'", " ", "  ", "\n", "\r\n", "\t", "42", ".", "\u00a0", "\u3000", "\u0301", "é", "中", "🦊"]

    def character():
        kind = chance.randrange(4)
        if kind == 0:
            return chance.choice(words)
        code = chance.randrange(*((0x20, 0x3000), (0x3000, 0xd800), (0xe000, 0x110000))[kind - 1])
        return chr(code) if not 0xd800 <= code < 0xe000 else " "

    for _ in range(10_000):
        assert_equal(ours, theirs, "".join(character() for _ in range(chance.randrange(1, 30))))


def byte_alphabet():
    """GPT-2's character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(b if b in plain else next(rest)) for b in range(256)]


def kind_vocabulary():
    """(tokens, merges): a letter, a digit and a mark merge with any byte that stands behind them in the same piece."""
    alphabet = byte_alphabet()
    merges = [(left, right) for left in "n1." for right in alphabet]
    return ["<|end|>", *alphabet, *(left + right for left, right in merges)], merges


def kind_model(tokens, merges):
    """The bytes of a packed model with this vocabulary."""
    config = Config(vocab_size=len(tokens), n_layers=1, width=32, n_heads=1, feed_forward_width=32, context_length=16,
                    value_width=16, content_width=8, rope_width=8, latent_width=16)
    with pytest.MonkeyPatch.context() as patch:
        plain = packed_file.metadata
        arrays = {"tokens": tokens, "merges": [" ".join(m) for m in merges]}
        extra = [("tokenizer.ggml.model", packed_file.STRING, packed_file.text("gpt2"))]
        extra += [(f"tokenizer.ggml.{key}", packed_file.ARRAY, packed_file.array(packed_file.STRING, map_text(items)))
                  for key, items in arrays.items()]
        types = [struct.pack("<i", 3), *[struct.pack("<i", 1)] * (len(tokens) - 1)]
        extra.append(("tokenizer.ggml.token_type", packed_file.ARRAY, packed_file.array(I32, types)))
        patch.setattr(packed_file, "metadata", lambda c: plain(c) + extra)
        return packed_file.write(TorchModel(config))


def map_text(items):
    return [packed_file.text(item) for item in items]


def test_every_character_is_of_the_same_kind():
    """All of Unicode, character by character: ids differ where a letter, number, mark or space is taken for another. Of the ten
    planes without a single character one block in 64. In small texts, for the package takes quadratic time."""
    library()
    tokens, merges = kind_vocabulary()
    cpp = libpith.Tokenizer(kind_model(tokens, merges))
    package = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    package.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    package.decoder = decoders.ByteLevel()
    for first in range(0, 0x110000, 0x40):
        codes = [c for c in range(first, first + 0x40) if not 0xd800 <= c < 0xe000]
        if codes and not (0x40000 <= first < 0xe0000 and first % 0x1000):
            assert_equal(cpp, package, "".join(f"n{chr(c)}  1{chr(c)}  .{chr(c)}  " for c in codes))
    n, a, digit, mark = (cpp.encode(t.encode()) for t in ("n", "na", "n1", "n."))
    assert (len(n), len(a), len(digit), len(mark)) == (1, 1, 2, 2)  # kinds show in the ids


def test_the_comparison_sees_a_difference(ours, theirs):
    assert ours.encode(b"the fox") != theirs.encode("the  fox", add_special_tokens=False).ids
    assert 0 not in ours.encode(SPECIAL.encode())


class Stream(ctypes.Structure):
    """pith_stream"""
    _fields_ = [("struct_size", ctypes.c_uint32), ("n_stops", ctypes.c_uint32), ("stop_bytes", ctypes.c_uint32 * 8), ("stops", ctypes.c_char * 512),
                ("n_held", ctypes.c_uint32), ("stopped", ctypes.c_uint32), ("held", ctypes.c_char * 128)]


def shown(lib, pieces):
    """What comes out of a text stream without stop strings."""
    stream, out, n = Stream(struct_size=ctypes.sizeof(Stream)), ctypes.create_string_buffer(4096), ctypes.c_size_t()
    assert lib.pith_stream_init(ctypes.byref(stream), None, ctypes.c_size_t(0), None) == 0
    capacity, result = ctypes.c_size_t(len(out)), b""
    for piece in pieces:
        assert lib.pith_stream_push(ctypes.byref(stream), piece, ctypes.c_size_t(len(piece)), out, capacity, ctypes.byref(n), None) == 0
        result += out.raw[:n.value]
    assert lib.pith_stream_finish(ctypes.byref(stream), out, capacity, ctypes.byref(n), None) == 0
    return result + out.raw[:n.value]


def test_stream_decodes_as_python_does():
    print("seed", SEED)
    lib, chance = library(), random.Random(SEED)
    lead_and_edge = bytes([0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef,
                           0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff])
    for _ in range(20_000):
        data = bytes(chance.choice(lead_and_edge) for _ in range(chance.randrange(1, 12)))
        cut = chance.randrange(len(data) + 1)
        assert shown(lib, [data[:cut], data[cut:]]) == data.decode("utf-8", "replace").encode(), data.hex()
