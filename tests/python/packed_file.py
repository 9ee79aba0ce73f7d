"""A second, independent writer of packed models (float32 panels), from the prose of simd/packed.h and src/model/model_file.h.

It shares no code with `pith quantize`, but the list of the keys: the runtime must agree with PyTorch through either of them.
"""

import math
import struct

import numpy as np

from config_keys import written  # tools/train
from model import rope_frequencies, rope_magnitude, score_scale  # tools/train

U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10


def panels(w):
    """float32 panels of 8 rows: [rows / 8, cols, 8], rows padded to 8 and columns to 32."""
    rows, cols = w.shape
    padded = np.zeros((-(-rows // 8) * 8, -(-cols // 32) * 32), np.float32)
    padded[:rows, :cols] = w
    return np.ascontiguousarray(padded.reshape(-1, 8, padded.shape[1]).transpose(0, 2, 1)).tobytes()


SLOTS = [0, 1, 4, 5, 2, 3, 6, 7]  # the row that each slot of a panel holds


def blocks(w):
    """w padded to panels and blocks: [panels, blocks, 8 slots, 32 columns], rows in slot order."""
    rows, cols = w.shape
    padded = np.zeros((-(-rows // 8) * 8, -(-cols // 32) * 32))
    padded[:rows, :cols] = w
    return padded.reshape(-1, 8, padded.shape[1] // 32, 32)[:, SLOTS].transpose(0, 2, 1, 3)


def interleave(per_super, *arrays):
    """codes [panels, blocks, bytes], scales [panels, blocks, 8] of fp16 and perhaps minima likewise, superblock by superblock."""
    out = b""
    for panel in zip(*arrays):
        for b in range(0, len(panel[0]), per_super):
            out += b"".join(part[b:b + per_super].tobytes() for part in panel)
    return out


def nibbles(u):
    """[half p][slot][byte]: low nibble column 8 p + b, high nibble 16 + 8 p + b"""
    low, high = u[..., :16].astype(np.uint8), u[..., 16:].astype(np.uint8)
    return (low | high << 4).reshape(*u.shape[:3], 2, 8).transpose(0, 1, 3, 2, 4).reshape(*u.shape[:2], 128)


def quantized_with_minima(w):
    """As quantized, of q4m: plain rounding of every block's range."""
    x = blocks(w)
    m = x.min(-1).astype(np.float16).astype(np.float64)
    d = ((x.max(-1) - x.min(-1)) / 15).astype(np.float16).astype(np.float64)
    u = np.clip(np.rint((x - m[..., None]) / np.where(d == 0, 1, d)[..., None]), 0, 15)
    exact = (u * d[..., None] + m[..., None]).transpose(0, 2, 1, 3)[:, np.argsort(SLOTS)].reshape(-1, x.shape[1] * 32)
    natural = [s[..., np.argsort(SLOTS)].astype(np.float16) for s in (d, m)]
    return interleave(4, nibbles(u), *natural), exact[:w.shape[0], :w.shape[1]]


def quantized(w, kind):
    """(bytes of the packed matrix, the matrix [rows, cols] that they stand for): plain rounding to the largest value."""
    if kind == "q4m":
        return quantized_with_minima(w)
    x, top = blocks(w), 127 if kind == "q8" else 7
    d = (np.abs(x).max(-1) / top).astype(np.float16).astype(np.float64)
    q = np.clip(np.rint(x / np.where(d == 0, 1, d)[..., None]), -top, top).astype(np.int8)
    exact = (q * d[..., None]).transpose(0, 2, 1, 3)[:, np.argsort(SLOTS)].reshape(-1, x.shape[1] * 32)
    natural = d[..., np.argsort(SLOTS)].astype(np.float16)
    if kind == "q8":  # [quarter p][slot][byte]: column 8 p + b
        codes = q.reshape(*q.shape[:3], 4, 8).transpose(0, 1, 3, 2, 4).reshape(*q.shape[:2], 256)
        return interleave(2, codes, natural), exact[:w.shape[0], :w.shape[1]]
    return interleave(4, nibbles(q + 8), natural), exact[:w.shape[0], :w.shape[1]]


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def array(kind, items):
    return struct.pack("<IQ", kind, len(items)) + b"".join(items)


def fold(model):
    """The state dict [name -> float64] with gamma, beta and the score scale folded into W_Q and W_O."""
    c = model.c
    tensors = {k: v.detach().double().numpy() for k, v in model.state_dict().items()}
    for n in range(c.n_layers):
        b = f"blk.{n}."
        gamma, beta = np.ones((c.n_heads, c.kv_head_width)), np.zeros((c.n_heads, c.kv_head_width))
        if c.gate == "up" and c.gate_norm != "none":
            gamma = tensors[b + "attn_gate_norm.weight"].reshape(gamma.shape)
            beta = tensors.get(b + "attn_gate_norm.bias", beta).reshape(gamma.shape)
        factor = np.full((c.n_heads, c.query_head_width), score_scale(c))
        factor[:, :c.content_width] *= gamma[:, :c.content_width]
        factor[:, c.content_width:] *= rope_magnitude(c) ** 2
        if c.attention == "mha" and c.head_norm == "rms":  # the norm would take a factor of W_Q away
            tensors[b + "attn_q_norm.weight"] = tensors[b + "attn_q_norm.weight"] * factor[0]
            factor[:] = 1
        query = b + ("attn_q_b" if c.query_latent_width else "attn_q")
        for part in (".weight", ".bias"):
            if query + part in tensors:
                tensors[query + part] = (tensors[query + part].T * factor.reshape(-1)).T
        output = tensors[b + "attn_output.weight"]
        if beta.any():
            shift = output @ beta[:, c.content_width:].reshape(-1)
            tensors[b + "attn_output.bias"] = tensors.get(b + "attn_output.bias", 0) + shift
        tensors[b + "attn_output.weight"] = output * gamma[:, c.content_width:].reshape(-1)
    return tensors


def alignment(c):
    return 4096 if c.n_experts else 64


def metadata(c):
    """(key, type, bytes) of the hyper-parameters."""
    encode = {"integer": lambda x: (U32, struct.pack("<I", x)), "real": lambda x: (F32, struct.pack("<f", x)),
              "boolean": lambda x: (BOOL, bytes([x])), "word": lambda x: (STRING, text(x))}
    out = [("general.architecture", STRING, text("egmla")), ("general.alignment", U32, struct.pack("<I", alignment(c))),
           ("pith.packed.version", U32, struct.pack("<I", 1)), ("egmla.folded", BOOL, b"\1")]
    return out + [("egmla." + key["key"], *encode[key["kind"]](value)) for key, value in written(c)]


def write(model, kind="f32", stored=None):
    """The packed file of a model, as bytes. `stored`, a dict, receives the folded matrices as they were rounded."""
    c = model.c
    entries = []  # name, type, rows, cols, bytes, matrices
    for name, w in fold(model).items():
        if w.ndim == 1:
            entries.append((name, "vector", 1, len(w), w.astype(np.float32).tobytes(), 1))
            continue
        matrices = w.reshape(-1, *w.shape[-2:])
        of_one = "f32" if name.endswith("ffn_gate_inp.weight") else kind
        data, exact = zip(*((panels(m), m) if of_one == "f32" else quantized(m, of_one) for m in matrices))
        if stored is not None and of_one != "f32":
            stored[name] = np.stack(exact).reshape(w.shape)
        if w.ndim == 3:  # a stack: every matrix at a page
            data = [one + bytes(-len(one) % 4096) for one in data]
        entries.append((name, of_one, w.size // w.shape[-1], w.shape[-1], b"".join(data), len(matrices)))
    turns = [round(float(f) / (2 * math.pi) * 2**64) % 2**64 for f in rope_frequencies(c)]
    meta = metadata(c) + [
        ("pith.rope.frequencies", ARRAY, array(U64, [struct.pack("<Q", t) for t in turns])),
        ("pith.packed.names", ARRAY, array(STRING, [text(e[0]) for e in entries])),
        ("pith.packed.types", ARRAY, array(STRING, [text(e[1]) for e in entries])),
        ("pith.packed.rows", ARRAY, array(U32, [struct.pack("<I", e[2]) for e in entries])),
        ("pith.packed.cols", ARRAY, array(U32, [struct.pack("<I", e[3]) for e in entries])),
        ("pith.packed.sha256", ARRAY, array(STRING, [text("0" * 64) for _ in entries]))]
    if c.n_experts:
        meta.append(("pith.packed.matrices", ARRAY, array(U32, [struct.pack("<I", e[5]) for e in entries])))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(entries), len(meta))
    head += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in meta)
    body = b""
    for name, kind, _, cols, data, _ in entries:
        dim, gguf_type = (cols, 0) if kind == "vector" else (len(data), 24)
        head += text(name) + struct.pack("<IQIQ", 1, dim, gguf_type, len(body))
        body += data + bytes(-len(data) % alignment(c))
    return head + bytes(-len(head) % alignment(c)) + body
