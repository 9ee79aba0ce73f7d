"""Shapes by name: the built-in models, and the kinds of attention that tools/train/compare.py sets against each other.

A kind is a function of the width d, in the proportions of the EG-MLA paper: heads of 32; the shared rotary key d / 12 wide; the
latent d / 3 (MLA) or d / 12 (EG-MLA); gate embeddings d / 3.
"""

from dataclasses import replace

import torch

from model import Block, Config, Norm
from trouble import Trouble

HEAD_WIDTH = 32
FEED_FORWARD_STEP = 8  # widths are multiples of it


def shape_m(vocab_size=2048):
    """The built-in model: "M"."""
    return Config(vocab_size=vocab_size, n_layers=12, width=192, n_heads=6, feed_forward_width=512, context_length=512,
                  content_width=32, rope_width=16, value_width=32, latent_width=16, gate="up", gate_norm="layer",
                  gate_width=64, layer_group_size=3)


def shape_xl(vocab_size=4096):
    """The paper's shape of 120 million parameters at half its width."""
    return Config(vocab_size=vocab_size, n_layers=12, width=384, n_heads=12, feed_forward_width=1024, context_length=512,
                  content_width=32, rope_width=32, value_width=32, latent_width=32, gate="up", gate_norm="layer",
                  gate_width=128, layer_group_size=3)


def mla(d, share):
    """`share` of the width is the latent."""
    return {"content_width": HEAD_WIDTH, "rope_width": d // 12, "latent_width": d // share}


def egmla(d, gate, norm, group):
    return mla(d, 12) | {"gate": gate, "gate_norm": norm, "gate_width": d // 3, "layer_group_size": group}


GATES = [(gate, norm, group) for gate, norms in (("up", ("layer", "layer_split", "rms", "none")), ("latent", ("layer", "rms", "none")))
         for group in (3, 1) for norm in norms]  # layer_split needs the gate `up`
# By name: the fields of a width, over Config's defaults. mla-d12 is the control: the cache of EG-MLA without its gate.
KINDS = {
    "mha": lambda d: {"attention": "mha"},
    "mla-d3": lambda d: mla(d, 3),
    "mla-d12": lambda d: mla(d, 12),
    **{f"eg-{gate}-{norm}-lgz{group}": lambda d, gate=gate, norm=norm, group=group: egmla(d, gate, norm, group)
       for gate, norm, group in GATES},
}
NAMES = ("m", "xl", *KINDS)


def parameters(c):
    """(of the matrices and norms that every token passes, of the embedding and the gate tables): lookups cost no arithmetic. Of a
    tied model without experts, whose layers are alike."""
    with torch.device("meta"):
        parts = [p.numel() for p in Block(c).parameters()]
        norm = [p.numel() for p in Norm(c.block_norm, c.width, c.block_norm_epsilon).parameters()]
    return c.n_layers * sum(parts) + sum(norm), c.vocab_size * (c.width + c.n_gate_tables * c.gate_width)


def cached_elements(c):
    """Numbers that the cache keeps of a token, all layers together."""
    return c.n_layers * (2 * c.n_kv_heads * c.value_width if c.attention == "mha" else c.latent_width + c.rope_width)


def of_size(c, wanted):
    """The configuration with the feed-forward width at which parameters(c)[0] is nearest to `wanted`."""
    step = FEED_FORWARD_STEP
    least, next_one = (parameters(replace(c, feed_forward_width=n))[0] for n in (step, 2 * step))
    steps = 1 + round((wanted - least) / (next_one - least))
    if steps < 1:
        raise Trouble(f"--width {c.width}: attention alone has more parameters than all of MHA's model")
    return replace(c, feed_forward_width=steps * step)


def compared(kind, vocab_size, width, n_layers, context):
    """A kind with as many parameters besides its lookups as MHA with a SwiGLU of 8 d / 3."""
    if width % 96 or width <= 0:
        raise Trouble(f"--width {width}: not a multiple of 96, so that heads of {HEAD_WIDTH} and a latent of a 12th come out even")
    common = dict(vocab_size=vocab_size, n_layers=n_layers, width=width, n_heads=width // HEAD_WIDTH, context_length=context,
                  value_width=HEAD_WIDTH, feed_forward_width=8 * width // 3)
    mha = Config(**common, **KINDS["mha"](width))
    return mha if kind == "mha" else of_size(Config(**common, **KINDS[kind](width)), parameters(mha)[0])


def named(name, vocab_size, width, n_layers, context):
    """The configuration of one of NAMES; what follows the vocabulary is for kinds alone."""
    if name in KINDS:
        return compared(name, vocab_size, width, n_layers, context)
    return {"m": shape_m, "xl": shape_xl}[name](vocab_size)
