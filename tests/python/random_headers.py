"""GGUF files of random headers: valid ones, and ones with a field or several that are on an edge, or far beyond."""

import random
import struct

from gguf_rules import ARRAY, BLOCKS, BOOLEAN, SCALARS, STRING, U32, U64

MASK = (1 << 64) - 1
TYPES = sorted(SCALARS) + [STRING, ARRAY]
MAX_DATA = 1 << 16  # bytes after the header


def factors(n, limit=5000):
    """Prime factors below `limit`, and what is left."""
    found = []
    for p in range(2, limit):
        while n % p == 0:
            found.append(p)
            n //= p
    return found + [n] * (n > 1)


# Numbers whose factors, as dimensions of at most 2^40 each, have a product that a reader of 64 bits sees as a small one.
WRAPPING = [split for m in (1, 2, 3, 4, 5, 8, 16, 64, 256) for small in (-16, -4, -1, 0, 1, 2, 4, 16, 32, 64, 256, 1024)
            if max(split := factors((m << 64) + small)) <= 1 << 40]


def edge(rng):
    """Of 64 bits: near a power of two, small, or any."""
    kind = rng.random()
    if kind < 0.7:
        return (1 << rng.randrange(65)) + rng.choice((-1, 0, 1)) & MASK
    return rng.randrange(300) if kind < 0.9 else rng.getrandbits(64)


def wrapping_dims(rng):
    primes = rng.choice(WRAPPING)[:]
    rng.shuffle(primes)
    dims = [1] * rng.choice((2, 3, 4))
    for p in primes:
        at = rng.randrange(len(dims))
        if dims[at] * p > 1 << 40:
            at = min(range(len(dims)), key=dims.__getitem__)
        dims[at] *= p
    return dims


class Writer:
    """A file with faults: `rate` is the chance of one, at every field."""

    def __init__(self, rng, rate):
        self.rng, self.rate, self.parts, self.n = rng, rate, [], 0

    def fault(self):
        return self.rate and self.rng.random() < self.rate

    def put(self, content):
        self.parts.append(content)
        self.n += len(content)

    def u32(self, n, other=None):
        self.put(struct.pack("<I", (other or edge(self.rng)) & 0xFFFFFFFF if self.fault() else n))

    def u64(self, n):
        self.put(struct.pack("<Q", edge(self.rng) if self.fault() else n))

    def text(self, content):
        if self.fault():
            content = self.rng.choice((b"", content + b"\0", b"\x1b[2J" + content, content + b" ", b"x" * 64, b"y" * 65, b"%n%s",
                                       content + b"\x7f", content + b"\xc3\xa9", b"~!" + content))
        self.u64(len(content))
        self.put(content)

    def value(self, kind):
        rng = self.rng
        if kind in SCALARS:
            n = rng.randrange(2) if kind == BOOLEAN and not self.fault() else edge(rng)
            return self.put(n.to_bytes(8, "little")[:SCALARS[kind]])
        if kind == STRING:
            return self.text(b"value %d" % rng.randrange(10))
        element = rng.choice(TYPES[:-1])
        n = rng.randrange(5)
        self.u32(element, rng.choice((ARRAY, 13, 255)))
        self.u64(n)
        for _ in range(n):
            self.value(element)

    def entry(self, key, kind, value=None):
        self.text(key)
        self.u32(kind, self.rng.choice((0, 13, 255, 0xFFFFFFFF)))
        self.value(kind) if value is None else self.put(value)


def alignment_entry(w):
    """Writes general.alignment, and returns what tensors are aligned to."""
    n = 1 << w.rng.randrange(3, 12)
    if w.fault():
        n = w.rng.choice((0, 1, 2, 4, 13, 24, 65536, 1 << 17, 1 << 30, 1 << 31))
    if w.fault():
        w.entry(b"general.alignment", w.rng.choice(TYPES))
    else:
        w.entry(b"general.alignment", U32, struct.pack("<I", n))
    return n


