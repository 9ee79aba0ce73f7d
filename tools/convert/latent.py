"""Rewrites a model of grouped heads (GGUF, architecture llama) as latent attention, as it is or smaller.

    python3 tools/convert/latent.py MODEL.gguf OUT.gguf                      # exact: as many cached elements as before
    python3 tools/convert/latent.py MODEL.gguf OUT.gguf --cached 192 --rotary 64 --calibrate ids.npy
    build/release/pith quantize OUT.gguf PACKED.gguf

Of n_kv key heads pair j is a complex number z_g,j for each group g of query heads, and RoPE multiplies all of them by one
e^(i w_j t). So whatever combines them with complex weights commutes with it. With D_j E_j = 1, both [n_kv, n_kv]:

    r_j = E_j z_j                         a rotary slot (j, s) is r_j,s: shared by all heads, cached
    score_h = sum_j Re(conj(q_h,j) z_g,j) = sum_(j,s) Re(conj(q_h,j conj(D_j[g, s])) r_j,s)

exact: E = D = 1, all slots; the latent is the values of all groups, and the up-projection gives every head its group's. The
content that the format asks for is 8 lanes of zeros. The frequencies are said by LongRoPE's divisors, since a slot's place says
nothing about them; the score scale 1 / sqrt(d_n + d_r) is made up for in W_Q.

smaller: D_j from an eigendecomposition of z_j's covariance, weighted by what a score's error costs (`Layer.weights`). A slot that
is not kept goes into the content, where it is not rotated: keys that turn slowly lose little by it. Content and values of all
groups are one vector m = M x; the latent is U^T G^(1/2) m, r of the eigenvectors of G^(1/2) M E[x x^T] M^T G^(1/2), which is the
smallest error in output where errors of tokens are independent.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("train", "export", "convert")]

import grouped  # noqa: E402
from export import write  # noqa: E402
from model import Config  # noqa: E402
from trouble import Trouble, beside, run  # noqa: E402

LANES = 8  # widths of content and latent are multiples of it


def frequencies(c):
    """Radians per position [d / 2] of the original's pairs."""
    return c.rope_base ** (-2 * torch.arange(c.value_width // 2, dtype=torch.float64) / c.value_width)


# ---- What the original does on text ----

@dataclass
class Statistics:
    """Of a layer's attention, whose normed input is x. Queries are of all tokens alike. An error in a key or value counts as much as
    attention looks at it, so tokens are weighted by the share that they get of all queries and heads: a first token, which gets a
    third and more of it, is not one of many."""
    square: torch.Tensor     # E[x x^T] [d, d]
    attended: torch.Tensor   # E[x x^T] [d, d] and
    mean: torch.Tensor       # E[x] [d], weighted by attention
    output: float            # E[|y|^2] of its output
    distances: torch.Tensor  # [T]: the attention that tokens so far back get, the first token of a sequence left out


@torch.no_grad()
def statistics(model, ids):
    """[n_layers] of the sequences ids [n, T]."""
    out, x = [], model.token_embd(torch.as_tensor(ids).long())
    rope = model.rope(0, x.shape[1], x)
    back = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])
    for block in model.blk:
        normed = block.attn_norm(x)
        y = block.attention(normed, rope, None)
        share, distances = attention_shares(block, normed, rope, back)
        flat, share = normed.flatten(0, 1).double(), share.flatten()[:, None]
        out.append(Statistics(flat.T @ flat / len(flat), flat.T @ (share * flat), (share * flat).sum(0),
                              float(y.double().square().sum(-1).mean()), distances))
        x = x + y
        x = x + block.feed_forward(block.ffn_norm(x))
    return out


