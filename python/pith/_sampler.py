"""Draws tokens from logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._abi import Block, call, place, restore, save, struct
from ._pith import ffi, lib

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Sampler:
    """Draws the next token from logits: penalty, temperature, top_k, top_p, min_p, draw, in this order. The same seed and
    logits give the same tokens on every machine. Used by one thread at a time.

    vocab_size      of the model: `model.info.vocab_size`
    temperature     > 0; 0: the likeliest token, the lowest id on a tie
    top_k           keeps the k likeliest; 0: all
    top_p           keeps the smallest set with this probability, 0 < p <= 1
    min_p           drops what is below min_p times the likeliest, 0 <= p < 1
    repeat_penalty  > 0; divides positive and multiplies negative logits of recent tokens; 1: off
    repeat_window   recent tokens that the penalty sees, 0 .. 65,536
    seed            0 .. 2**64 - 1
    """

    def __init__(self, vocab_size: int, *, temperature: float = 0.8, top_k: int = 40, top_p: float = 0.95, min_p: float = 0.05,
                 repeat_penalty: float = 1.0, repeat_window: int = 64, seed: int = 1) -> None:
        # What the library takes for its own default, or for a name.
        if not temperature >= 0:
            raise ValueError(f"temperature: {temperature}, and not a number of at least 0")
        if top_k < 0:
            raise ValueError(f"top_k: {top_k}, and not at least 0")
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p: {top_p}, and not within 0 (excluded) .. 1")
        if not 0 <= min_p < 1:
            raise ValueError(f"min_p: {min_p}, and not within 0 .. 1 (excluded)")
        if not repeat_penalty > 0:
            raise ValueError(f"repeat_penalty: {repeat_penalty}, and not a number above 0")
        if not 0 <= repeat_window <= 65536:
            raise ValueError(f"repeat_window: {repeat_window}, and not within 0 .. 65536")
        options = struct("pith_sampler_options")
        options.temperature = temperature or lib.PITH_GREEDY
        options.top_k = min(top_k, vocab_size) or lib.PITH_TOP_K_ALL
        options.top_p = top_p
        options.min_p = min_p or lib.PITH_MIN_P_NONE
        options.repeat_penalty = repeat_penalty
        options.repeat_window = repeat_window or lib.PITH_REPEAT_WINDOW_NONE
        options.seed = seed
        self.vocab_size = vocab_size
        self.repeat_window = repeat_window
        self._block: Block = place("pith_sampler", (options, vocab_size), ())

    def accept(self, token: int) -> None:
        """Tells the repetition penalty about a token that was not drawn: the prompt's."""
        call(lib.pith_sampler_accept, self._block.pointer, token)

    def draw(self, logits: npt.NDArray[np.float32]) -> int:
        """Draws a token from float32 [vocab_size] and accepts it; -inf: one that must not be drawn."""
        if logits.dtype != "float32" or logits.shape != (self.vocab_size,) or not logits.flags.c_contiguous:
            raise ValueError(f"logits: {logits.dtype} {logits.shape}, and not float32 ({self.vocab_size},) in one piece")
        return self._draw(ffi.from_buffer("float[]", logits))

    def _draw(self, logits: Any) -> int:
        token = ffi.new("int32_t*")
        call(lib.pith_sampler_draw, self._block.pointer, logits, token)
        return int(token[0])

    def state(self) -> bytes:
        """The generator and the recent tokens, for `restore`."""
        return save("pith_sampler", self._block.pointer)

    def restore(self, state: bytes) -> None:
        """Goes on from a state of a sampler of the same vocabulary's size. A refused state changes nothing."""
        restore("pith_sampler", self._block.pointer, state)
