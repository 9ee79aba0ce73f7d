"""What every call of the C ABI goes through: errors, memory, structs."""

from __future__ import annotations

import mmap
import sys
from array import array
from typing import Any, Callable, Iterable, Sequence

from ._pith import ffi, lib

_STATUS_NAMES: dict[int, str] = ffi.typeof("pith_status").elements


class Error(Exception):
    """A call of the library failed. str(error) is the library's sentence: it names the argument, option or field at fault.

    status: the number, such as 12; name: that of pith.h, such as "PITH_E_MEMORY".
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)  # what an error is pickled by, on its way from another process
        self.status = status
        self.name = _STATUS_NAMES.get(status, "PITH_E_UNKNOWN")

    def __str__(self) -> str:
        return str(self.args[1])


def call(function: Callable[..., int], *arguments: Any, allowed: Sequence[int] = ()) -> int:
    """Calls a function that returns a pith_status and takes a pith_error last. Raises Error for any status but 0 and those
    that are `allowed`. The GIL is released meanwhile."""
    error = ffi.new("pith_error*")
    status = function(*arguments, error)
    if status != lib.PITH_OK and status not in allowed:
        raise Error(status, ffi.string(error.message).decode("utf-8", "replace"))
    return status


class Block:
    """One object of the library, in pages of its own, which go back to the system with the last reference to it.

    A call that runs holds a reference, so that an object that another thread closes goes when that call is over.
    """

    __slots__ = ("pointer", "nbytes", "_held")

    def __init__(self, pointer: Any, nbytes: int, held: tuple[Any, ...]) -> None:
        self.pointer, self.nbytes, self._held = pointer, nbytes, held


def pages(nbytes: int) -> Any:
    """`nbytes` zeros at a multiple of PITH_ALIGNMENT, private to this process and to each child of a fork."""
    try:
        if sys.platform == "win32":
            return mmap.mmap(-1, nbytes)
        return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no {nbytes} bytes of memory") from error


def place(kind: str, arguments: tuple[Any, ...], needs: tuple[Any, ...]) -> Block:
    """Makes a `kind` ("pith_session") in memory of its own. `arguments`: what pith_X_bytes and pith_X_init both begin with;
    `needs`: what must live as long."""
    nbytes = ffi.new("size_t*")
    call(getattr(lib, kind + "_bytes"), *arguments, nbytes)
    memory = ffi.from_buffer(pages(nbytes[0]))
    out = ffi.new(kind + "**")
    call(getattr(lib, kind + "_init"), *arguments, memory, nbytes[0], out)
    return Block(out[0], nbytes[0], (memory, *needs))


def struct(kind: str) -> Any:
    """A struct of zeros with its struct_size: the defaults."""
    out = ffi.new(kind + "*")
    out.struct_size = ffi.sizeof(kind)
    return out


def text_at(pointer: Any, nbytes: int) -> str:
    """Of a file of a stranger's: what is not UTF-8 becomes U+FFFD."""
    return bytes(ffi.buffer(pointer, nbytes)).decode("utf-8", "replace") if nbytes else ""


def save(kind: str, pointer: Any) -> bytes:
    """The state of a `kind` as bytes."""
    state = bytearray(getattr(lib, kind + "_state_bytes")(pointer))
    nbytes = ffi.new("size_t*")
    call(getattr(lib, kind + "_save"), pointer, ffi.from_buffer(state, require_writable=True), len(state), nbytes)
    return bytes(memoryview(state)[:nbytes[0]])


def restore(kind: str, pointer: Any, state: bytes) -> None:
    call(getattr(lib, kind + "_restore"), pointer, ffi.from_buffer(state), len(state))


def as_ids(tokens: Iterable[int]) -> array[int]:
    """Token ids as int32, of any iterable of integers: a list, a NumPy array."""
    to_list = getattr(tokens, "tolist", None)
    return array("i", to_list() if to_list is not None else list(tokens))


def ids_at(ids: array[int]) -> Any:
    return ffi.from_buffer("int32_t[]", ids)
