"""Weights in GGUF's block types, bit for bit as the `gguf` package dequantises them.

Needs the program of tests/dequantize_blocks.cpp:
PITH_DEQUANTIZE=build/release/dequantize_blocks python3 -m pytest tests/python/test_gguf_blocks.py
"""

import os
import subprocess

import pytest

gguf = pytest.importorskip("gguf")
numpy = pytest.importorskip("numpy")

PROGRAM = os.environ.get("PITH_DEQUANTIZE")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="PITH_DEQUANTIZE does not name the program of dequantize_blocks.cpp")

# Where fp16 numbers stand in a block; everything else is integers, of any value.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "F16": [0]}
N_BLOCKS = 300


def random_halves(random, n):
    """Finite ones of any exponent and sign; some subnormal, some zero."""
    bits = random.integers(0, 0x7c00, n, dtype=numpy.uint16)
    kind = random.integers(0, 8, n)
    bits = numpy.where(kind == 0, bits & 0x3ff, numpy.where(kind == 1, 0, bits))
    return (bits | random.integers(0, 2, n, dtype=numpy.uint16) << 15).astype(numpy.uint16)


def random_blocks(random, name):
    n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][1]
    blocks = random.integers(0, 256, (N_BLOCKS, n_bytes), dtype=numpy.uint8)
    for at in HALVES.get(name, []):
        blocks[:, at:at + 2] = random_halves(random, N_BLOCKS).view(numpy.uint8).reshape(-1, 2)
    if name in ("F32", "BF16"):  # no NaN: less than all exponent bits
        blocks[:, -1] &= 0xbf
    return blocks


def dequantized(kind, n, data):
    return subprocess.run([PROGRAM, str(int(kind)), str(n)], input=data, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", ["F32", "BF16", *HALVES])
def test_weights_are_those_of_gguf(name):
    seed = int.from_bytes(os.urandom(4), "little")
    kind = gguf.GGMLQuantizationType[name]
    blocks = random_blocks(numpy.random.default_rng(seed), name)
    expected = gguf.dequantize(blocks, kind).astype(numpy.float32, copy=False).reshape(-1)
    assert expected.size == N_BLOCKS * gguf.GGML_QUANT_SIZES[kind][0]
    done = dequantized(kind, expected.size, blocks.tobytes())
    assert done.returncode == 0, done.stderr
    got = numpy.frombuffer(done.stdout, numpy.uint32)
    different = numpy.flatnonzero(got != expected.view(numpy.uint32))
    assert different.size == 0, f"seed {seed}: {different.size} weights, the first is {different[0]}"


@pytest.mark.parametrize("name", HALVES)
def test_every_byte_counts(name):
    """Otherwise the test above would see less than it seems to."""
    kind = gguf.GGMLQuantizationType[name]
    blocks = random_blocks(numpy.random.default_rng(1), name)
    n = N_BLOCKS * gguf.GGML_QUANT_SIZES[kind][0]
    before = dequantized(kind, n, blocks.tobytes()).stdout
    assert len(before) == 4 * n
    for byte in range(blocks.shape[1]):
        other = blocks.copy()
        other[:, byte] ^= 0x11  # of both nibbles
        assert dequantized(kind, n, other.tobytes()).stdout != before, byte


@pytest.mark.parametrize("name", [n for n in HALVES if n != "F16"])
def test_what_is_not_whole_blocks_is_refused(name):
    kind = gguf.GGMLQuantizationType[name]
    n, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    assert dequantized(kind, n, bytes(n_bytes)).returncode == 0
    assert dequantized(kind, n, bytes(n_bytes - 1)).returncode == 2
    assert dequantized(kind, n + 1, bytes(n_bytes)).returncode == 2
    assert dequantized(kind, 2 * n, bytes(n_bytes)).returncode == 2


def test_types_without_weights_are_refused():
    for kind in (gguf.GGMLQuantizationType.I8, gguf.GGMLQuantizationType.IQ2_XXS, 4, 1000):
        assert dequantized(kind, 256, bytes(256)).returncode == 2
