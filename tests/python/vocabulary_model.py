"""Packed models of one small layer around a vocabulary, made by `pith quantize` (PITH_COMMAND)."""

import os
import struct
import subprocess

import numpy as np
import pytest

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # token types


def command():
    path = os.environ.get("PITH_COMMAND")
    if not path:
        pytest.skip("PITH_COMMAND does not name the pith command")
    return path


def model_of(folder, tokens, types, merges=None, scores=None, model="gpt2", pre="gpt-2", ids=None, flags=None,
             chat_template=None):
    """The bytes of a packed model; `ids` such as {"unknown": 0}, `flags` such as {"add_bos_token": True}."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(folder / "float.gguf", "egmla")
    writer.add_string("egmla.attention.kind", "mha")
    for key, value in {"block_count": 1, "embedding_length": 8, "attention.head_count": 1, "attention.value_length": 8,
                       "feed_forward_length": 8, "vocab_size": len(tokens), "context_length": 16}.items():
        writer.add_uint32(f"egmla.{key}", value)
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores(scores)
    for key, value in (ids or {}).items():
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", value)
    for key, value in (flags or {}).items():
        writer.add_bool(f"tokenizer.ggml.{key}", value)
    matrices = {"token_embd": len(tokens), **{f"blk.0.{name}": 8 for name in
                ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}}
    for name, rows in matrices.items():
        writer.add_tensor(f"{name}.weight", np.zeros((rows, 8), np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    done = subprocess.run([command(), "quantize", folder / "float.gguf", folder / "packed.gguf"], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return (folder / "packed.gguf").read_bytes()


def metadata_of(path):
    """{key: value} of a GGUF file, whose own package takes a minute for a large vocabulary."""
    data, at = path.read_bytes(), 24
    formats = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}

    def number(form):
        nonlocal at
        value, = struct.unpack_from(form, data, at)
        at += struct.calcsize(form)
        return value

    def text():
        nonlocal at
        n = number("<Q")
        at += n
        return data[at - n:at].decode("utf-8", "replace")

    def value(kind):
        if kind == 8:
            return text()
        if kind != 9:
            return number(formats[kind])
        kind, n = number("<I"), number("<Q")
        return [value(kind) for _ in range(n)]

    out = {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key = text()
        out[key] = value(number("<I"))
    return out


def byte_alphabet():
    """GPT-2's character for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(b if b in plain else next(rest)) for b in range(256)]
