"""The library's verdict over random model files, beside that of gguf_rules.py, which reads them with integers of any size.

    PITH_LIBRARY=... python3 -m pytest tests/python/test_gguf_oracle.py

PITH_HEADERS says how many files (100,000; a tenth with PITH_QUICK), PITH_SEED repeats a run.
"""

import ctypes
import os
import random
import struct
from collections import Counter
from functools import partial

import pytest
from gguf_rules import ACCEPTED, ARRAY, STRING, Rules
from libpith import Memory, library
from random_headers import MAX_DATA, headers

STATUSES = {20: "TRUNCATED", 21: "MAGIC", 22: "VERSION", 23: "ENDIAN", 24: "LIMIT", 25: "KEY", 26: "DUPLICATE", 27: "TYPE", 28: "VALUE",
            29: "OFFSET", 30: "DIMS", 31: "OVERFLOW", 32: "OVERLAP", 42: "HPARAM", 44: "UNSUPPORTED", 47: "SPLIT",
            41: ACCEPTED}  # MISSING: these files have no architecture, which is asked for once their structure is sound


class Library:
    def __init__(self, capacity):
        self.lib = library()
        self.capacity = capacity
        self.data, self.memory = Memory(capacity), Memory(8 * capacity + (1 << 20))
        self.error, self.handle = ctypes.create_string_buffer(256), ctypes.c_void_p()
        self.init = partial(self.lib.pith_model_init, self.data.address)

    def verdict(self, data):
        """The status by name, and the sentence."""
        assert len(data) <= self.capacity
        ctypes.memmove(self.data.address, data, len(data))
        status = self.init(ctypes.c_size_t(len(data)), self.memory.address, self.memory.n, ctypes.byref(self.handle), self.error)
        sentence = self.error.value.decode()
        if status == 41:
            assert sentence.startswith("key general.architecture: missing"), sentence
        return STATUSES.get(status, status), sentence


# Each of these is a mistake that a reader could make, or that the rules above could: it has to be noticed.

class Wraps(Rules):
    def product(self, a, b):
        return a * b % (1 << 64)


class WrapsSums(Rules):
    def sum(self, a, b):
        return (a + b) % (1 << 64)


class WrapsSigned(Rules):
    def product(self, a, b):
        return (a * b + (1 << 63)) % (1 << 64) - (1 << 63)


class Unaligned(Rules):
    def padded(self, n, alignment):
        return n


class Overlapping(Rules):
    def places(self, size, start, tensors):
        for tensor in tensors:
            super().places(size, start, [tensor])


class AnyBoolean(Rules):
    def booleans(self, content):
        pass


class AnyName(Rules):
    def is_name(self, text):
        return len(text) > 0


class AnyBlock(Rules):
    def size(self, dims, kind, alignment):
        n, broken = super().size(dims, kind, alignment)
        return n, broken - {"DIMS"}


class NestedArrays(Rules):
    def array(self, file):
        at = file.at
        if file.number(4) == ARRAY:
            file.number(8)
            return self.array(file)
        file.at = at
        return super().array(file)


class AnySplit(Rules):
    def split(self, kind, n):
        pass


PLANTED = [Wraps, WrapsSums, WrapsSigned, Unaligned, Overlapping, AnyBoolean, AnyName, AnyBlock, NestedArrays, AnySplit] + [
    type(f"{name}_{value}", (Rules,), {name: value}) for name, value in (
        ("max_name", 63), ("max_name", 65), ("max_dims", 3), ("max_dims", 5), ("max_dim", (1 << 40) - 1), ("max_dim", (1 << 40) + 1),
        ("max_dim", 1 << 63), ("alignments", range(8, 65537)), ("alignments", {1 << k for k in range(17)}),
        ("alignments", {1 << k for k in range(3, 16)}))]


def test_random_headers_have_the_verdict_of_the_rules():
    seed = int(os.environ.get("PITH_SEED") or random.SystemRandom().randrange(1 << 32))
    n = int(os.environ.get("PITH_HEADERS") or (10_000 if os.environ.get("PITH_QUICK") else 100_000))
    print("seed", seed, "headers", n)
    ours, rules, seen = Library(2 * MAX_DATA), Rules(), Counter()
    planted = {kind.__name__: kind() for kind in PLANTED}
    for i, data in enumerate(headers(seed, n)):
        status, sentence = ours.verdict(data)
        allowed = rules.verdict(data)
        assert status in allowed, f"seed {seed}, file {i}: {status} ({sentence}), by the rules {allowed}: {data[:2000].hex()}"
        seen[status] += 1
        for name in [name for name, wrong in planted.items() if status not in wrong.verdict(data)]:
            del planted[name]
    print(dict(seen.most_common()))
    assert seen[ACCEPTED] > 0.2 * n and sum(seen.values()) - seen[ACCEPTED] > 0.2 * n
    assert n < 10_000 or set(seen) == set(STATUSES.values()), "a status that no file had"
    assert n < 100_000 or not planted, f"mistakes that were not noticed: {list(planted)}"


def strings(*texts):
    return b"".join(struct.pack("<Q", len(text)) + text for text in texts)


def of_counts(n_tensors, n_keys, body=b""):
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_keys) + body


def small_keys(n):
    return of_counts(0, n, b"".join(strings(b"%d" % i) + b"\0\0\0\0\0" for i in range(n)))


def small_tensors(n):
    """Each of 8 bytes of I8, at 8-byte alignment."""
    entries = b"".join(strings(b"%d" % i) + struct.pack("<IQIQ", 1, 8, 24, 8 * i) for i in range(n))
    front = of_counts(n, 1, strings(b"general.alignment") + struct.pack("<II", 4, 8) + entries)
    return front + bytes(8 * n + 8)


def array(kind, n, content):
    return of_counts(0, 1, strings(b"key") + struct.pack("<IIQ", ARRAY, kind, n) + content)


@pytest.mark.parametrize("make, limit", [
    (small_keys, Rules.max_entries),
    (small_tensors, Rules.max_entries),
    (lambda n: of_counts(0, 1, strings(b"k" * n) + b"\0\0\0\0\0"), Rules.max_key),
    (lambda n: of_counts(0, 1, strings(b"key") + struct.pack("<I", STRING) + strings(b"v" * n)), Rules.max_string),
    (lambda n: array(STRING, 1, strings(b"v" * n)), Rules.max_string),
    (lambda n: array(STRING, n, bytes(8 * n)), Rules.max_array),
    (lambda n: array(0, n, bytes(n)), Rules.max_array)],
    ids=["keys", "tensors", "key", "string", "string_of_array", "strings", "numbers"])
def test_limits_are_exact(make, limit):
    ours, rules = Library(40 << 20), Rules()
    for n, expected in ((limit, ACCEPTED), (limit + 1, "LIMIT")):
        data = make(n)
        assert ours.verdict(data)[0] == expected and rules.verdict(data) == {expected}
