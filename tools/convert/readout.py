"""Values and output matrix of a layer of latent attention by least squares, its attention given.

    y = sum over heads h of W_h ctx_h,   ctx_h = sum_t p_h,t c_t [r]

is linear in W_h = W_O,h W_UV,h [d, r], which has the rank d_v of a value. First all W_h together, then each to its rank (the nearest
for this ctx_h), then all W_O,h together. Both solutions stay near what the layer has where the text says nothing: ridge.
"""

import torch

from model import score_scale

RIDGE = 1e-3  # of the mean variance of an input


def contexts(block, x, rope):
    """[T, n_h, r] of one sequence x [T, d]."""
    cached = block.cached(x[None], rope, None)
    q, k = block.query(x[None], rope)[0], block.keys_values(cached, None)[0][0]
    scores = q.transpose(0, 1) @ k.permute(1, 2, 0) * score_scale(block.c)
    back = torch.ones(len(x), len(x), dtype=torch.bool).tril()
    return (scores.masked_fill_(~back, -torch.inf).softmax(-1) @ cached[0][0]).transpose(0, 1)


def solved(gram, cross, start):
    """W [d, n] that minimises the squared error plus RIDGE |W - start|^2, of gram = A^T A and cross = y^T A."""
    ridge = RIDGE * gram.diagonal().mean()
    return start + torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), (cross - start @ gram).T).T


@torch.no_grad()
def fit(block, inputs, targets, weights, rope):
    """inputs, targets [n, T, d]: the attention's, normed, and what its output should be; weights [n, T, 1] of errors."""
    c = block.c
    n_h, r, d_v, d = c.n_heads, c.latent_width, c.value_width, c.width
    gram, cross = torch.zeros(n_h * r, n_h * r, dtype=torch.float64), torch.zeros(d, n_h * r, dtype=torch.float64)
    for x, y, w in zip(inputs, targets, weights):
        a = w * contexts(block, x, rope).flatten(1)
        gram += (a.T @ a).double()
        cross += ((w * y).T @ a).double()
    values = block.attn_kv_b.weight.unflatten(0, (n_h, -1))[:, c.content_width:]   # [n_h, d_v, r], a view
    output = block.attn_output.weight                                              # [d, n_h d_v]
    start = torch.einsum("ohv,hvr->ohr", output.double().unflatten(1, (n_h, d_v)), values.double()).flatten(1)
    whole = solved(gram, cross, start).unflatten(1, (n_h, r))
    spread = torch.zeros(n_h * d_v, n_h * r, dtype=torch.float64)
    new_output = torch.empty(d, n_h, d_v, dtype=torch.float64)
    for h in range(n_h):
        own = slice(h * r, (h + 1) * r)
        sizes, vectors = torch.linalg.eigh(gram[own, own])
        root = sizes.clamp(min=1e-9 * float(sizes.max())).sqrt()
        u, s, v = torch.linalg.svd(whole[:, h] @ (vectors * root), full_matrices=False)
        scale = (gram.diagonal().mean() / r).sqrt()  # values as large as before, so that later steps fit both factors
        spread[h * d_v:(h + 1) * d_v, own] = v[:d_v] @ (vectors / root).T * scale
        new_output[:, h] = u[:, :d_v] * s[:d_v] / scale
        values[h] = spread[h * d_v:(h + 1) * d_v, own].float()
    output[:] = solved(spread @ gram @ spread.T, cross @ spread.T, new_output.flatten(1)).float()
