"""Heals a model that latent.py has made smaller: trains its attention on what the original does on text.

    python3 tools/convert/heal.py MODEL.gguf SMALL.gguf OUT.gguf --ids self.npy books.npy [--gate 64]

First layer by layer, from the first on, on what the healed layers before it hand over: the attention's output towards the original's
and what the residual stream has gone astray (readout.py, and Adam before it). Then the whole: the KL divergence of the next token.
Feed-forwards, norms and embeddings stay as they are.

--gate WIDTH: EG-MLA. Keys and values are multiplied by W_UE E[id], which is 1 at first: E is 1 and the WIDTH - 1 principal components
of the token embeddings, W_UE the 1 alone. So a token that the text lacks has the gate of tokens like it.
"""

import argparse
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("train", "export", "convert")]

import gguf_model  # noqa: E402
import grouped  # noqa: E402
import latent  # noqa: E402
import readout  # noqa: E402
from trouble import Trouble, run  # noqa: E402

WARM_UP = 0.05  # part of the steps in which the rate rises
BETAS = (0.9, 0.98)


@torch.no_grad()
def with_gate(model, width):
    """The same model with a gate that is 1."""
    c = replace(model.c, gate="up", gate_norm="none", gate_width=width, layer_group_size=model.c.n_layers)
    out = grouped.empty(c)
    out.load_state_dict(model.state_dict(), strict=False)
    centred = model.token_embd.weight - model.token_embd.weight.mean(0)
    vectors = torch.linalg.eigh((centred.T @ centred).double())[1].flip(-1)[:, :width - 1].float()
    table = centred @ vectors
    out.gate_embd[0].weight[:] = torch.cat((torch.ones(len(table), 1), table / table.std(0)), 1)
    for block in out.blk:
        block.attn_gate_up.weight.zero_()[:, 0] = 1
    return out


def attention_parameters(block):
    return [p for name, p in block.named_parameters() if name.startswith("attn_") and not name.startswith("attn_norm")]


class Training:
    """Adam over batches in random order; the rate rises, then falls along a cosine."""

    def __init__(self, parameters, rate, n_batches, epochs, seed):
        self.parameters = [p.requires_grad_(True) for p in parameters]
        self.adam = torch.optim.Adam(self.parameters, lr=rate, betas=BETAS)
        n = max(1, round(n_batches * epochs))
        rise = max(1, round(WARM_UP * n))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.adam, lambda s: (s + 1) / rise if s < rise else 0.5 + 0.5 * math.cos(math.pi * (s - rise) / max(1, n - rise)))
        random = torch.Generator().manual_seed(seed)
        order = torch.cat([torch.randperm(n_batches, generator=random) for _ in range(math.ceil(epochs))])
        self.order = order[:n].tolist()

    def step(self, loss):
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adam.step()
        self.schedule.step()
        return float(loss.detach())

    def end(self):
        for p in self.parameters:
            p.requires_grad_(False)
            p.grad = None


@torch.no_grad()
def in_parts(function, *tensors):
    """Of all sequences [n, ...], eight at a time; a tensor may be None."""
    n = len(tensors[0])
    return torch.cat([function(*(t if t is None else t[i:i + 8] for t in tensors)) for i in range(0, n, 8)])


def passed_on(block, x, y):
    """The residual stream after the layer, given its attention's output."""
    return in_parts(lambda part: part + block.feed_forward(block.ffn_norm(part)), x + y)


class LayerTask:
    """What a layer's attention is to put out. Errors of a token are over the root mean square of its residual stream, as the norms
    that follow divide by it, and their sum is over that of the original's output."""

    def __init__(self, inputs, wanted, theirs, ours, rope, e):
        self.inputs, self.rope, self.e = inputs, rope, e
        self.target = wanted + theirs - ours
        self.weight = (theirs + wanted).square().mean(-1, keepdim=True).rsqrt()
        self.size = float((self.weight * wanted).square().sum() / len(inputs))  # of a sequence

    def output(self, block):
        return in_parts(lambda x, e: block.attention(x, self.rope, e), self.inputs, self.e)

    def error(self, out):
        return float((self.weight * (out - self.target)).square().sum() / self.size / len(out))

    def train(self, block, training, batch):
        for i in training.order:
            own = slice(i * batch, (i + 1) * batch)
            out = block.attention(self.inputs[own], self.rope, None if self.e is None else self.e[own])
            training.step((self.weight[own] * (out - self.target[own])).square().sum() / self.size / len(out))
        training.end()


