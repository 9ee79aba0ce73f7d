"""A model, and what most programs want of it."""

from __future__ import annotations

import dataclasses
import mmap
import os
from array import array
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterable, Optional, Sequence, Union

import numpy as np
import numpy.typing as npt

from ._abi import Block, as_ids, call, place, struct
from ._chat import Chat, Messages
from ._generation import Generation, Plan, TextStream
from ._metadata import Metadata
from ._perplexity import Perplexity, of_ids, of_text
from ._pith import ffi, lib
from ._sampler import Sampler
from ._session import Session, SessionOptions
from ._tokenizer import Tokenizer

BUILTIN = Path(__file__).with_name("m.q4.gguf")  # tells fairy tales; 3.8 MB

Path_ = Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """The shape of a model: pith_model_info of pith.h."""

    attention_kind: str  # "latent" or "mha"
    gate_kind: str  # "none", "up" or "latent"
    n_layers: int
    width: int  # of the residual stream
    n_heads: int
    n_kv_heads: int
    content_width: int  # per head; 0 for MHA
    rope_width: int
    value_width: int
    latent_width: int  # 0 for MHA
    query_latent_width: int  # 0: full-rank query
    gate_width: int
    layer_group_size: int  # layers that share one gate table; 0 without gate
    feed_forward_width: int
    vocab_size: int
    context_length: int  # tokens that training saw
    tied_output: bool
    n_parameters: int
    weight_bytes: int  # of all tensors, as stored
    step_weight_bytes: int  # of what one decoded token reads
    n_experts: int  # of a layer that has them; 0 where none has
    n_used_experts: int
    expert_bytes: int
    step_expert_bytes: int

    @classmethod
    def of(cls, block: Block) -> ModelInfo:
        out = struct("pith_model_info")
        call(lib.pith_model_get_info, block.pointer, out)
        values = {field.name: getattr(out, field.name) for field in dataclasses.fields(cls)}
        for name, prefix in (("attention_kind", "PITH_ATTENTION_KIND_"), ("gate_kind", "PITH_GATE_")):
            elements: dict[int, str] = ffi.typeof(f"pith_{name}").elements
            values[name] = elements[values[name]][len(prefix):].lower()
        values["tied_output"] = bool(values["tied_output"])
        return cls(**values)


