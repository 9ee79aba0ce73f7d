"""A session: the tokens that a model has read, and what it says comes next."""

from __future__ import annotations

import threading
from array import array
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, TypedDict

import numpy as np
import numpy.typing as npt

from ._abi import Block, Error, as_ids, call, ids_at, place, restore, save, struct
from ._cpus import count_fast_cpus
from ._pith import ffi, lib

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._model import Model
    from ._sampler import Sampler

_PRECISIONS = {"i8": lib.PITH_PRECISION_I8, "f32": lib.PITH_PRECISION_F32}
_ATTENTIONS = {"default": lib.PITH_ATTENTION_DEFAULT, "materialise": lib.PITH_ATTENTION_MATERIALISE}
_CHUNK = 512  # tokens: what pith.h takes where nobody says
_NO_LOGITS = "no token was evaluated since the session was made, reset or rewound"


class SessionKeywords(TypedDict, total=False):
    """What `Session` takes in place of its model's options; `Model` says what they mean."""

    context: Optional[int]
    keep: int
    cache: str
    activations: str
    attention: str
    threads: Optional[int]
    chunk: int
    pool_bytes: Optional[int]
    tier: Optional[str]


class SessionOptions:
    """What the sessions of a model are made with."""

    __slots__ = ("context", "keep", "cache", "activations", "attention", "threads", "chunk", "pool_bytes", "tier")

    def __init__(self, *, context: Optional[int] = None, keep: int = 0, cache: str = "i8", activations: str = "i8",
                 attention: str = "default", threads: Optional[int] = None, chunk: int = _CHUNK,
                 pool_bytes: Optional[int] = None, tier: Optional[str] = None) -> None:
        for name, value, known in (("cache", cache, _PRECISIONS), ("activations", activations, _PRECISIONS),
                                   ("attention", attention, _ATTENTIONS)):
            if value not in known:
                raise ValueError(f"{name}: {value!r}, and not one of {', '.join(map(repr, known))}")
        for name, number in (("context", context), ("threads", threads), ("chunk", chunk)):
            if number is not None and number < 1:
                raise ValueError(f"{name}: {number}, and not at least 1")
        self.context, self.keep, self.cache, self.activations = context, keep, cache, activations
        self.attention, self.threads, self.chunk, self.pool_bytes, self.tier = attention, threads, chunk, pool_bytes, tier

    def keywords(self) -> SessionKeywords:
        return {name: getattr(self, name) for name in self.__slots__}  # type: ignore[return-value]

    def struct_for(self, model_block: Block, context_length: int) -> tuple[Any, Any]:
        """The pith_session_options, and what its pointers lead to."""
        out = struct("pith_session_options")
        out.n_keep, out.chunk = self.keep, self.chunk
        out.cache, out.activations, out.attention = _PRECISIONS[self.cache], _PRECISIONS[self.activations], _ATTENTIONS[self.attention]
        out.max_threads = count_fast_cpus() if self.threads is None else self.threads
        if self.pool_bytes is not None:
            out.pool_bytes = self.pool_bytes or lib.PITH_POOL_NONE
        tier = ffi.new("char[]", self.tier.encode()) if self.tier else ffi.NULL
        out.tier = tier
        out.progress = lib.pith_python_progress
        out.capacity = self.context or self._fitting_context(out, model_block, context_length)
        return out, tier

    @staticmethod
    def _fitting_context(options: Any, model_block: Block, whole: int) -> int:
        """The model's context, as far as a session of 1 GiB, and at least 4,096 tokens, hold it: as the command has it."""
        plan = struct("pith_session_plan")
        options.capacity = whole
        while options.capacity > 4096:
            call(lib.pith_session_get_plan, model_block.pointer, options, plan)
            if plan.session_bytes <= 1 << 30:
                break
            options.capacity = max(options.capacity // 2, 4096)
        return int(options.capacity)


class _Watch:
    """What the callback of a running evaluation needs. It refers to no Python object of the session, which would make a
    cycle and leave the memory to the garbage collector."""

    __slots__ = ("pointer", "progress", "raised")

    def __init__(self, pointer: Any, progress: Optional[Callable[[int, int], object]]) -> None:
        self.pointer, self.progress = pointer, progress
        self.raised: Optional[BaseException] = None


_running = threading.local()  # .watch: of the evaluation that this thread is inside of


def _stop(kind: type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
    """A callback raised: KeyboardInterrupt, that of another signal's handler, or an exception of the caller's function."""
    watch: _Watch = _running.watch
    watch.raised = error
    lib.pith_session_cancel(watch.pointer)


@ffi.def_extern(onerror=_stop)  # type: ignore[untyped-decorator]
def pith_python_progress(context: Any, done: int, total: int) -> None:
    """After every layer of a chunk. That it is Python is enough for handlers of signals to run."""
    progress = _running.watch.progress
    if progress is not None:
        progress(done, total)


class Session:
    """One conversation with a model. Used by one thread at a time: a second one gets Error PITH_E_BUSY and does no harm;
    several sessions run in parallel, as evaluations release the GIL. Ctrl-C ends an evaluation within one layer of a
    chunk, or one token; `position` says what the session holds then, and it may be used as before.

    `with model.session() as session:` frees its memory at the end, as `close` and the last reference do.

    options   those of Model, where another value is wanted: context, keep, cache, ...
    progress  is called with (done, total) while a prompt is read, after every layer of a chunk; an exception from it ends
              the evaluation and comes out of the call
    """

    def __init__(self, model: Model, *, progress: Optional[Callable[[int, int], object]] = None,
                 **options: Unpack[SessionKeywords]) -> None:
        keywords = model._options.keywords()
        keywords.update(options)
        resolved = SessionOptions(**keywords)
        model_block = model._open_block()
        struct_, tier = resolved.struct_for(model_block, model.info.context_length)
        self._block: Optional[Block] = place("pith_session", (model_block.pointer, struct_), (model_block, tier))
        self._model_block: Optional[Block] = model_block
        self._vocab_size, self._width = model.info.vocab_size, model.info.width
        self._watch = _Watch(self._block.pointer, progress)
        self.context: int = struct_.capacity
        """Tokens that the cache holds."""
        # Evaluations are cut where the library cuts them, so that the bits are those of one call.
        self._chunk = max(1, min(resolved.chunk, self.context - resolved.keep))
        self._cancelled = False
        # The tokens held are the first `position` of these, wherever an exception leaves off; None after a restore.
        self._known: Optional[array[int]] = as_ids([])

    # ---- reading

    def eval(self, tokens: Iterable[int]) -> None:
        """Appends tokens; `logits` are those after the last of them. After an exception `position` says how many were
        appended."""
        self._eval(as_ids(tokens))

    def eval_each(self, tokens: Iterable[int]) -> npt.NDArray[np.float32]:
        """Appends tokens and returns the logits after each: float32 [tokens, vocab_size], the caller's own."""
        ids = as_ids(tokens)
        logits = np.empty((len(ids), self._vocab_size), np.float32)
        self._eval(ids, logits=logits)
        return logits

    def eval_hidden(self, tokens: Iterable[int]) -> npt.NDArray[np.float32]:
        """Appends tokens and returns the normed hidden state of each: float32 [tokens, width], the caller's own. Their mean
        is an embedding of the text."""
        ids = as_ids(tokens)
        hidden = np.empty((len(ids), self._width), np.float32)
        self._eval(ids, hidden=hidden)
        return hidden

    def _eval(self, ids: array[int], is_over: Callable[[], bool] = lambda: False, *,
              logits: Optional[npt.NDArray[np.float32]] = None, hidden: Optional[npt.NDArray[np.float32]] = None) -> None:
        """Cancelled where `is_over` says so, too."""
        block = self._open_block()
        call(lib.pith_session_eval, block.pointer, ffi.NULL, 0)  # PITH_E_BUSY, before anything here is changed
        self._cancelled = False
        if self._known is not None:
            del self._known[self.position:]
            self._known.extend(ids)
        for first in range(0, len(ids), self._chunk):
            if self._cancelled or is_over():  # between two calls, where the library has nothing to cancel
                raise Error(lib.PITH_E_CANCELLED, f"cancelled after {first} of {len(ids)} tokens")
            part = ids[first:first + self._chunk]
            arguments = (block.pointer, ids_at(part), len(part))
            if logits is None and hidden is None:
                self._watched(lib.pith_session_eval, *arguments)
            else:
                rows = [ffi.NULL if x is None else ffi.from_buffer("float[]", x[first:first + len(part)], require_writable=True)
                        for x in (logits, hidden)]
                self._watched(lib.pith_session_eval_each, *arguments, *rows)

    def _watched(self, function: Callable[..., int], *arguments: Any) -> None:
        """Calls an evaluation; an exception of its callback comes out here."""
        watch, outer = self._watch, getattr(_running, "watch", None)
        watch.raised, _running.watch = None, watch
        try:
            call(function, *arguments)
        except Error as error:
            if error.status == lib.PITH_E_BUSY:  # two threads began at the same instant
                self._known = None
            if watch.raised is None:  # otherwise its callback cancelled it
                raise
        finally:
            _running.watch = outer
        raised, watch.raised = watch.raised, None
        if raised is not None:
            try:
                raise raised
            finally:
                del raised  # its traceback leads to this frame and to the session: no cycle

    def hold(self, tokens: Iterable[int]) -> int:
        """Makes the session hold these tokens, with the logits after the last: reads what it does not hold already, where
        they begin alike, and forgets what they do not have. Returns how many were read. (What was kept may have been read
        in other pieces: `attention="materialise"` gives the bits of a fresh session, the default rounds differently.)"""
        return self._hold(as_ids(tokens))

    def _hold(self, ids: array[int], is_over: Callable[[], bool] = lambda: False) -> int:
        held = self.tokens or []
        kept = next((i for i, (a, b) in enumerate(zip(held, ids)) if a != b), min(len(held), len(ids)))
        if kept == len(ids) == self.position and self._of(lib.pith_session_logits) != ffi.NULL:
            return 0
        kept = self._back_to(min(kept, max(len(ids) - 1, 0)))
        self._eval(ids[kept:], is_over)
        return len(ids) - kept

    def _back_to(self, position: int) -> int:
        """Rewinds, or resets where the ring has overwritten what that takes; the position."""
        block = self._open_block()
        if position > 0 and call(lib.pith_session_rewind, block.pointer, position, allowed=(lib.PITH_E_STATE,)) == lib.PITH_OK:
            return position
        self.reset()
        return 0

    def cancel(self) -> None:
        """Ends the evaluation that another thread is inside of: it raises Error PITH_E_CANCELLED. From any thread."""
        block, self._cancelled = self._open_block(), True
        lib.pith_session_cancel(block.pointer)

    # ---- what came out

    def logits(self) -> npt.NDArray[np.float32]:
        """float32 [vocab_size] after the last token: a copy, the caller's own. ValueError where there are none: before the
        first token and after a rewind."""
        return self._copied(lib.pith_session_logits, self._vocab_size)

    def hidden(self) -> npt.NDArray[np.float32]:
        """float32 [width]: the last token's normed hidden state, which the output matrix multiplies. A copy, likewise."""
        return self._copied(lib.pith_session_hidden, self._width)

    def logprobs(self, token: int, n_top: int = 0) -> tuple[float, tuple[tuple[int, float], ...]]:
        """The log-probability of `token` coming next, and the `n_top` likeliest tokens as (id, log-probability), the
        likeliest first: natural, of the model's own distribution. ValueError as for `logits`."""
        first = self._of(lib.pith_session_logits)
        if first == ffi.NULL:
            raise ValueError(_NO_LOGITS)
        n_top = min(n_top, self._vocab_size)
        logprob, top = ffi.new("float*"), ffi.new("pith_logprob[]", n_top)
        call(lib.pith_logprobs, first, self._vocab_size, token, logprob, n_top, top)
        return float(logprob[0]), tuple((int(one.token), float(one.logprob)) for one in top)

    def _copied(self, function: Callable[[Any], Any], n: int) -> npt.NDArray[np.float32]:
        block = self._open_block()
        first = function(block.pointer)
        if first == ffi.NULL:
            raise ValueError(_NO_LOGITS)
        out: npt.NDArray[np.float32] = np.frombuffer(ffi.buffer(first, 4 * n), np.float32).copy()
        return out

    def _drawn_by(self, sampler: Sampler) -> int:
        """A token, of the logits where they lie."""
        block = self._open_block()
        return sampler._draw(lib.pith_session_logits(block.pointer))

    # ---- where it is

    @property
    def position(self) -> int:
        """Tokens evaluated since the beginning or a reset."""
        return int(self._of(lib.pith_session_position))

    @property
    def tokens(self) -> Optional[list[int]]:
        """The tokens evaluated since the beginning or a reset; None after `restore`, as a state has no ids."""
        return None if self._known is None else list(self._known[:self.position])

    def reset(self) -> None:
        """Forgets all tokens."""
        block = self._open_block()
        call(lib.pith_session_reset, block.pointer)
        self._known = as_ids([])

    def rewind(self, position: int) -> None:
        """Goes back to an earlier position, without logits until the next eval. Error PITH_E_STATE: the context was full, and
        what that position saw was overwritten."""
        block = self._open_block()
        call(lib.pith_session_rewind, block.pointer, position)

    def copy_from(self, other: Session) -> None:
        """Becomes what `other` is: a conversation that forks. Both of one model, with the same options but threads and
        tier."""
        block, other_block = self._open_block(), other._open_block()
        known = None if other._known is None else other._known[:other.position]
        self._known = None
        call(lib.pith_session_copy, block.pointer, other_block.pointer)
        self._known = known

    def state(self) -> bytes:
        """All that the session holds, in proportion to its tokens, for `restore`: in another process, with the same bits."""
        block = self._open_block()
        return save("pith_session", block.pointer)

    def restore(self, state: bytes) -> None:
        """Goes on from a state of the same model and options. Any damage is refused, and the session is then as it was."""
        block = self._open_block()
        known, self._known = self._known, None
        try:
            restore("pith_session", block.pointer, state)
        except Error:
            self._known = known
            raise

    # ---- what it is

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it has."""
        return self._open_block().nbytes

    @property
    def threads(self) -> int:
        """Threads that the next evaluation works with."""
        return int(self._of(lib.pith_session_threads))

    @property
    def tier(self) -> str:
        """The instruction set that runs: "avx2", ..."""
        return str(ffi.string(self._of(lib.pith_session_tier)).decode())  # a name in the library's own memory

    def _of(self, function: Callable[[Any], Any]) -> Any:
        block = self._open_block()
        return function(block.pointer)

    def _open_block(self) -> Block:
        """Keep it in a variable as long as its pointer is used: another thread may close the session meanwhile."""
        if self._block is None:
            raise ValueError("this Session is closed")
        return self._block

    def close(self) -> None:
        """Gives the memory back; a closed session raises ValueError. An evaluation in another thread is ended first, and
        takes the memory with it."""
        if self._block is not None:
            self.cancel()
        self._block = self._model_block = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._block is None:
            return "<pith.Session, closed>"
        return f"<pith.Session at {self.position} of {self.context} tokens, {self.nbytes / 1e6:.1f} MB>"
