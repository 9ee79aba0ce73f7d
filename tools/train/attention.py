"""Causal attention for training in bf16 on a CPU: products by matmul, which AMX takes, where the backward pass of PyTorch's
fused kernel alone took 43 % of a step (width 192, batch 8). Written as operators of our own, so that torch.compile leaves them whole.

Shapes: q, k [B, n_h, T, w]; v [B, n_h, T, d_v], all of one type; w the width of a key. Queries go in blocks of T / BLOCKS, each with
the keys up to its end alone: of four blocks 10 of 16 products are left.
"""

import torch

BLOCKS = 4


def blocks(n_tokens):
    """(first, end) of each block of queries; the last ones are the longer where T is no multiple."""
    ends = [n_tokens * (i + 1) // BLOCKS for i in range(BLOCKS)]
    return [(first, end) for first, end in zip([0] + ends, ends) if end > first]


@torch.library.custom_op("pith::attend", mutates_args=())
def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """softmax(scale q k^T) v [B, n_h, T, d_v], and the weights [B, n_h, queries, keys] of each block for the way back."""
    out, weights = torch.empty(v.shape, dtype=v.dtype), []
    for first, end in blocks(q.shape[-2]):
        scores = torch.matmul(q[..., first:end, :] * scale, k[..., :end, :].mT)
        scores[..., first:] += torch.full((end - first, end - first), -torch.inf, dtype=q.dtype).triu(1)
        weights.append(scores.softmax(-1))
        out[..., first:end, :] = torch.matmul(weights[-1], v[..., :end, :])
    return out, weights


@attend.register_fake
def _(q, k, v, scale):
    return (v.new_empty(v.shape), [q.new_empty((*q.shape[:-2], end - first, end)) for first, end in blocks(q.shape[-2])])


@torch.library.custom_op("pith::attend_back", mutates_args=())
def attend_back(d_out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, weights: list[torch.Tensor],
                scale: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of q, k and v; those of k and v are summed over the blocks in float32 or better."""
    wide = torch.promote_types(k.dtype, torch.float32)
    dq, dk, dv = torch.empty(q.shape, dtype=q.dtype), torch.zeros(k.shape, dtype=wide), torch.zeros(v.shape, dtype=wide)
    for (first, end), w in zip(blocks(q.shape[-2]), weights):
        d_block = d_out[..., first:end, :]
        dv[..., :end, :] += torch.matmul(w.mT, d_block)
        d_scores = torch._softmax_backward_data(torch.matmul(d_block, v[..., :end, :].mT), w, -1, w.dtype)
        dq[..., first:end, :] = torch.matmul(d_scores, k[..., :end, :]) * scale
        dk[..., :end, :] += torch.matmul(d_scores.mT, q[..., first:end, :])
    return dq, (dk * scale).to(k.dtype), dv.to(v.dtype)


@attend_back.register_fake
def _(d_out, q, k, v, weights, scale):
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def keep(ctx, inputs, output):
    q, k, v, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, *output[1])


def back(ctx, d_out, _):
    q, k, v, *weights = ctx.saved_tensors
    return *attend_back(d_out.contiguous(), q, k, v, weights, ctx.scale), None


attend.register_autograd(back, setup_context=keep)


def causal(q, k, v, scale):
    """[B, n_h, T, d_v] of whole sequences, in bf16."""
    return attend(*(t.to(torch.bfloat16).contiguous() for t in (q, k, v)), scale)[0]
