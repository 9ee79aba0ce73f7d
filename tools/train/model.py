"""Models of the egmla family in PyTorch: EG-MLA, MLA and MHA, with every option that a model file can name.

Parameter names are the tensor names of the model file (`blk.3.attn_kv_b.weight`), so a state dict exports as it is.
Shapes: B sequences, T tokens, n_h heads; d_n, d_r, d_v widths of content key, rotary key and value; r the latent width.
"""

import math
from dataclasses import dataclass, make_dataclass

import torch
import torch.nn.functional as F
from torch import nn

import attention
from config_keys import KEYS, SCOPES

TYPES = {"integer": int, "real": float, "boolean": bool, "word": str}


# The fields that a model file has keys for, and their defaults. docs/keys.md says what they mean.
FIELDS = {key["field"]: (key["field"], TYPES[key["kind"]], key["default"]) for key in KEYS if key["use"] != "packed"}
ConfigKeys = make_dataclass("ConfigKeys", FIELDS.values())


@dataclass
class Config(ConfigKeys):
    tied: bool = True
    bias: bool = False                    # on every linear except kv_b and gate_up, which absorption needs linear
    rope_factors_short: tuple = ()        # LongRoPE: [d_r / 2] each
    rope_factors_long: tuple = ()

    def __post_init__(self):
        self.layer_group_size = self.layer_group_size or 1  # a gate table for every layer, unless given
        if self.attention == "mha":
            assert self.gate == "none", "a gate needs latent attention"
            self.content_width, self.rope_width = 0, self.value_width
            self.n_kv_heads = self.n_kv_heads or self.n_heads
        for key in KEYS:
            if key["kind"] == "integer" and key["use"] == "required" and SCOPES[key["scope"]](self):
                assert getattr(self, key["field"]) > 0, f"{key['field']} is missing"
        assert self.gate == "up" or self.gate_norm != "layer_split", "layer_split needs the gate `up`"

    @property
    def query_head_width(self):
        return self.content_width + self.rope_width

    @property
    def kv_head_width(self):
        return self.content_width + self.value_width

    @property
    def gate_output_width(self):
        return self.n_heads * self.kv_head_width if self.gate == "up" else self.latent_width

    @property
    def n_gate_tables(self):
        return 0 if self.gate == "none" else -(-self.n_layers // self.layer_group_size)


def rope_frequencies(c):
    """Radians per position [d_r / 2] in float64.

    none:      f_i = base^(-2i / d_r)
    yarn:      DeepSeek-V2's. dim(n) = d_r ln(original / (2 pi n)) / (2 ln base), the lane that turns n times in the original
               context; low = max(floor(dim(beta_fast)), 0); high = min(ceil(dim(beta_slow)), d_r - 1), plus 0.001 if it
               equals low; ramp_i = clamp((i - low) / (high - low), 0, 1); f_i is multiplied by (1 - ramp_i) + ramp_i / factor
    longrope:  f_i / long_i where the model's context is longer than the original one, f_i / short_i otherwise
    """
    i = torch.arange(c.rope_width // 2, dtype=torch.float64)
    f = c.rope_base ** (-2 * i / c.rope_width)
    if c.rope_scaling == "yarn":
        def dim(turns):
            return c.rope_width * math.log(c.rope_original_context / (2 * math.pi * turns)) / (2 * math.log(c.rope_base))
        low = max(math.floor(dim(c.yarn_beta_fast)), 0)
        high = min(math.ceil(dim(c.yarn_beta_slow)), c.rope_width - 1)
        ramp = ((i - low) / (high - low if high != low else 0.001)).clamp(0, 1)
        f = f * ((1 - ramp) + ramp / c.rope_factor)
    elif c.rope_scaling == "longrope":
        is_long = c.context_length > c.rope_original_context
        f = f / torch.tensor(c.rope_factors_long if is_long else c.rope_factors_short, dtype=torch.float64)
    return f


def rope_magnitude(c):
    """LongRoPE (Phi-3): cos and sin of query and key are multiplied by sqrt(1 + ln(factor) / ln(original))."""
    if c.rope_scaling != "longrope" or c.rope_factor <= 1:
        return 1.0
    return math.sqrt(1 + math.log(c.rope_factor) / math.log(c.rope_original_context))


def score_scale(c):
    """1 / sqrt(d_n + d_r), times mscale^2 under YaRN (DeepSeek-V2), where mscale = 1 + yarn_log_multiplier ln(factor)."""
    mscale = 1 + c.yarn_log_multiplier * math.log(c.rope_factor) if c.rope_scaling == "yarn" else 1.0
    return mscale * mscale / math.sqrt(c.query_head_width)


def rotate(x, rope, interleaved):
    """Rotates x [B, T, heads, d_r] by cos, sin [T, 1, d_r / 2]."""
    cos, sin = rope
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Norm(nn.Module):
    """RMSNorm, LayerNorm, or LayerNorm split into the k and the v channels of all heads (`layer_split`)."""

    def __init__(self, kind, width, epsilon, k_width=0):
        super().__init__()
        self.kind, self.epsilon, self.k_width = kind, epsilon, k_width
        self.weight = nn.Parameter(torch.ones(width))
        if kind != "rms":
            self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        if self.kind == "rms":
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.epsilon)

    def split(self, u, n_heads, d_n):
        """u [B, T, n_h (d_n + d_v)] in kv_b order; the k part is normalised over n_h d_n, the v part over n_h d_v."""
        heads = u.unflatten(-1, (n_heads, -1))
        parts = [F.layer_norm(p, p.shape[-2:], eps=self.epsilon) for p in (heads[..., :d_n], heads[..., d_n:])]
        return torch.cat(parts, -1).flatten(-2) * self.weight + self.bias


class Stack(nn.Module):
    """Matrices of one shape, a layer's of all experts."""

    def __init__(self, n, rows, cols):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n, rows, cols))


