"""Text to tokens and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Optional, Union

from ._abi import Block, as_ids, call, ids_at, place
from ._pith import ffi, lib

if TYPE_CHECKING:
    from array import array


class Tokenizer:
    """The tokenizer of a model: `model.tokenizer`. Immutable: any number of threads may use it.

    vocab_size  tokens are 0 .. vocab_size - 1
    bos, eos    the tokens that begin and end a text, or None where the model has none
    """

    def __init__(self, model_block: Block, vocab_size: int) -> None:
        self._block = place("pith_tokenizer", (model_block.pointer,), (model_block,))
        self.vocab_size = vocab_size
        bos, eos = lib.pith_tokenizer_bos(self._block.pointer), lib.pith_tokenizer_eos(self._block.pointer)
        self.bos: Optional[int] = bos if bos >= 0 else None
        self.eos: Optional[int] = eos if eos >= 0 else None

    def encode(self, text: Union[str, bytes], *, bos: Optional[bool] = None, specials: bool = False) -> list[int]:
        """Tokens of a text.

        bos       the begin-of-text token in front: True, False, or as the model's file says (None)
        specials  names of special tokens in the text, such as "<|endoftext|>", become these tokens; otherwise they are text
                  like any other, so that no text of a user's makes a special token
        """
        flags = {None: lib.PITH_ENCODE_DEFAULT, True: lib.PITH_ENCODE_BOS, False: lib.PITH_ENCODE_NO_BOS}[bos]
        return list(self._encode(text, flags + (lib.PITH_ENCODE_SPECIALS if specials else 0)))

    def _encode(self, text: Union[str, bytes], flags: int) -> array[int]:
        data = text.encode() if isinstance(text, str) else bytes(text)
        n_work = lib.pith_tokenizer_work_bytes(len(data))
        work, count = ffi.new("char[]", n_work + 1), ffi.new("size_t*")
        ids = as_ids([0]) * (len(data) + 1)
        while call(lib.pith_tokenizer_encode, self._block.pointer, data, len(data), flags, ids_at(ids), len(ids), count, work,
                   n_work, allowed=(lib.PITH_E_CAPACITY,)) != lib.PITH_OK:
            ids = as_ids([0]) * int(count[0])
        return ids[:count[0]]

    def decode(self, tokens: Iterable[int], *, specials: bool = False, errors: str = "replace") -> str:
        """The text of tokens. `specials`: special tokens come as their names; without it they have no text. `errors`: of
        bytes that are no UTF-8, as in bytes.decode."""
        return self.decode_bytes(tokens, specials=specials).decode("utf-8", errors)

    def decode_bytes(self, tokens: Iterable[int], *, specials: bool = False) -> bytes:
        """The same as bytes: of a single token, possibly a part of a character."""
        function = lib.pith_tokenizer_token_text if specials else lib.pith_tokenizer_decode
        text, nbytes, out = ffi.new("const char**"), ffi.new("size_t*"), []
        for token in tokens:
            call(function, self._block.pointer, token, text, nbytes)
            out.append(bytes(ffi.buffer(text[0], nbytes[0])) if nbytes[0] else b"")
        return b"".join(out)

    def token_id(self, text: Union[str, bytes]) -> Optional[int]:
        """The token with this text, a special one by its name; None where there is none."""
        data = text.encode() if isinstance(text, str) else bytes(text)
        token = lib.pith_tokenizer_token_id(self._block.pointer, data, len(data))
        return int(token) if token >= 0 else None

    def is_end(self, token: int) -> bool:
        """Whether nothing comes after it: the end of a text, of a turn or of a message."""
        return bool(lib.pith_tokenizer_is_end(self._block.pointer, token))

    def is_special(self, token: int) -> bool:
        """Whether it has a name and no text."""
        return bool(lib.pith_tokenizer_is_special(self._block.pointer, token))

    def __len__(self) -> int:
        return self.vocab_size
