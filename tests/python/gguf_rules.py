"""What a GGUF file must be for pith to read its structure, as src/model/model_file.h and docs/hostile-files.md state it, over integers
without a limit: a sum or product here cannot wrap. Slow and plain; shares nothing with the library.
"""

import struct

ACCEPTED = "accepted"

SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # value type -> bytes
SIGNED = {1: "b", 3: "h", 5: "i", 11: "q"}
U32, BOOLEAN, STRING, ARRAY, U64 = 4, 7, 8, 9, 10

# Tensor type -> (weights, bytes) of a block, and the types that are known and not read.
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
          12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136), 24: (1, 1), 30: (1, 2)}
NOT_READ = {9, 15, 16, 17, 18, 19, 21, 22, 25, 26, 27, 28, 29, 34, 35, 39, 40, 41}

# The shortest entries: of a key, a length, a letter, a type, a byte; of a tensor, a length, a letter, one dimension, type, offset.
KEY_BYTES, TENSOR_BYTES = 8 + 1 + 4 + 1, 8 + 1 + 4 + 8 + 4 + 8


class Refused(Exception):
    """By all the statuses given: those of the rules that the first faulty entry breaks, of which the reader names one."""

    def __init__(self, *statuses):
        super().__init__(*statuses)
        self.statuses = set(statuses)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Refused("TRUNCATED")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "little")

    @property
    def left(self):
        return len(self.data) - self.at


class Rules:
    max_entries = 65536
    max_key, max_name, max_string = 65535, 64, 16 << 20
    max_array = 4 << 20
    max_dims, max_dim = 4, 1 << 40
    max_bytes = 1 << 62  # of a tensor with its padding, and of an offset
    alignments = {1 << k for k in range(3, 17)}

    def verdict(self, data):
        """{ACCEPTED}, or the statuses that a reader may give."""
        try:
            self.check(Reader(data))
        except Refused as refused:
            return refused.statuses
        return {ACCEPTED}

    def check(self, file):
        n_tensors, n_keys = self.header(file)
        values = {}
        for _ in range(n_keys):
            key, kind, value = self.entry(file)
            if key in values:
                raise Refused("DUPLICATE")
            values[key] = kind, value
        kind, alignment = values.get(b"general.alignment", (U32, 32))
        if kind != U32:
            raise Refused("TYPE")
        if alignment not in self.alignments:
            raise Refused("OFFSET")
        tensors = {}
        for _ in range(n_tensors):
            name, offset, n = self.tensor(file, alignment)
            if name in tensors:
                raise Refused("DUPLICATE")
            tensors[name] = offset, n
        self.places(len(file.data), self.padded(file.at, alignment), list(tensors.values()))
        self.split(*values.get(b"split.count", (U32, 1)))

    def header(self, file):
        if file.left < 24:
            raise Refused("TRUNCATED")
        if file.take(4) != b"GGUF":
            raise Refused("MAGIC")
        version, n_tensors, n_keys = struct.unpack("<IQQ", file.take(20))
        if version != 3:
            raise Refused("ENDIAN" if version == 3 << 24 else "VERSION")
        for n, least in ((n_tensors, TENSOR_BYTES), (n_keys, KEY_BYTES)):
            if n > self.max_entries or n * least > file.left:
                raise Refused("LIMIT")
        return n_tensors, n_keys

    def text(self, file, limit):
        n = file.number(8)
        if n > limit:
            raise Refused("LIMIT")
        return file.take(n)

    def is_name(self, text):
        return len(text) > 0 and all(33 <= byte <= 126 for byte in text)

    def entry(self, file):
        """(key, type, value); of strings and arrays no value."""
        key = self.text(file, self.max_key)
        if not self.is_name(key):
            raise Refused("KEY")
        kind = file.number(4)
        if kind == STRING:
            self.text(file, self.max_string)
            return key, kind, None
        if kind == ARRAY:
            self.array(file)
            return key, kind, None
        if kind not in SCALARS:
            raise Refused("TYPE")
        content = file.take(SCALARS[kind])
        if kind == BOOLEAN:
            self.booleans(content)
        return key, kind, struct.unpack("<" + SIGNED[kind], content)[0] if kind in SIGNED else int.from_bytes(content, "little")

    def booleans(self, content):
        if any(byte > 1 for byte in content):
            raise Refused("VALUE")

    def array(self, file):
        kind, n = file.number(4), file.number(8)
        if kind == ARRAY:
            raise Refused("UNSUPPORTED")
        if kind != STRING and kind not in SCALARS:
            raise Refused("TYPE")
        if n > self.max_array or n * SCALARS.get(kind, 8) > file.left:
            raise Refused("LIMIT")
        if kind == STRING:
            for _ in range(n):
                self.text(file, self.max_string)
            return
        content = file.take(n * SCALARS[kind])
        if kind == BOOLEAN:
            self.booleans(content)

    def tensor(self, file, alignment):
        """(name, offset, bytes)"""
        name = self.text(file, self.max_name)
        if not name:
            raise Refused("LIMIT")
        if not self.is_name(name):
            raise Refused("KEY")
        n_dims = file.number(4)
        if not 1 <= n_dims <= self.max_dims:
            raise Refused("DIMS")
        broken = set()
        try:
            dims = []
            for _ in range(n_dims):
                dims.append(file.number(8))
                broken |= self.dimension(dims)
            kind, offset = file.number(4), file.number(8)
        except Refused as end:
            raise Refused(*end.statuses, *broken) from end
        n, of_bytes = self.size(dims, kind, alignment)
        broken |= of_bytes
        if offset % alignment:
            broken.add("OFFSET")
        if offset > self.max_bytes:
            broken.add("OVERFLOW")
        if broken:
            raise Refused(*broken)
        return name, offset, n

    def dimension(self, dims):
        """Of the last one, and of the product so far."""
        if dims[-1] == 0 or dims[-1] >= 1 << 63:
            return {"DIMS"}
        return {"OVERFLOW"} if dims[-1] > self.max_dim or self.elements(dims) >= 1 << 64 else set()

    def elements(self, dims):
        n = 1
        for dim in dims:
            n = self.product(n, dim)
        return n

    def size(self, dims, kind, alignment):
        """(bytes, statuses)"""
        if kind not in BLOCKS:
            return 0, {"UNSUPPORTED" if kind in NOT_READ else "TYPE"}
        weights, block = BLOCKS[kind]
        if dims[0] % weights:
            return 0, {"DIMS"}
        n = self.product(self.elements(dims) // weights, block)
        return n, {"OVERFLOW"} if self.sum(n, alignment - 1) > self.max_bytes else set()

    def product(self, a, b):
        return a * b

    def sum(self, a, b):
        return a + b

    def padded(self, n, alignment):
        return -(-n // alignment) * alignment

    def places(self, size, start, tensors):
        for offset, n in tensors:
            if self.sum(self.sum(start, offset), n) > size:
                raise Refused("TRUNCATED")
        tensors = sorted(tensors)
        for (a, n), (b, _) in zip(tensors, tensors[1:]):
            if a + n > b:
                raise Refused("OVERLAP")

    def split(self, kind, n):
        """Of `split.count`: one file of several is no model."""
        if kind not in SCALARS or kind in (6, BOOLEAN, 12):
            raise Refused("TYPE")
        if n < 0:
            raise Refused("HPARAM")
        if n > 1:
            raise Refused("SPLIT")
