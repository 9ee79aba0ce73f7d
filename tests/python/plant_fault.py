"""Plants one fault in a float GGUF or in a trace:

    python3 tests/python/plant_fault.py FAULT IN OUT

rope_pairing        model   egmla.rope.interleaved is the other one
gate_table          model   gate_embd.1 holds the rows of gate_embd.0: layers of group 1 read the table of the group before
missing_gamma       model   blk.1.attn_gate_norm.weight is 1
swapped_heads       model   blk.1.attn_output.weight takes heads 0 and 1 for each other
wrong_scale         model   egmla.rope.scaling.yarn_log_multiplier is 0.12: the scores' scale, which rests on it, is another
position_off_by_one trace   layer.1.k_rope is rotated by one position more (needs the frequencies: radians a position of
                            every pair, pairs (2i, 2i + 1), in the trace's metadata as "frequencies")
"""

import struct
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def set_value(path, out, key, packed):
    """Overwrites the value of a scalar key, whose bytes follow the key and its u32 type."""
    data = bytearray(Path(path).read_bytes())
    at = data.index(key.encode() + struct.pack("<I", 7 if len(packed) == 1 else 6)) + len(key) + 4
    data[at:at + len(packed)] = packed
    Path(out).write_bytes(data)


def edit_tensors(path, out, change):
    """change(tensors: name -> float32 array [rows, cols] or [n], views into the file) edits in place."""
    data = bytearray(Path(path).read_bytes())
    tensors = {t.name: np.frombuffer(data, np.float32, int(t.n_elements), int(t.data_offset)).reshape([int(n) for n in reversed(t.shape)])
               for t in gguf.GGUFReader(path).tensors}
    change(tensors)
    Path(out).write_bytes(data)


def rope_pairing(path, out):
    field = gguf.GGUFReader(path).get_field("egmla.rope.interleaved")
    set_value(path, out, "egmla.rope.interleaved", bytes([not field.contents()]))


def gate_table(path, out):
    def change(tensors):
        tensors["gate_embd.1.weight"][:] = tensors["gate_embd.0.weight"]
    edit_tensors(path, out, change)


def missing_gamma(path, out):
    def change(tensors):
        tensors["blk.1.attn_gate_norm.weight"][:] = 1
    edit_tensors(path, out, change)


def swapped_heads(path, out):
    n_heads = int(gguf.GGUFReader(path).get_field("egmla.attention.head_count").contents())

    def change(tensors):
        heads = tensors["blk.1.attn_output.weight"]  # [d, n_h d_v]
        width = heads.shape[1] // n_heads
        heads[:, :2 * width] = np.concatenate((heads[:, width:2 * width], heads[:, :width]), 1)
    edit_tensors(path, out, change)


def wrong_scale(path, out):
    set_value(path, out, "egmla.rope.scaling.yarn_log_multiplier", struct.pack("<f", 0.12))


def position_off_by_one(path, out):
    with safe_open(path, "np") as f:
        tensors, metadata = {name: f.get_tensor(name) for name in f.keys()}, f.metadata()
    turn = np.array([float(x) for x in metadata["frequencies"].split()])
    k = tensors["layer.1.k_rope"]
    a, b = k[:, 0::2].copy(), k[:, 1::2].copy()
    k[:, 0::2] = a * np.cos(turn) - b * np.sin(turn)
    k[:, 1::2] = a * np.sin(turn) + b * np.cos(turn)
    save_file(tensors, out, metadata)


FAULTS = {f.__name__: f for f in (rope_pairing, gate_table, missing_gamma, swapped_heads, wrong_scale, position_off_by_one)}

if __name__ == "__main__":
    FAULTS[sys.argv[1]](sys.argv[2], sys.argv[3])
