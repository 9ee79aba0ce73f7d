"""Another reader of GGUF, the `gguf` package, lists float and packed models as they are meant.

Needs the pith command: PITH_COMMAND=build/pith python3 -m pytest tests/python/test_gguf_listing.py
"""

import hashlib
import json
import os
import subprocess

import pytest

gguf = pytest.importorskip("gguf")

COMMAND = os.environ.get("PITH_COMMAND")
pytestmark = pytest.mark.skipif(not COMMAND, reason="PITH_COMMAND does not name the pith command")

SHAPE = {
    "attention.kind": "latent", "attention.gate": "up", "attention.gate_norm": "layer", "attention.gate_length": 16,
    "attention.layer_group_size": 2, "block_count": 3, "embedding_length": 32, "attention.head_count": 2,
    "attention.value_length": 16, "attention.key_length_content": 16, "rope.dimension_count": 8, "vocab_size": 300,
    "attention.kv_lora_rank": 16, "feed_forward_length": 64, "context_length": 64,
}


def pith(*arguments):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def strings(reader, key):
    field = reader.fields[key]
    return [bytes(field.parts[i]).decode() for i in field.data]


def numbers(reader, key):
    field = reader.fields[key]
    return [int(field.parts[i][0]) for i in field.data]


@pytest.fixture(params=["q4", "q4m", "q8", "f32"])
def packed(request, tmp_path):
    shape, model = tmp_path / "shape.json", tmp_path / "model.gguf"
    shape.write_text(json.dumps(SHAPE))
    done = pith("synth", shape, model, "--type", request.param)
    assert done.returncode == 0, done.stderr
    return model, request.param


def panel_bytes(kind, cols):
    blocks = -(-cols // 32)
    return blocks * {"q4": 144, "q4m": 160, "q8": 272, "f32": 1024}[kind]


def test_packed_models_list_and_their_directory_is_true(packed):
    model, kind = packed
    reader = gguf.GGUFReader(model)
    tensors = {t.name: t for t in reader.tensors}
    names, kinds = strings(reader, "pith.packed.names"), strings(reader, "pith.packed.types")
    rows, cols = numbers(reader, "pith.packed.rows"), numbers(reader, "pith.packed.cols")
    hashes = strings(reader, "pith.packed.sha256")
    assert sorted(names) == sorted(tensors)
    assert len(numbers(reader, "pith.rope.frequencies")) == SHAPE["rope.dimension_count"] // 2
    for name, stored, n_rows, n_cols, digest in zip(names, kinds, rows, cols, hashes):
        tensor = tensors[name]
        assert hashlib.sha256(tensor.data.tobytes()).hexdigest() == digest, name
        assert tensor.data_offset % 64 == 0
        if stored == "vector":
            assert (tensor.tensor_type, list(tensor.shape)) == (gguf.GGMLQuantizationType.F32, [n_cols])
        else:
            assert tensor.tensor_type == gguf.GGMLQuantizationType.I8
            assert list(tensor.shape) == [-(-n_rows // 8) * panel_bytes(stored, n_cols)]
            assert stored == ("q8" if kind in ("q4", "q4m") and name in ("token_embd.weight", "output.weight") else kind)


def test_float_models_written_by_gguf_are_packed(tmp_path):
    """A float file of another writer, in another order, with F16 matrices."""
    numpy = pytest.importorskip("numpy")
    random = numpy.random.default_rng(1)
    source, out = tmp_path / "float.gguf", tmp_path / "packed.gguf"
    writer = gguf.GGUFWriter(source, "egmla")
    words = {"attention.kind": "mha", "feed_forward.kind": "relu2"}
    sizes = {"block_count": 1, "embedding_length": 24, "attention.head_count": 2, "attention.value_length": 8,
             "feed_forward_length": 40, "vocab_size": 257, "context_length": 32}
    for name, value in words.items():
        writer.add_string(f"egmla.{name}", value)
    for name, value in sizes.items():
        writer.add_uint32(f"egmla.{name}", value)
    shapes = {"blk.0.ffn_down.weight": (24, 40), "blk.0.ffn_up.weight": (40, 24), "blk.0.attn_output.weight": (24, 16),
              "blk.0.attn_q.weight": (16, 24), "blk.0.attn_k.weight": (16, 24), "blk.0.attn_v.weight": (16, 24),
              "token_embd.weight": (257, 24)}
    for name, shape in shapes.items():
        writer.add_tensor(name, random.standard_normal(shape).astype(numpy.float16))
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, numpy.ones(24, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    done = pith("quantize", source, out, "--type", "q8")
    assert done.returncode == 0, done.stderr
    reader = gguf.GGUFReader(out)
    assert {t.name for t in reader.tensors} == {t.name for t in gguf.GGUFReader(source).tensors}
    shown = pith("info", out, "--json")
    assert shown.returncode == 0, shown.stderr
    assert pith("quantize", out, tmp_path / "again.gguf").returncode == 1  # packed already
