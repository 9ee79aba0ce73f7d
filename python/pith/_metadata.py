"""A model file's metadata, read when it is asked for."""

from __future__ import annotations

import struct
from typing import Any, Iterator, Mapping, Tuple, Union

from ._abi import Block, call, text_at
from ._abi import struct as abi_struct
from ._pith import ffi, lib

Scalar = Union[int, float, bool, str]
Value = Union[Scalar, Tuple[Scalar, ...]]


class Metadata(Mapping[str, Value]):
    """Keys of the file, in its order, such as "general.license"; values are int, float, bool, str, or a tuple of them. Keeps
    the file mapped, also when its Model is closed."""

    def __init__(self, model_block: Block) -> None:
        self._block = model_block

    def __getitem__(self, key: str) -> Value:
        entry = abi_struct("pith_metadata")
        status = call(lib.pith_model_find_metadata, self._block.pointer, key.encode(), entry,
                      allowed=(lib.PITH_E_MISSING,))
        if status != lib.PITH_OK:
            raise KeyError(key)
        return self._value(entry)

    def __iter__(self) -> Iterator[str]:
        entry = abi_struct("pith_metadata")
        for i in range(len(self)):
            call(lib.pith_model_get_metadata, self._block.pointer, i, entry)
            yield text_at(entry.key, entry.key_bytes)

    def __len__(self) -> int:
        return int(lib.pith_model_metadata_count(self._block.pointer))

    def __repr__(self) -> str:
        return f"<pith metadata of {len(self)} keys>"

    def _value(self, entry: Any) -> Value:
        if entry.type != lib.PITH_VALUE_ARRAY:
            return _scalar(entry)
        if entry.element_type == lib.PITH_VALUE_STRING:
            return self._strings(entry)
        element, out = abi_struct("pith_metadata"), []
        for i in range(entry.array_count):
            call(lib.pith_model_get_metadata_element, self._block.pointer, entry.index, i, element)
            out.append(_scalar(element))
        return tuple(out)

    def _strings(self, entry: Any) -> tuple[str, ...]:
        """The library walks such an array from its beginning for every element. It was checked when the file was opened: from
        the first element on, GGUF has every string behind its length, 64 bits."""
        if entry.array_count == 0:
            return ()
        element = abi_struct("pith_metadata")
        call(lib.pith_model_get_metadata_element, self._block.pointer, entry.index, 0, element)
        at, out = ffi.cast("char*", element.string) - 8, []
        for _ in range(entry.array_count):
            nbytes, = struct.unpack("<Q", ffi.buffer(at, 8))
            out.append(text_at(at + 8, nbytes))
            at += 8 + nbytes
        return tuple(out)


def _scalar(entry: Any) -> Scalar:
    if entry.type == lib.PITH_VALUE_STRING:
        return text_at(entry.string, entry.string_bytes)
    if entry.type == lib.PITH_VALUE_BOOL:
        return bool(entry.uint_value)
    return {lib.PITH_VALUE_UINT: int(entry.uint_value), lib.PITH_VALUE_INT: int(entry.int_value),
            lib.PITH_VALUE_FLOAT: float(entry.float_value)}[entry.type]
