"""Text as it is drawn."""

from __future__ import annotations

from array import array
from typing import Any, Callable, Generator, Iterator, NamedTuple, Optional, Sequence

from ._abi import Error, call, struct
from ._pith import ffi, lib
from ._sampler import Sampler
from ._session import Session
from ._tokenizer import Tokenizer


class Token(NamedTuple):
    """A drawn token. Log-probabilities are natural, of the model's own distribution: before penalty, temperature and the
    rest."""

    id: int
    data: bytes
    """Its bytes: possibly a part of a character; none of a special token."""
    logprob: float
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens (id, logprob), the likeliest first."""


class Piece(str):
    """A piece of text, whole characters: a str, with the tokens that it was made of."""

    tokens: tuple[Token, ...]
    """Those drawn since the piece before, where `logprobs` was asked for; otherwise none. A piece may begin with the text of
    earlier tokens, which was held back as it might have become a stop string or a character."""

    __slots__ = ("tokens",)

    def __new__(cls, text: str, tokens: tuple[Token, ...] = ()) -> Piece:
        self = super().__new__(cls, text)
        self.tokens = tokens
        return self

    def __getnewargs__(self) -> tuple[str, tuple[Token, ...]]:  # type: ignore[override]
        return str(self), self.tokens


class TextStream:
    """Turns tokens' bytes into text that is safe to show: holds back what may become a character or a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stream = struct("pith_stream")
        texts = [ffi.new("char[]", stop.encode()) for stop in stops]
        call(lib.pith_stream_init, self._stream, ffi.new("char*[]", texts), len(texts))

    def push(self, data: bytes) -> str:
        return self._shown(lib.pith_stream_push, len(data), data, len(data))

    def finish(self) -> str:
        return self._shown(lib.pith_stream_finish, 0)

    def _shown(self, function: Callable[..., int], nbytes: int, *arguments: Any) -> str:
        capacity = lib.pith_stream_capacity(nbytes)
        out, written = ffi.new("char[]", capacity), ffi.new("size_t*")
        call(function, self._stream, *arguments, out, capacity, written)
        return bytes(ffi.buffer(out, written[0])).decode()

    @property
    def stopped(self) -> bool:
        return bool(self._stream.stopped)


class Plan(NamedTuple):
    """What a generation is to do."""

    prompt: array[int]
    tokenizer: Tokenizer
    sampler: Sampler
    stream: TextStream
    is_end: Callable[[int], bool]
    max_tokens: Optional[int]
    logprobs: Optional[int]
    take: Callable[[], Session]
    """A session to work with, at the first piece."""
    give_back: Callable[[Session], None]
    reads: Callable[[Session, array[int], Callable[[], bool]], object]
    """How the session reads the prompt: `Session._eval`, or `Session._hold`."""


class _Progress:
    """How far a generation is. The generator refers to this and not to the Generation, which would make a cycle: who drops an
    iterator half way has its memory back at once."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.text = ""
        self.finish_reason: Optional[str] = None
        self.cancelled = False
        self.session: Optional[Session] = None

    def is_cancelled(self) -> bool:
        return self.cancelled


class Generation(Iterator[Piece]):
    """An iterator of pieces of text, which evaluates as it is asked: `for piece in generation: print(piece, end="")`.

    What was handed out is in the session: who stops iterating can go on from there.
    """

    def __init__(self, plan: Plan) -> None:
        self.prompt: list[int] = list(plan.prompt)
        """Tokens of the prompt."""
        self._progress = _Progress()
        self._pieces = _pieces(plan, self._progress)

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Piece:
        return next(self._pieces)

    @property
    def tokens(self) -> list[int]:
        """Tokens drawn so far, the one that ended the text too."""
        return list(self._progress.tokens)

    @property
    def text(self) -> str:
        """The pieces so far, as one."""
        return self._progress.text

    @property
    def finish_reason(self) -> Optional[str]:
        """"end": the model ended the text; "stop": a stop string came; "length": max_tokens, or a full context; "cancelled";
        None before that, and after an exception."""
        return self._progress.finish_reason

    def read(self) -> str:
        """Draws to the end; all of the text."""
        for _ in self:
            pass
        return self.text

    def cancel(self) -> None:
        """Ends the text, from any thread: also within a long prompt."""
        self._progress.cancelled = True
        session = self._progress.session
        if session is not None:
            session.cancel()

    def close(self) -> None:
        """Ends the text, and gives its session back; so does the last reference. From the thread that iterates."""
        self._pieces.close()


def _pieces(plan: Plan, progress: _Progress) -> Generator[Piece, None, None]:
    session = plan.take()
    try:
        progress.session = session
        yield from _drawn(plan, progress, session)
    finally:
        progress.session = None
        plan.give_back(session)


def _is_read(read: Callable[[Session, array[int], Callable[[], bool]], object], session: Session, tokens: array[int],
             progress: _Progress) -> bool:
    """False where `cancel` ended it."""
    try:
        read(session, tokens, progress.is_cancelled)
    except Error as error:
        if not (progress.cancelled and error.status == lib.PITH_E_CANCELLED):
            raise
    return not progress.cancelled


def _limit(plan: Plan, session: Session) -> int:
    """Tokens to draw at most."""
    if plan.max_tokens is not None:
        return plan.max_tokens
    room = session.context - session.position
    if room <= 0:
        raise ValueError(f"{session.position} tokens, and a context of {session.context}: give max_tokens, and the text goes on while "
                         "the oldest tokens are forgotten, or Model(context=...) a larger one")
    return room


def _drawn(plan: Plan, progress: _Progress, session: Session) -> Iterator[Piece]:
    if not _is_read(plan.reads, session, plan.prompt, progress):
        progress.finish_reason = "cancelled"
        return
    limit = _limit(plan, session)
    for token in plan.prompt[max(0, len(plan.prompt) - plan.sampler.repeat_window):]:
        plan.sampler.accept(token)
    fresh: list[Token] = []  # of the next piece
    while progress.finish_reason is None and len(progress.tokens) < limit:
        token = session._drawn_by(plan.sampler)
        progress.tokens.append(token)
        data = plan.tokenizer.decode_bytes((token,))
        if plan.logprobs is not None:
            fresh.append(Token(token, data, *session.logprobs(token, plan.logprobs)))
        if plan.is_end(token):
            progress.finish_reason = "end"
            break
        text = plan.stream.push(data)
        if plan.stream.stopped:
            progress.finish_reason = "stop"
        elif not _is_read(Session._eval, session, array("i", (token,)), progress):
            progress.finish_reason = "cancelled"
        if text:
            progress.text += text
            yield Piece(text, tuple(fresh))
            fresh.clear()
    progress.finish_reason = progress.finish_reason or "length"
    rest = plan.stream.finish()
    if rest or fresh:
        progress.text += rest
        yield Piece(rest, tuple(fresh))