class Model:
    """A model file, mapped: opening it is fast, and its pages are shared with every process that has it.

        with pith.Model("model.gguf") as model:
            for piece in model.generate("The capital of France is", max_tokens=20):
                print(piece, end="", flush=True)

    A model may be used by any number of threads, each generation and session by one at a time. It is pickled as its path
    and options: another process opens the same file. A file that runs is made by `pith quantize`; replace it by renaming a
    new one over it, never by writing into it.

    path         None: the built-in model, which tells fairy tales
    context      tokens that a session holds; None: the model's own context, as far as 1 GiB, and at least 4,096 tokens, hold it
    threads      of a session; None: as many as there are fast CPUs for this process
    cache        of latents: "i8" or "f32"
    keep         first tokens that stay when the context is full; the oldest others go
    activations  inputs of matrix products: "i8" or "f32"
    attention    "default", or "materialise": slower, and the same bits in whatever pieces a text is read
    chunk        tokens of a prompt that are computed together
    pool_bytes   for materialised rows of gated models; None: the library's choice; 0: none
    tier         the instruction set by name, such as "avx2"; None: the best that this CPU has
    template     of chats, by name, such as "chatml"; None: that of the file
    """

    def __init__(self, path: Optional[Path_] = None, *, context: Optional[int] = None, threads: Optional[int] = None,
                 cache: str = "i8", keep: int = 0, activations: str = "i8", attention: str = "default", chunk: int = 512,
                 pool_bytes: Optional[int] = None, tier: Optional[str] = None, template: Optional[str] = None) -> None:
        self._options = SessionOptions(context=context, keep=keep, cache=cache, activations=activations, attention=attention,
                                       threads=threads, chunk=chunk, pool_bytes=pool_bytes, tier=tier)
        self.path: Optional[str] = None if path is None else os.path.abspath(path)
        """Absolute; None: the built-in model."""
        self._template = template
        self._block: Optional[Block] = self._opened(self.path or BUILTIN)
        self.info: ModelInfo = ModelInfo.of(self._block)
        self._tokenizer: Optional[Tokenizer] = None
        self._chat: Optional[Chat] = None
        self._kept: list[Session] = []  # at most one: that of the last chat, whose messages another one may go on from

    @staticmethod
    def _opened(path: Union[str, Path]) -> Block:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ValueError(f"{path}: the file is empty")
            data = ffi.from_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return place("pith_model", (data, len(data)), (data,))

    # ---- text

    def generate(self, prompt: Union[str, Iterable[int]] = "", *, max_tokens: Optional[int] = None, temperature: float = 0.8,
                 top_k: int = 40, top_p: float = 0.95, min_p: float = 0.05, repeat_penalty: float = 1.0,
                 repeat_window: int = 64, seed: int = 1, stop: Sequence[str] = (), logprobs: Optional[int] = None,
                 session: Optional[Session] = None) -> Generation:
        """Goes on from a prompt; an iterator of pieces of text. The same arguments give the same text on every machine.

        prompt      text, or token ids, which are taken as they are
        max_tokens  None: until the model ends, or the context is full
        stop        strings that end the text, at most 8 of 64 bytes; they are not handed out
        logprobs    k: every piece has its tokens, with their log-probabilities and those of the k likeliest
        session     to go on from where it is; it holds the text afterwards. None: a session of its own

        The others are those of Sampler.
        """
        tokenizer = self.tokenizer
        self._check_session(session)
        goes_on = session is not None and session.position > 0
        ids = self._prompt(prompt, goes_on) if isinstance(prompt, str) else as_ids(prompt)
        if not ids and not goes_on:
            raise ValueError("prompt: it has no tokens")
        take, give_back = (self.session, Session.close) if session is None else (lambda: session, lambda _: None)
        return Generation(Plan(
            ids, tokenizer, self._sampler(temperature, top_k, top_p, min_p, repeat_penalty, repeat_window, seed), TextStream(stop),
            tokenizer.is_end, _count("max_tokens", max_tokens), _count("logprobs", logprobs), take, give_back, Session._eval))

    def chat(self, messages: Messages, *, max_tokens: Optional[int] = None, temperature: float = 0.8, top_k: int = 40,
             top_p: float = 0.95, min_p: float = 0.05, repeat_penalty: float = 1.0, repeat_window: int = 64, seed: int = 1,
             stop: Sequence[str] = (), logprobs: Optional[int] = None, think: bool = True,
             session: Optional[Session] = None) -> Generation:
        """Answers a conversation; an iterator of pieces of text.

        messages    [{"role": "system", "user" or "assistant", "content": text}, ...]; no text of a user's makes a special token
        think       False: without a thought first, where the template can say so
        session     None: that of the model's last chat

        The session is kept, and what it holds already is not read again: an answer costs the new messages alone. For
        several conversations at a time, give each a session. The others are those of `generate`.
        """
        tokenizer, chat = self.tokenizer, self._open_chat()
        self._check_session(session)
        ids = chat.encode(messages, think=think)
        take, give_back = (self._take_kept, self._keep) if session is None else (lambda: session, lambda _: None)
        return Generation(Plan(
            ids, tokenizer, self._sampler(temperature, top_k, top_p, min_p, repeat_penalty, repeat_window, seed),
            TextStream([*chat.stops(), *stop]), chat.is_end, _count("max_tokens", max_tokens), _count("logprobs", logprobs), take,
            give_back, Session._hold))

    def eval_perplexity(self, text_or_ids: Union[str, Iterable[int]], *, slide: bool = False) -> Perplexity:
        """How well the model predicts: the numbers of `pith eval` with the same options.

        A text is cut into windows of the context, each led by the begin-of-text token; a line "<|endoftext|>" ends a
        document. Token ids are one text, every one but the first is predicted, and more than the context are refused
        unless `slide` lets the oldest go.
        """
        if isinstance(text_or_ids, str):
            tokenizer = self.tokenizer
            with self.session(chunk=1) as session:  # token by token, as a text is written
                return of_text(text_or_ids, tokenizer, session)
        with self.session() as session:
            return of_ids(as_ids(text_or_ids), session, slide)

    def embed(self, texts: Union[str, Iterable[str]], *, pooling: str = "mean", normalise: bool = False) -> npt.NDArray[np.float32]:
        """Every text as a vector, float32 [texts, width]: the vectors of `pith embed`. They are made of the hidden states that
        the output matrix multiplies, each text led by the begin-of-text token as a prompt is.

        texts      one alone is a list of one
        pooling    "mean": of all tokens, the begin-of-text token too; "last": the last token's
        normalise  to the length 1

        ValueError: a text that is longer than the context, or has no token.
        """
        if pooling not in ("mean", "last"):
            raise ValueError(f"pooling: {pooling!r}, and not one of 'mean', 'last'")
        all_ids = [self._prompt(text, False) for text in ([texts] if isinstance(texts, str) else texts)]
        most = self._options.context or self.info.context_length
        for number, ids in enumerate(all_ids):
            if not 0 < len(ids) <= most:
                raise ValueError(f"texts: number {number} has {len(ids)} tokens, and not 1 to {most}, the context")
        out = np.empty((len(all_ids), self.info.width), np.float32)
        with self.session(context=self._options.context or max([2, *map(len, all_ids)])) as session:
            for row, ids in zip(out, all_ids):
                session.reset()
                vector = session.eval_hidden(ids).astype(np.float64)
                vector = vector.sum(axis=0) / len(ids) if pooling == "mean" else vector[-1]
                length = float(np.sqrt((vector * vector).sum()))
                row[:] = vector / length if normalise and length > 0 else vector
        return out

    # ---- parts

    def session(self, *, progress: Optional[Callable[[int, int], object]] = None, **options: Any) -> Session:
        """A session of this model: `Session(model, ...)`."""
        return Session(self, progress=progress, **options)

    @property
    def tokenizer(self) -> Tokenizer:
        """Error where the file has no vocabulary that this version knows: such a model runs from token ids alone."""
        block = self._open_block()
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(block, self.info.vocab_size)
        return self._tokenizer

    @property
    def metadata(self) -> Metadata:
        return Metadata(self._open_block())

    @property
    def template(self) -> str:
        """The name of the template of chats."""
        return self._open_chat().template

    def _open_chat(self) -> Chat:
        block = self._open_block()
        if self._chat is None:
            self._chat = Chat(block, self.tokenizer, self._template)
        return self._chat

    def _check_session(self, session: Optional[Session]) -> None:
        if session is not None and session._open_block() and session._model_block is not self._block:
            raise ValueError("session: it is another Model's")

    def _prompt(self, text: str, goes_on: bool) -> array[int]:
        """Led by the begin-of-text token unless the file says no; a text of nothing else begins with it in any case."""
        has_bos = not goes_on and self.tokenizer.bos is not None
        if text and not self.metadata.get("tokenizer.ggml.add_bos_token", True):
            has_bos = False
        return self.tokenizer._encode(text, lib.PITH_ENCODE_BOS if has_bos else lib.PITH_ENCODE_NO_BOS)

    def _sampler(self, temperature: float, top_k: int, top_p: float, min_p: float, repeat_penalty: float, repeat_window: int,
                 seed: int) -> Sampler:
        return Sampler(self.info.vocab_size, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
                       repeat_penalty=repeat_penalty, repeat_window=repeat_window, seed=seed)

    def _take_kept(self) -> Session:
        try:
            return self._kept.pop()
        except IndexError:
            return self.session()

    def _keep(self, session: Session) -> None:
        if self._block is None or self._kept:
            session.close()
        else:
            self._kept.append(session)

    # ---- life

    def _open_block(self) -> Block:
        if self._block is None:
            raise ValueError("this Model is closed")
        return self._block

    def close(self) -> None:
        """Gives memory and mapping back; a closed model raises ValueError. Sessions made of it go on, and keep the mapping
        until they are closed."""
        self._block = self._tokenizer = self._chat = None
        while self._kept:
            self._kept.pop().close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        self._open_block()
        return partial(Model, self.path, template=self._template, **self._options.keywords()), ()

    def __repr__(self) -> str:
        name = "built-in" if self.path is None else self.path
        return f"<pith.Model {name}{'' if self._block else ', closed'}>"


def _count(name: str, value: Optional[int]) -> Optional[int]:
    if value is not None and value < 0:
        raise ValueError(f"{name}: {value}, and not at least 0")
    return value