def heal_layers(original, model, ids, epochs, rate, batch, seed):
    """Returns the original's residual stream after the last layer [n, T, d]."""
    ids = torch.as_tensor(ids).long()
    theirs = original.token_embd(ids)
    ours, e = theirs, model.gate_rows(ids)[0]
    n_batches = -(-len(ids) // batch)
    their_rope, rope = (m.rope(0, ids.shape[1], theirs) for m in (original, model))
    for n, (before, block) in enumerate(zip(original.blk, model.blk)):
        wanted = in_parts(lambda x: before.attention(before.attn_norm(x), their_rope, None), theirs)
        task = LayerTask(in_parts(block.attn_norm, ours), wanted, theirs, ours, rope, e)
        errors = [task.error(task.output(block))]
        if epochs:
            task.train(block, Training(attention_parameters(block), rate, n_batches, epochs, seed), batch)
            errors.append(task.error(task.output(block)))
        if e is None:
            readout.fit(block, task.inputs, task.target, task.weight, rope)
        out = task.output(block)
        errors.append(task.error(out))
        print(f"layer {n}: error {' -> '.join(f'{x:.4f}' for x in errors)}", flush=True)
        theirs, ours = passed_on(before, theirs, wanted), passed_on(block, ours, out)
    return theirs


def heal_whole(original, model, ids, last, epochs, rate, batch, seed, seconds):
    """KL divergence in nats of the next token, given the original's last hidden states. Ends after so many seconds."""
    parts, lasts, started, losses = torch.as_tensor(ids).long().split(batch), last.split(batch), time.monotonic(), []
    parameters = [p for block in model.blk for p in attention_parameters(block)] + list(model.gate_embd.parameters())
    training = Training(parameters, rate, len(parts), epochs, seed)
    for step, i in enumerate(training.order):
        with torch.no_grad():
            p = original.logits(lasts[i]).log_softmax(-1)
        q = model(parts[i]).log_softmax(-1)
        losses.append(training.step(torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True) / parts[i].numel()))
        if step % 8 == 7:
            print(f"step {step + 1} of {len(training.order)}: {np.mean(losses[-8:]):.4f} nats, {time.monotonic() - started:.0f} s", flush=True)
        if time.monotonic() - started > seconds:
            print(f"stopped after {seconds} s")
            break
    training.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("small")
    parser.add_argument("out")
    parser.add_argument("--ids", required=True, nargs="+", help="token ids [n, length], .npy, as text_ids.py and self_text.py write them")
    parser.add_argument("--gate", type=int, default=0)
    parser.add_argument("--batch", type=int, default=2, help="sequences")
    parser.add_argument("--layer-epochs", type=float, default=1, help="of Adam; 0: least squares alone")
    parser.add_argument("--layer-rate", type=float, default=1e-3)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seconds", type=float, default=math.inf, help="the second part ends after so many")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    original = grouped.load(args.model)
    model = gguf_model.load(args.small, torch.float32).requires_grad_(False)
    if model.c.gate != "none" and args.gate:
        raise Trouble(f"{args.small}: it has a gate already; leave --gate out")
    if args.gate:
        model = with_gate(model, args.gate)
    ids = np.concatenate([np.load(path) for path in args.ids])
    print(f"{ids.size:,} tokens", flush=True)
    last = heal_layers(original, model, ids, args.layer_epochs, args.layer_rate, args.batch, args.seed)
    latent.save(model, args.model, args.out)
    if args.epochs:
        heal_whole(original, model, ids, last, args.epochs, args.rate, args.batch, args.seed, args.seconds)
    latent.save(model, args.model, args.out)


if __name__ == "__main__":
    run(main)
