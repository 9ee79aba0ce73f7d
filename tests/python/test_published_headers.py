"""Files in the shapes of published models are read, or refused for the reason that the documentation gives.

    PITH_LIBRARY=... PITH_COMMAND=... python3 -m pytest tests/python/test_published_headers.py

The library must find the structure of all of them sound, and name `pith quantize`, since none is packed. `pith quantize` must accept or
refuse what they are: the first weight of every file is NaN, so that reading an accepted one ends there, after every check of keys,
vocabulary and tensors, and before a terabyte of zeros is packed.
"""

import ctypes
import os
import subprocess

import numpy as np
import pytest
from gguf_rules import ACCEPTED as SOUND
from gguf_rules import Rules
from libpith import Memory, library
from published_headers import ACCEPTED, REFUSED, write

NOT_FINITE = b"\xff" * 4096  # NaN in every type of tensor that is read


@pytest.fixture(scope="module")
def command():
    return os.environ.get("PITH_COMMAND") or pytest.skip("PITH_COMMAND does not name the command")


def quantize(command, path):
    done = subprocess.run([command, "quantize", path, path.with_name("out.gguf"), "--type", "q4"], capture_output=True, text=True,
                          timeout=120)
    assert not path.with_name("out.gguf").exists()
    return done.returncode, done.stderr


def verdict(path):
    """The library's status and sentence, over the mapped file."""
    lib, data, error = library(), np.memmap(path, np.uint8, "r"), ctypes.create_string_buffer(256)
    n, handle, address = ctypes.c_size_t(), ctypes.c_void_p(), ctypes.c_void_p(data.ctypes.data)
    size = ctypes.c_size_t(len(data))
    assert lib.pith_model_bytes(address, size, ctypes.byref(n), error) == 0, error.value
    assert n.value < 4 << 20
    memory = Memory(n.value)
    status = lib.pith_model_init(address, size, memory.address, n, ctypes.byref(handle), error)
    return status, error.value.decode()


class Sparse:
    """The bytes of a file, of which slices are read."""

    def __init__(self, path):
        self.bytes = np.memmap(path, np.uint8, "r")

    def __len__(self):
        return len(self.bytes)

    def __getitem__(self, range):
        return self.bytes[range].tobytes()


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "model.gguf"

    def write_model(model):
        try:
            write(path, model, NOT_FINITE)
        except OSError as error:
            pytest.skip(f"no sparse file of that size here: {error}")
        return path

    yield write_model
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ACCEPTED)
def test_published_shapes_are_accepted(name, written, command):
    path = written(ACCEPTED[name])
    status, sentence = verdict(path)
    assert status == 40 and "is not packed for pith; run pith quantize" in sentence, sentence  # PITH_E_ARCHITECTURE
    assert Rules().verdict(Sparse(path)) == {SOUND}
    status, sentence = quantize(command, path)
    assert status == 1 and "token_embd.weight: " in sentence and "not finite" in sentence, sentence


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_for_the_documented_reason(name, written, command):
    model, reason = REFUSED[name]
    status, sentence = quantize(command, written(model))
    assert status == 1 and reason in sentence, sentence


def test_the_table_is_of_many_families():
    assert len(ACCEPTED) >= 20 and len(REFUSED) >= 20
