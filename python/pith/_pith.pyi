"""The C ABI of pith.h, through cffi: made when the package is built (python/declarations.py)."""

from typing import Any

ffi: Any
lib: Any
