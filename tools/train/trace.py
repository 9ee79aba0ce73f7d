"""Writes the trace of a float model: every intermediate tensor of a token sequence, under the names and shapes that
tools/parity/forward_trace.h lists, computed whole and without a cache.

    python3 tools/train/trace.py MODEL.gguf OUT.safetensors --ids 5,17,3 [--dtype float64] [--device cpu] [--layers 0,5] [--store float32]

MODEL is a float GGUF. --ids: token ids, @FILE of int32, or @TRACE.safetensors, whose tokens they are. --layers: only these layers' tensors go into the file.
"""

import argparse
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gguf_model import load  # noqa: E402
from model import score_scale  # noqa: E402


def attention(block, x, rope, e, note):
    """Block.attention, step by step: x [1, T, d] to [1, T, d]."""
    c, n = block.c, x.shape[1]
    q, cached = block.query(x, rope), block.cached(x, rope, e)
    note("q", q)
    if c.gate != "none":
        note("gate", block.attn_gate_up(e))
    k, v = (t for t in block.keys_values(cached, e))
    if c.attention == "mha":
        note("k", cached[0])
        note("v", cached[1])
    else:
        note("c", cached[0])
        note("k_rope", cached[1])
        note("k", k[..., :c.content_width])
        note("v", v)
    scores = score_scale(c) * torch.einsum("bthd,bshd->bhts", q, k)
    seen = torch.ones(n, n, dtype=torch.bool, device=x.device).tril()
    note("scores", scores.masked_fill(~seen, 0).transpose(1, 2))
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    heads = torch.einsum("bhts,bshd->bthd", weights, v)
    note("heads", heads)
    return block.attn_output(heads.flatten(-2))


@torch.no_grad()
def trace(model, ids):
    """name -> tensor [T, ...], from ids [T]."""
    c, out = model.c, {}

    def note(name, x):
        out[name] = x[0].contiguous()

    ids = ids[None]
    x = c.embedding_scale * model.token_embd(ids)
    note("embedding", x)
    rope, gates = model.rope(0, ids.shape[1], x), model.gate_rows(ids)
    for n, block in enumerate(model.blk):
        def note_layer(name, value, layer=n):
            note(f"layer.{layer}.{name}", value)

        normed = block.attn_norm(x)
        note_layer("attn_in", normed)
        delta = attention(block, normed, rope, gates[min(n // c.layer_group_size, len(gates) - 1)], note_layer)
        note_layer("attn_out", delta)
        x = x + c.residual_scale * delta
        normed = block.ffn_norm(x)
        note_layer("ffn_in", normed)
        if block.has_experts:
            scores, weights = block.route(normed)
            note_layer("router", scores)
            note_layer("experts", weights)
        delta = block.feed_forward(normed)
        note_layer("ffn_out", delta)
        x = x + c.residual_scale * delta
    normed = model.output_norm(x)
    note("output_in", normed)
    note("logits", c.logit_scale * (F.linear(normed, model.token_embd.weight) if c.tied else model.output(normed)))
    return out


def write(path, model, ids, dtype=torch.float32, layers=None, about=None):
    """Traces the model and writes the file; `layers` None: all."""
    tensors = trace(model, ids)
    if layers is not None:
        tensors = {k: v for k, v in tensors.items() if not k.startswith("layer.") or int(k.split(".")[1]) in layers}
    tensors = {k: v.to(dtype).cpu() for k, v in tensors.items()}
    tensors["tokens"] = ids.to(torch.int32).cpu()
    parameter = next(model.parameters())
    save_file(tensors, path, {"format": "pith-trace 1", "writer": "pytorch", "precision": str(parameter.dtype).removeprefix("torch."),
                              "device": str(parameter.device), "torch": torch.__version__, **(about or {})})


def token_ids(text):
    if text.endswith(".safetensors"):
        return load_file(text[1:])["tokens"].tolist()
    return np.fromfile(text[1:], np.int32).tolist() if text.startswith("@") else [int(i) for i in text.split(",")]


def commit():
    """The commit that this file belongs to, or "unknown"."""
    done = subprocess.run(["git", "-C", Path(__file__).parent, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--ids", required=True)
    parser.add_argument("--dtype", default="float64", choices=["float64", "float32"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers")
    parser.add_argument("--store", default="float32", choices=["float64", "float32"])
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = load(args.model, getattr(torch, args.dtype)).to(args.device)
    layers = None if args.layers is None else {int(n) for n in args.layers.split(",")}
    write(args.out, model, torch.tensor(token_ids(args.ids), device=args.device), getattr(torch, args.store), layers,
          {"model": Path(args.model).name, "commit": commit(), "machine": platform.machine()})


if __name__ == "__main__":
    main()
