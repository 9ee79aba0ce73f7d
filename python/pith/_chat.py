"""Messages to tokens, in the format that a model was trained with."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Mapping, Optional, Sequence

from ._abi import Block, as_ids, call, ids_at, place, struct
from ._pith import ffi, lib
from ._tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import TypeAlias

Messages: TypeAlias = Sequence[Mapping[str, str]]

_ROLES = {"system": lib.PITH_ROLE_SYSTEM, "user": lib.PITH_ROLE_USER, "assistant": lib.PITH_ROLE_ASSISTANT}


class Chat:
    """The template of a model's file, or the one that is named. Immutable."""

    def __init__(self, model_block: Block, tokenizer: Tokenizer, template: Optional[str]) -> None:
        options = struct("pith_chat_options")
        name = ffi.new("char[]", template.encode()) if template else ffi.NULL
        options.template_name = name
        self._block = place("pith_chat", (model_block.pointer, tokenizer._block.pointer, options),
                            (model_block, tokenizer._block, name))

    def encode(self, messages: Messages, *, think: bool = True) -> array[int]:
        """The conversation up to where the model is to speak. `think`: False for an answer without a thought before it, where
        the template can say so."""
        flags = lib.PITH_CHAT_ANSWER + (0 if think else lib.PITH_CHAT_NO_THOUGHT)
        structs, texts = ffi.new("pith_message[]", max(len(messages), 1)), []
        for i, message in enumerate(messages):
            if set(message) != {"role", "content"} or message["role"] not in _ROLES:
                raise ValueError(f'message {i}: {dict(message)!r}, and not {{"role": one of {", ".join(_ROLES)}, "content": text}}')
            data = message["content"].encode()
            texts.append(ffi.from_buffer("char[]", data))
            structs[i].role, structs[i].content, structs[i].content_bytes = _ROLES[message["role"]], texts[-1], len(data)
        n_work = lib.pith_chat_work_bytes(self._block.pointer, structs, len(messages), flags)
        work, count = ffi.new("char[]", n_work + 1), ffi.new("size_t*")
        ids = as_ids([0]) * 256
        while call(lib.pith_chat_encode, self._block.pointer, structs, len(messages), flags, ids_at(ids), len(ids), count, work,
                   n_work, allowed=(lib.PITH_E_CAPACITY,)) != lib.PITH_OK:
            ids = as_ids([0]) * int(count[0])
        return ids[:count[0]]

    def is_end(self, token: int) -> bool:
        return bool(lib.pith_chat_is_end(self._block.pointer, token))

    def stops(self) -> list[str]:
        """Texts that end an answer as well: marks of the template that the vocabulary has no token for."""
        out: list[str] = []
        while (stop := lib.pith_chat_stop(self._block.pointer, len(out))) != ffi.NULL:
            out.append(ffi.string(stop).decode())
        return out

    @property
    def template(self) -> str:
        return str(ffi.string(lib.pith_chat_template(self._block.pointer)).decode())