def attention_shares(block, x, rope, back):
    """What part of all attention every token gets [n, T], and every distance but to the first token [T]; each sums to 1."""
    shares, distances = [], torch.zeros(len(back), dtype=torch.float64)
    for one in x.split(1):
        q, k = block.query(one, rope)[0], next(iter(block.keys_values(block.cached(one, rope, None), None)))[0]
        scores = q.transpose(0, 1) @ k.permute(1, 2, 0) * block.c.value_width ** -0.5
        p = scores.masked_fill_(back < 0, -torch.inf).softmax(-1).sum(0).double()
        shares.append(p.sum(0))
        distances.index_add_(0, back[:, 1:].clamp(min=0).flatten(), p[:, 1:].flatten())
    shares = torch.stack(shares)
    return shares / shares.sum(), distances / distances.sum()


# ---- One layer ----

class Layer:
    """The original's attention in float64. Pairs are complex rows: W_Q [n_kv, heads of a group, d / 2, d_model] and so on."""

    def __init__(self, block, stats=None):
        c = self.c = block.c
        self.stats, self.n_groups, self.size = stats, c.n_kv_heads, c.n_heads // c.n_kv_heads
        d = c.value_width

        def heads(w, *shape):
            return w.weight.detach().double().reshape(*shape, d, c.width)

        self.query = heads(block.attn_q, self.n_groups, self.size)   # [g, h, d, d_model]
        self.key = heads(block.attn_k, self.n_groups)                # [g, d, d_model]
        self.value = heads(block.attn_v, self.n_groups)
        self.output = block.attn_output.weight.detach().double().reshape(c.width, self.n_groups, self.size, d)

    @staticmethod
    def paired(rows):
        """Complex [..., d / 2, d_model] of real [..., d, d_model]."""
        return torch.complex(rows[..., 0::2, :], rows[..., 1::2, :])

    @staticmethod
    def lanes(pairs):
        """Real [..., 2 n, d_model] of complex [..., n, d_model]."""
        return torch.stack((pairs.real, pairs.imag), -2).flatten(-3, -2)

    def moments(self, rows):
        """E[u u^T] of the keys, values or latents u = rows x."""
        return rows @ self.stats.attended @ rows.transpose(-1, -2)

    def score_costs(self):
        """[g, h]: E|W_O (v - E v)|^2, what a score that is wrong by 1 costs in output."""
        centred = self.stats.attended - torch.outer(self.stats.mean, self.stats.mean)
        spread = self.value @ centred @ self.value.transpose(-1, -2)  # [g, d, d]
        return torch.einsum("oghi,gij,oghj->gh", self.output, spread, self.output)

    def query_weights(self):
        """[g, d, d]: E[q q^T] / d of a group's heads, weighted by what their scores cost."""
        squares = self.query @ self.stats.square @ self.query.transpose(-1, -2)  # [g, h, d, d]
        return (self.score_costs()[..., None, None] * squares).sum(1) / self.c.value_width

    def directions(self):
        """(E, D) complex [d / 2, n_kv, n_kv], and the cost of leaving a component out [d / 2, n_kv], the most important first."""
        n_pairs, n = self.c.value_width // 2, self.n_groups
        if self.stats is None:
            one = torch.eye(n, dtype=torch.complex128).expand(n_pairs, n, n)
            return one, one, None
        z = self.paired(self.key).transpose(0, 1)  # [d / 2, g, d_model]
        covariance = z @ self.stats.attended.to(z.dtype) @ z.conj().transpose(-1, -2)
        weights = self.query_weights().diagonal(dim1=-2, dim2=-1)  # [g, d]
        weights = (weights[:, 0::2] + weights[:, 1::2]).T / 2      # [d / 2, g]
        root = (weights / weights.mean(-1, keepdim=True)).clamp(min=1e-3).sqrt()
        costs, vectors = torch.linalg.eigh(root[..., :, None] * covariance * root[..., None, :])
        costs, vectors = costs.flip(-1) * weights.mean(-1, keepdim=True), vectors.flip(-1)
        return vectors.conj().transpose(-1, -2) * root[..., None, :], vectors / root[..., :, None], costs / self.stats.output

    def fill(self, block, kept, content_pairs, rank):
        """Writes the layer into a block of latent attention. kept: [d / 2, n_kv] booleans; content_pairs: those with a rest."""
        c, d_r = block.c, block.c.rope_width
        encode, decode, _ = self.directions()
        slots = encode @ self.paired(self.key).transpose(0, 1)              # [d / 2, s, d_model]
        rest = decode @ (slots * ~kept[..., None])                          # [d / 2, g, d_model]
        content = self.lanes(rest.transpose(0, 1)[:, content_pairs])        # [g, 2 pairs, d_model]
        down, up = self.low_rank(content, content_pairs, rank)
        w = block.attn_kv_a_mqa.weight
        w[:rank], w[rank:] = down, self.lanes(slots[kept])

        pairs = self.paired(self.query)                                     # [g, h, d / 2, d_model]
        q_content = self.lanes(pairs[:, :, content_pairs])
        j, s = kept.nonzero(as_tuple=True)
        q_rope = self.lanes(pairs[:, :, j] * decode[j, :, s].conj().T[:, None, :, None])
        n_content = q_content.shape[-2]
        q = torch.zeros(*pairs.shape[:2], c.query_head_width, c.width, dtype=torch.float64)
        q[..., :n_content, :], q[..., c.content_width:, :] = q_content, q_rope
        block.attn_q.weight[:] = q.flatten(0, 2) * math.sqrt(c.query_head_width / c.value_width)

        kv = torch.zeros(self.n_groups, self.size, c.kv_head_width, rank, dtype=torch.float64)
        kv[:, :, :n_content], kv[:, :, c.content_width:] = (part[:, None] for part in up)
        block.attn_kv_b.weight[:] = kv.flatten(0, 2)

    def low_rank(self, content, content_pairs, rank):
        """The latent's matrix [r, d_model], and from it the content [g, n, r] and values [g, d, r] of the groups."""
        rows = torch.cat((content.flatten(0, 1), self.value.flatten(0, 1)))
        if self.stats is None:
            down, up = rows, torch.eye(len(rows), dtype=torch.float64)
        else:
            lanes = (2 * torch.tensor(content_pairs, dtype=torch.long)[:, None] + torch.arange(2)).flatten()
            blocks = [w[lanes][:, lanes] for w in self.query_weights()]
            blocks += list(torch.einsum("oghi,oghj->gij", self.output, self.output))
            root, inverse = roots(torch.block_diag(*blocks))
            vectors = torch.linalg.eigh(root @ self.moments(rows) @ root)[1].flip(-1)[:, :rank]
            down, up = vectors.T @ root @ rows, inverse @ vectors
            sizes = self.moments(down).diagonal().sqrt()[:, None]
            down, up = down / sizes, up * sizes.T  # latents of size 1: what int8 caches and an optimiser like
        n = content.shape[1] * self.n_groups
        return down, (up[:n].unflatten(0, (self.n_groups, -1)) if n else up[:0].reshape(self.n_groups, 0, rank),
                      up[n:].unflatten(0, (self.n_groups, -1)))


