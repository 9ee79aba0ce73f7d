"""How well a model predicts a text: what `pith eval` says, number by number."""

from __future__ import annotations

import math
import re
from array import array
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ._session import Session
from ._tokenizer import Tokenizer
from ._pith import lib

_SEPARATOR = "<|endoftext|>"


class Perplexity(NamedTuple):
    """nats: of all predicted tokens together; the others follow from them. bytes and bits_per_byte: None of token ids."""

    perplexity: float
    nats: float
    tokens: int
    bytes: Optional[int] = None
    bits_per_byte: Optional[float] = None


def documents_of(text: str) -> list[str]:
    """The texts between lines of <|endoftext|> alone, each without the line ending at its end. Empty ones are left out."""
    documents: list[list[str]] = [[]]
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if _without_ending(line) == _SEPARATOR:
            documents.append([])
        else:
            documents[-1].append(line)
    return [document for document in (_without_ending("".join(lines)) for lines in documents) if document]


def _without_ending(text: str) -> str:
    return text[:-2] if text.endswith("\r\n") else text[:-1] if text.endswith("\n") else text


def text_tokens(text: str, tokenizer: Tokenizer) -> array[int]:
    """Tokens of the documents, with the end-of-text token between them."""
    out: array[int] = array("i")
    for document in documents_of(text):
        if out and tokenizer.eos is not None:
            out.append(tokenizer.eos)
        out += tokenizer._encode(document, lib.PITH_ENCODE_NO_BOS)
    return out


def of_text(text: str, tokenizer: Tokenizer, session: Session) -> Perplexity:
    """Consecutive windows of the session's context, each led by the begin-of-text token; every token is predicted."""
    if tokenizer.bos is None:
        raise ValueError("the model has no begin-of-text token (tokenizer.ggml.bos_token_id); windows start with it")
    if session.context < 2:
        raise ValueError("context: windows have at least 2 tokens")
    ids = text_tokens(text, tokenizer)
    if not ids:
        raise ValueError("text: it has no tokens")
    nats, window = 0.0, session.context - 1
    for first in range(0, len(ids), window):
        part = ids[first:first + window]
        session.reset()
        nats += _nats(session, array("i", [tokenizer.bos]) + part[:-1], part)
    nbytes = len(tokenizer.decode_bytes(ids))
    return Perplexity(math.exp(nats / len(ids)), nats, len(ids), nbytes, nats / math.log(2) / nbytes if nbytes else None)


def of_ids(ids: array[int], session: Session, slide: bool) -> Perplexity:
    """One text from position 0; every token but the first is predicted."""
    if len(ids) < 2:
        raise ValueError("ids: one id predicts no other; give more of them")
    if len(ids) > session.context and not slide:
        raise ValueError(f"ids: {len(ids)}, and a context of {session.context}; take a context that holds them, or slide=True to let "
                         "the oldest go")
    nats = _nats(session, ids[:-1], ids[1:])
    return Perplexity(math.exp(nats / (len(ids) - 1)), nats, len(ids) - 1)


def _nats(session: Session, read: array[int], predicted: array[int]) -> float:
    """Reads tokens, each of which is to predict the one beside it. Logits of one piece are in memory at a time."""
    nats, step = 0.0, session._chunk
    while step < 64:
        step += session._chunk
    for first in range(0, len(read), step):
        logits = session.eval_each(read[first:first + step])
        wanted = np.asarray(predicted[first:first + step])
        nats -= float(log_softmax(logits)[np.arange(len(wanted)), wanted].sum())
    return nats


def log_softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Of the last axis, in float64."""
    x = logits.astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    x -= np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return x