def keys(w):
    """(number of keys, alignment)"""
    rng, alignment = w.rng, 32
    names = [b"key.%d" % i for i in range(rng.randrange(6))]
    if rng.random() < 0.4:
        names.append(b"general.alignment")
    if rng.random() < 0.1:
        names.append(b"split.count")
    rng.shuffle(names)
    if names and w.fault():
        names.append(rng.choice(names))
    for name in names:
        if name == b"general.alignment":
            alignment = alignment_entry(w)
        elif name == b"split.count" and rng.random() < 0.5:
            w.entry(name, U64, struct.pack("<Q", rng.randrange(2)))
        else:
            w.entry(name, rng.choice(TYPES))
    return len(names), alignment


def small_dims(rng, kind):
    weights, _ = BLOCKS[kind]
    dims = [weights * rng.randrange(1, 4)]
    while len(dims) < 4 and rng.random() < 0.5:
        dims.append(rng.randrange(1, 5))
    return dims


def tensors(w, alignment):
    """(number of tensors, bytes of data that they need)"""
    rng, end, places = w.rng, 0, []
    unit = max(alignment, 1)
    for i in range(rng.randrange(5)):
        kind = rng.choice(list(BLOCKS))
        dims = small_dims(rng, kind)
        n = BLOCKS[kind][1] * (dims[0] // BLOCKS[kind][0])
        for dim in dims[1:]:
            n *= dim
        start = -(-end // unit) * unit + unit * (rng.random() < 0.2)
        if w.fault():  # a block too early, into the tensor before
            start = max(0, start - unit)
        places.append((b"tensor.%d" % i, kind, dims, start))
        end = max(end, start + n)
    rng.shuffle(places)
    if places and w.fault():
        places.append(rng.choice(places))
    for name, kind, dims, start in places:
        if w.fault():
            dims = wrapping_dims(rng) if rng.random() < 0.7 else [1 << 40] + dims[1:3]
            kind = rng.choice((kind, 0, 1, 24))
            if rng.random() < 0.5:
                dims[rng.randrange(len(dims))] += rng.choice((-1, 1))
        w.text(name)
        w.u32(len(dims), rng.choice((0, len(dims) + 1, 5, 9, 0xFFFFFFFF)))
        for dim in dims:
            w.u64(dim)
        w.u32(kind, rng.choice((4, 5, 9, 16, 31, 34, 36, 41, 42, 0xFFFFFFFF)))
        w.u64(rng.choice((start + 1, start + unit, (1 << 64) - unit, 1 << 62, start + 8)) if w.fault() else start)
    return len(places), end


def header(rng):
    """The bytes of a file."""
    w = Writer(rng, 0 if rng.random() < 0.3 else rng.choice((0.01, 0.02, 0.05)))
    n_keys, alignment = keys(w)
    n_tensors, n_data = tensors(w, alignment)
    body = b"".join(w.parts)
    front = Writer(rng, w.rate)
    front.put(rng.choice((b"FUGG", b"ggjt", b"\x1b[1m")) if front.fault() else b"GGUF")
    front.u32(3, rng.choice((0, 1, 2, 4, 3 << 24)))
    for n in (n_tensors, n_keys):
        front.u64(n + rng.choice((-1, 1)) & MASK if front.fault() else n)
    size = 24 + len(body)
    unit = max(alignment, 1)
    n_data = min(MAX_DATA, -(-size // unit) * unit - size + n_data) if n_tensors else 0
    if w.fault():
        n_data = min(MAX_DATA, max(0, n_data + rng.choice((-1, 1, -unit, unit))))
    data = b"".join(front.parts) + body + bytes(n_data)
    return data[:rng.randrange(len(data) + 1)] if w.fault() else data


def headers(seed, n):
    rng = random.Random(seed)
    for _ in range(n):
        yield header(rng)