def roots(matrix):
    """The square root of a positive matrix and its inverse; directions that weigh nothing get a little."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=1e-6 * float(values.max())).sqrt()
    return vectors * values @ vectors.T, vectors / values @ vectors.T


# ---- The model ----

def importance(model, stats):
    """[d / 2, n_kv]: what a slot loses when it is not rotated, as a part of the output, over all layers."""
    total = torch.zeros(model.c.value_width // 2, model.c.n_kv_heads, dtype=torch.float64)
    for block, s in zip(model.blk, stats):
        angles = frequencies(model.c)[:, None] * torch.arange(len(s.distances))
        turned = ((2 - 2 * angles.cos()) * s.distances).sum(-1)  # E|1 - e^(i w t)|^2
        total += turned[:, None] * Layer(block, s).directions()[2]
    return total


def fastest(c, n):
    """[d / 2, n_kv] booleans: the n pairs of every key head that turn fastest."""
    return (torch.arange(c.value_width // 2) < n)[:, None].expand(-1, c.n_kv_heads)


def most_important(model, stats, n):
    """[d / 2, n_kv] booleans: n slots; of a pair the first components."""
    scores = importance(model, stats)
    kept = torch.zeros(scores.numel(), dtype=torch.bool)
    kept[scores.flatten().topk(n)[1]] = True
    kept = kept.reshape(scores.shape)
    return torch.arange(scores.shape[1]) < kept.sum(-1, keepdim=True)


def latent_config(c, kept, rank):
    n_content = 2 * int((~kept.all(-1)).sum())
    turns = frequencies(c)[kept.nonzero(as_tuple=True)[0]]
    factors = tuple((1 / turns).tolist())
    return Config(attention="latent", kv_norm="none", vocab_size=c.vocab_size, n_layers=c.n_layers, width=c.width,
                  n_heads=c.n_heads, feed_forward_width=c.feed_forward_width, context_length=c.context_length, tied=c.tied,
                  block_norm_epsilon=c.block_norm_epsilon, value_width=c.value_width, latent_width=rank,
                  content_width=max(LANES, -(-n_content // LANES) * LANES), rope_width=2 * len(factors),
                  rope_base=1.0, rope_scaling="longrope", rope_factor=1.0, rope_original_context=c.context_length,
                  rope_factors_short=factors, rope_factors_long=factors)


@torch.no_grad()
def rewrite(model, stats=None, kept=None, rank=None):
    """The model as latent attention: exact without statistics. kept: [d / 2, n_kv] booleans; rank: of the latent."""
    c = model.c
    kept = torch.ones(c.value_width // 2, c.n_kv_heads, dtype=torch.bool) if kept is None else kept
    content_pairs = (~kept.all(-1)).nonzero()[:, 0].tolist()
    rank = c.n_kv_heads * c.value_width if rank is None else rank
    most = c.n_kv_heads * (2 * len(content_pairs) + c.value_width)
    if rank % LANES or not 0 < rank <= most:
        raise Trouble(f"a latent of {rank} numbers: it must be a multiple of {LANES} from {LANES} to {most}, all of content and values")
    out = grouped.empty(latent_config(c, kept, rank))
    out.load_state_dict({name: t for name, t in model.state_dict().items()
                         if not name.split(".")[-2] in ("attn_q", "attn_k", "attn_v")}, strict=False)
    for n, block in enumerate(out.blk):
        Layer(model.blk[n], stats and stats[n]).fill(block, kept, content_pairs, rank)
    return out


def copied(reader, writer):
    """Everything but the shape: the vocabulary and the general section."""
    for key, field in reader.fields.items():
        if key.startswith(("tokenizer.", "general.")) and key not in ("general.architecture", "general.file_type",
                                                                      "general.quantization_version"):
            sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type)


def save(model, source, path):
    """Writes a float GGUF with the vocabulary of the file `source`."""
    with beside(path) as temporary:
        writer = gguf.GGUFWriter(str(temporary), "egmla")
        copied(gguf.GGUFReader(source), writer)
        write(writer, model, None, ())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--cached", type=int, help="elements a token and layer: rotary slots and latent")
    parser.add_argument("--rotary", type=int, help="of these, rotary")
    parser.add_argument("--calibrate", help="token ids [n, length], .npy")
    args = parser.parse_args()
    if len({args.cached is None, args.rotary is None, args.calibrate is None}) != 1:
        raise Trouble("--cached, --rotary and --calibrate are given together or not at all")
    model = grouped.load(args.model)
    if args.cached is None:
        out = rewrite(model)
    else:
        stats = statistics(model, np.load(args.calibrate))
        out = rewrite(model, stats, most_important(model, stats, args.rotary // 2), args.cached - args.rotary)
    save(out, args.model, args.out)
    c = out.c
    print(f"{c.rope_width} rotary and {c.latent_width} latent elements a token and layer; content {c.content_width}; the original "
          f"{2 * model.c.n_kv_heads * model.c.value_width}")


if __name__ == "__main__":
    run(main)