class Correction(nn.Module):
    """Of the scores of experts."""

    def __init__(self, n):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n))


class Block(nn.Module):
    def __init__(self, c, layer=0):
        super().__init__()
        self.c = c
        self.has_experts = c.n_experts > 0 and layer >= c.n_dense_layers
        d, query, kv = c.width, c.n_heads * c.query_head_width, c.n_heads * c.kv_head_width

        def linear(cols, rows, bias=c.bias):
            return nn.Linear(cols, rows, bias=bias)

        self.attn_norm = Norm(c.block_norm, d, c.block_norm_epsilon)
        if c.query_latent_width:
            self.attn_q_a = linear(d, c.query_latent_width)
            self.attn_q_a_norm = Norm("rms", c.query_latent_width, c.q_norm_epsilon)
            self.attn_q_b = linear(c.query_latent_width, query)
        else:
            self.attn_q = linear(d, query)
        if c.attention == "mha":
            self.attn_k = linear(d, c.n_kv_heads * c.value_width)
            self.attn_v = linear(d, c.n_kv_heads * c.value_width)
            if c.head_norm == "rms":
                self.attn_q_norm = Norm("rms", c.value_width, c.q_norm_epsilon)
                self.attn_k_norm = Norm("rms", c.value_width, c.q_norm_epsilon)
        else:
            self.attn_kv_a_mqa = linear(d, c.latent_width + c.rope_width)
            if c.kv_norm == "rms":
                self.attn_kv_a_norm = Norm("rms", c.latent_width, c.kv_norm_epsilon)
            self.attn_kv_b = linear(c.latent_width, kv, bias=False)
        if c.gate != "none":
            self.attn_gate_up = linear(c.gate_width, c.gate_output_width, bias=False)
            if c.gate_norm != "none":
                self.attn_gate_norm = Norm(c.gate_norm, c.gate_output_width, c.gate_norm_epsilon)
        self.attn_output = linear(c.n_heads * c.value_width, d)
        self.ffn_norm = Norm(c.block_norm, d, c.block_norm_epsilon)
        if self.has_experts:
            return self.add_experts(linear)
        if c.feed_forward == "swiglu":
            self.ffn_gate = linear(d, c.feed_forward_width)
        self.ffn_up = linear(d, c.feed_forward_width)
        self.ffn_down = linear(c.feed_forward_width, d)

    def add_experts(self, linear):
        c, d = self.c, self.c.width
        self.ffn_gate_inp = linear(d, c.n_experts, bias=False)
        self.exp_probs_b = Correction(c.n_experts)
        if c.feed_forward == "swiglu":
            self.ffn_gate_exps = Stack(c.n_experts, c.expert_width, d)
        self.ffn_up_exps = Stack(c.n_experts, c.expert_width, d)
        self.ffn_down_exps = Stack(c.n_experts, d, c.expert_width)
        shared = c.n_shared_experts * c.expert_width
        if shared:
            if c.feed_forward == "swiglu":
                self.ffn_gate_shexp = linear(d, shared, bias=False)
            self.ffn_up_shexp = linear(d, shared, bias=False)
            self.ffn_down_shexp = linear(shared, d, bias=False)

    def query(self, x, rope):
        """[B, T, n_h, d_n + d_r], the rotary lanes last and rotated."""
        c = self.c
        q = self.attn_q_b(self.attn_q_a_norm(self.attn_q_a(x))) if c.query_latent_width else self.attn_q(x)
        q = q.unflatten(-1, (c.n_heads, c.query_head_width))
        if c.attention == "mha" and c.head_norm == "rms":
            q = self.attn_q_norm(q)
        return torch.cat((q[..., :c.content_width], rotate(q[..., c.content_width:], rope, c.rope_interleaved)), -1)

    def cached(self, x, rope, e):
        """What the cache keeps of new tokens: c [B, T, r] (normed; gated for the gate `latent`) and k^R [B, T, d_r];
        for MHA the rotated keys and the values [B, T, n_kv, d_v]."""
        c = self.c
        if c.attention == "mha":
            k, v = (f(x).unflatten(-1, (c.n_kv_heads, c.value_width)) for f in (self.attn_k, self.attn_v))
            if c.head_norm == "rms":
                k = self.attn_k_norm(k)
            return rotate(k, rope, c.rope_interleaved), v
        latent, k_rope = self.attn_kv_a_mqa(x).split((c.latent_width, c.rope_width), -1)
        if c.kv_norm == "rms":
            latent = self.attn_kv_a_norm(latent)
        if c.gate == "latent":
            latent = latent * self.attn_gate_up(e)
            if c.gate_norm != "none":
                latent = self.attn_gate_norm(latent)
        return latent, rotate(k_rope.unsqueeze(-2), rope, c.rope_interleaved).squeeze(-2)

    def keys_values(self, cached, e):
        """k [B, T, n_h, d_n + d_r] and v [B, T, n_h, d_v] from what is cached and the gate rows e [B, T, d_e]."""
        c = self.c
        if c.attention == "mha":
            return (t.repeat_interleave(c.n_heads // c.n_kv_heads, -2) for t in cached)
        latent, k_rope = cached
        u = self.attn_kv_b(latent)
        if c.gate == "up":
            u = u * self.attn_gate_up(e)
            if c.gate_norm == "layer_split":
                u = self.attn_gate_norm.split(u, c.n_heads, c.content_width)
            elif c.gate_norm != "none":
                u = self.attn_gate_norm(u)
        u = u.unflatten(-1, (c.n_heads, c.kv_head_width))
        k_rope = k_rope.unsqueeze(-2).expand(-1, -1, c.n_heads, -1)
        return torch.cat((u[..., :c.content_width], k_rope), -1), u[..., c.content_width:]

    def attention(self, x, rope, e, past=None, e_all=None):
        """past: (cache of this layer, causal mask [T new, T all]) or None for whole sequences."""
        c = self.c
        q, new = self.query(x, rope), self.cached(x, rope, e)
        mask = None
        if past is not None:
            cache, mask = past
            new = cache[:] = [torch.cat((old, n), 1) for old, n in zip(cache, new)] if cache else list(new)
        k, v = self.keys_values(new, e if e_all is None else e_all)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [B, n_h, T, width]
        if mask is None and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            o = attention.causal(q, k, v, score_scale(c))
        else:
            width = max(q.shape[-1], v.shape[-1])  # the fused kernel needs one width; zeros change no product
            q, k, v = (F.pad(t, (0, width - t.shape[-1])) if t.shape[-1] < width else t for t in (q, k, v))
            o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=score_scale(c))
        return self.attn_output(o.transpose(1, 2)[..., :c.value_width].flatten(-2))

    def activation(self, up, gate):
        kind = self.c.feed_forward
        if kind == "swiglu":
            return F.silu(gate) * up
        if kind == "relu2":
            return F.relu(up).square()
        return F.gelu(up, approximate="tanh" if kind == "gelu_tanh" else "none")

    def route(self, x):
        """Scores [..., E] of experts, and the weights of those that are chosen, 0 of the others."""
        c, logits = self.c, self.ffn_gate_inp(x)
        scores = logits.sigmoid() if c.expert_gating == "sigmoid" else logits.softmax(-1)
        corrected = scores + self.exp_probs_b.bias
        groups = corrected.unflatten(-1, (c.n_expert_groups, -1))
        best = 1 if c.expert_gating == "softmax" or groups.shape[-1] == 1 else 2
        left_out = torch.ones_like(groups[..., 0], dtype=torch.bool).scatter(
            -1, groups.topk(best, -1)[0].sum(-1).topk(c.n_used_expert_groups, -1)[1], False)
        chosen = groups.masked_fill(left_out[..., None], -torch.inf).flatten(-2).topk(c.n_used_experts, -1)[1]
        weights = torch.zeros_like(scores).scatter(-1, chosen, scores.gather(-1, chosen))
        if c.expert_weights_norm:
            weights = weights / weights.sum(-1, keepdim=True)
        return scores, weights * c.expert_weights_scale

    def mixture(self, x):
        """Every expert for every token; those that are not chosen weigh 0."""
        c, weights = self.c, self.route(x)[1]
        gates = self.ffn_gate_exps.weight if c.feed_forward == "swiglu" else [None] * c.n_experts
        y = torch.zeros_like(x)
        if c.n_shared_experts:
            gate = self.ffn_gate_shexp(x) if c.feed_forward == "swiglu" else None
            y = self.ffn_down_shexp(self.activation(self.ffn_up_shexp(x), gate))
        for n, (gate, up, down) in enumerate(zip(gates, self.ffn_up_exps.weight, self.ffn_down_exps.weight)):
            hidden = self.activation(F.linear(x, up), None if gate is None else F.linear(x, gate))
            y = y + weights[..., n, None] * F.linear(hidden, down)
        return y

    def feed_forward(self, x):
        if self.has_experts:
            return self.mixture(x)
        gate = self.ffn_gate(x) if self.c.feed_forward == "swiglu" else None
        return self.ffn_down(self.activation(self.ffn_up(x), gate))

    def forward(self, x, rope, e, past=None, e_all=None):
        s = self.c.residual_scale
        x = x + s * self.attention(self.attn_norm(x), rope, e, past, e_all)
        return x + s * self.feed_forward(self.ffn_norm(x))


class Cache:
    """What a decoder keeps: per layer c and k^R (MHA: k and v); shared by all layers, the ids."""

    def __init__(self, n_layers):
        self.layers = [[] for _ in range(n_layers)]
        self.ids = None  # [B, T]


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = self.c = config
        self.token_embd = nn.Embedding(c.vocab_size, c.width)
        self.gate_embd = nn.ModuleList(nn.Embedding(c.vocab_size, c.gate_width) for _ in range(c.n_gate_tables))
        self.blk = nn.ModuleList(Block(c, n) for n in range(c.n_layers))
        self.output_norm = Norm(c.block_norm, c.width, c.block_norm_epsilon)
        if not c.tied:
            self.output = nn.Linear(c.width, c.vocab_size, bias=c.bias)
        self.tables = {}
        self.initialise()

    def initialise(self):
        """Fan-in everywhere; embeddings and gate tables 0.02; what writes into the residual stream starts at zero."""
        for name, p in self.named_parameters():
            if name.endswith(("bias", "attn_output.weight", "ffn_down.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight")):
                nn.init.zeros_(p)
            elif "embd" in name or name == "output.weight":
                nn.init.normal_(p, std=0.02)
            elif p.dim() >= 2:
                nn.init.normal_(p, std=p.shape[-1] ** -0.5)

    def rope(self, start, n, like):
        """cos, sin [n, 1, d_r / 2] of positions start .. start + n, computed in float64."""
        key = (start, n, like.dtype, like.device)
        if key not in self.tables:
            angles = torch.arange(start, start + n, dtype=torch.float64)[:, None] * rope_frequencies(self.c)
            table = [(f(angles) * rope_magnitude(self.c)).unsqueeze(1).to(like) for f in (torch.cos, torch.sin)]
            if start:  # decoding: no use keeping it
                return table
            self.tables[key] = table
        return self.tables[key]

    def gate_rows(self, ids):
        return [table(ids) for table in self.gate_embd] or [None]

    def logits(self, x):
        x = self.output_norm(x)
        return self.c.logit_scale * (F.linear(x, self.token_embd.weight) if self.c.tied else self.output(x))

    def hidden(self, ids, cache=None):
        """The residual stream after the last layer [B, T, d]; with a cache, of the new ids only."""
        c, start = self.c, 0
        x = c.embedding_scale * self.token_embd(ids)
        e, e_all, mask = self.gate_rows(ids), [None], None
        if cache is not None:
            start = 0 if cache.ids is None else cache.ids.shape[1]
            cache.ids = ids if cache.ids is None else torch.cat((cache.ids, ids), 1)
            e_all = self.gate_rows(cache.ids)
            total = cache.ids.shape[1]
            mask = torch.ones(ids.shape[1], total, dtype=torch.bool, device=ids.device).tril(start)
        rope = self.rope(start, ids.shape[1], x)
        for n, block in enumerate(self.blk):
            group = min(n // c.layer_group_size, len(e) - 1)
            past = None if cache is None else (cache.layers[n], mask)
            x = block(x, rope, e[group], past, None if cache is None else e_all[group])
        return x

    def forward(self, ids):
        """Logits [B, T, V] of whole sequences."""
        return self.logits(self.hidden(ids))

    def loss(self, ids, targets):
        """Mean nats per token; target -100 does not count."""
        return F.cross_entropy(self.forward(ids).flatten(0, 1).float(), targets.flatten(), ignore_index=-100)

    def prefill(self, ids):
        """Logits of a prompt and the cache to go on with."""
        cache = Cache(self.c.n_layers)
        return self.step(ids, cache), cache

    def step(self, ids, cache):
        """Logits of any number of further ids [B, T]."""
        return self.logits(self.hidden(ids, cache))
