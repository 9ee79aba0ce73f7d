"""The C ABI through ctypes, as far as the tests need it. PITH_LIBRARY names libpith.so."""

import ctypes
import os

import numpy as np
import pytest

I8, F32 = 0, 1           # pith_precision
POOL_NONE = 2 ** 64 - 1  # PITH_POOL_NONE
DEFAULT, MATERIALISE = 0, 1  # pith_attention


class Options(ctypes.Structure):
    """pith_session_options"""
    _fields_ = [(name, ctypes.c_uint32) for name in
                ("struct_size", "capacity", "n_keep", "cache", "activations", "attention", "max_threads",
                 "chunk")]
    _fields_ += [("tier", ctypes.c_char_p)]
    _fields_ += [(name, ctypes.c_void_p) for name in ("executor", "executor_context", "progress", "progress_context")]
    _fields_ += [("pool_bytes", ctypes.c_uint64), ("clock", ctypes.c_void_p), ("clock_context", ctypes.c_void_p)]


def default_options(lib):
    """What pith_session_options_init fills in. A size that pith.h does not know would be refused by the first call."""
    options = Options()
    lib.pith_session_options_init(ctypes.byref(options), ctypes.c_uint32(ctypes.sizeof(options)))
    return options


def library():
    path = os.environ.get("PITH_LIBRARY")
    if not path:
        pytest.skip("PITH_LIBRARY does not name libpith.so")
    lib = ctypes.CDLL(path)
    lib.pith_session_logits.restype = ctypes.POINTER(ctypes.c_float)
    return lib


class Memory:
    """n bytes at a multiple of 64."""

    def __init__(self, n, content=b""):
        self.block = ctypes.create_string_buffer(n + 64)
        self.address = ctypes.c_void_p((ctypes.addressof(self.block) + 63) // 64 * 64)
        self.n = ctypes.c_size_t(n)
        ctypes.memmove(self.address, content, len(content))


def check(status, error):
    assert status == 0, (status, error.value.decode())


class Model:
    def __init__(self, data):
        self.lib = library()
        self.data, self.error, self.handle = Memory(len(data), data), ctypes.create_string_buffer(256), ctypes.c_void_p()
        n = ctypes.c_size_t()
        check(self.lib.pith_model_bytes(self.data.address, self.data.n, ctypes.byref(n), self.error), self.error)
        self.memory = Memory(n.value)
        check(self.lib.pith_model_init(self.data.address, self.data.n, self.memory.address, n, ctypes.byref(self.handle),
                                       self.error), self.error)

    def session(self, **options):
        """A fresh one, and its memory, which must be kept as long."""
        o = default_options(self.lib)
        for name, value in options.items():
            setattr(o, name, value)
        n, session = ctypes.c_size_t(), ctypes.c_void_p()
        check(self.lib.pith_session_bytes(self.handle, ctypes.byref(o), ctypes.byref(n), self.error), self.error)
        memory = Memory(n.value)
        check(self.lib.pith_session_init(self.handle, ctypes.byref(o), memory.address, n, ctypes.byref(session),
                                         self.error), self.error)
        return session, memory

    def logits(self, ids, vocab_size, **options):
        """[len(ids), vocab_size] float32: the ids decoded one by one in a fresh session."""
        session, _memory = self.session(**options)
        rows = []
        for token in ids:
            check(self.lib.pith_session_eval(session, ctypes.byref(ctypes.c_int32(int(token))), ctypes.c_size_t(1), self.error),
                  self.error)
            rows.append(np.ctypeslib.as_array(self.lib.pith_session_logits(session), (vocab_size,)).copy())
        return np.array(rows)

    def hidden(self, ids, width, **options):
        """[len(ids), width] float32: their hidden states, evaluated together."""
        session, _memory = self.session(**options)
        tokens, out = np.array(ids, np.int32), np.empty((len(ids), width), np.float32)
        check(self.lib.pith_session_eval_each(session, tokens.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(ids)), None,
                                              out.ctypes.data_as(ctypes.c_void_p), self.error), self.error)
        return out


class Tokenizer:
    """Of a model's bytes. Texts are str or bytes."""

    def __init__(self, data):
        self.model = Model(data)
        self.lib = self.model.lib
        self.lib.pith_tokenizer_work_bytes.restype = ctypes.c_size_t
        error, n, self.handle = self.model.error, ctypes.c_size_t(), ctypes.c_void_p()
        check(self.lib.pith_tokenizer_bytes(self.model.handle, ctypes.byref(n), error), error)
        self.memory = Memory(n.value)
        check(self.lib.pith_tokenizer_init(self.model.handle, self.memory.address, n, ctypes.byref(self.handle), error), error)

    def try_encode(self, data, flags=0):
        """(status, ids)"""
        size, count = ctypes.c_size_t(len(data)), ctypes.c_size_t()
        ids = (ctypes.c_int32 * (len(data) + 1))()
        n_work = self.lib.pith_tokenizer_work_bytes(size)
        work = ctypes.create_string_buffer(n_work)
        status = self.lib.pith_tokenizer_encode(self.handle, data, size, flags, ids, ctypes.c_size_t(len(ids)),
                                                ctypes.byref(count), work, ctypes.c_size_t(n_work), self.model.error)
        return status, ids[:count.value]

    def encode(self, text, flags=0):
        status, ids = self.try_encode(text.encode() if isinstance(text, str) else text, flags)
        check(status, self.model.error)
        return ids

    def decode(self, ids):
        text, size, out = ctypes.c_void_p(), ctypes.c_size_t(), []
        for token in ids:
            assert self.lib.pith_tokenizer_decode(self.handle, token, ctypes.byref(text), ctypes.byref(size), None) == 0
            out.append(ctypes.string_at(text, size.value))
        return b"".join(out)


class Message(ctypes.Structure):
    """pith_message"""
    _fields_ = [("role", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("content", ctypes.c_char_p),
                ("content_bytes", ctypes.c_size_t)]


class ChatOptions(ctypes.Structure):
    """pith_chat_options"""
    _fields_ = [("struct_size", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("template_name", ctypes.c_char_p),
                ("date", ctypes.c_char_p)]


ROLES = {"system": 0, "user": 1, "assistant": 2}  # pith_role
ANSWER, AFTER_ANSWER, NO_THOUGHT = 1, 2, 4        # pith_chat_flags


class Chat:
    """Of a tokenizer, with the template of its file or the named one."""

    def __init__(self, tokenizer, name=None, date=None):
        self.tokenizer, self.lib = tokenizer, tokenizer.lib
        self.lib.pith_chat_work_bytes.restype = ctypes.c_size_t
        self.lib.pith_chat_template.restype = ctypes.c_char_p
        options = ChatOptions(ctypes.sizeof(ChatOptions), 0, name and name.encode(), date and date.encode())
        arguments = (tokenizer.model.handle, tokenizer.handle, ctypes.byref(options))
        error, n, self.handle = tokenizer.model.error, ctypes.c_size_t(), ctypes.c_void_p()
        check(self.lib.pith_chat_bytes(*arguments, ctypes.byref(n), error), error)
        self.memory = Memory(n.value)
        check(self.lib.pith_chat_init(*arguments, self.memory.address, n, ctypes.byref(self.handle), error), error)

    def name(self):
        return self.lib.pith_chat_template(self.handle).decode()

    def encode(self, messages, flags=0):
        """Ids of [{"role", "content"}]."""
        texts = [m["content"].encode() for m in messages]
        list_ = (Message * max(len(messages), 1))(*(Message(ROLES[m["role"]], 0, t, len(t)) for m, t in zip(messages, texts)))
        n, error, count = ctypes.c_size_t(len(messages)), self.tokenizer.model.error, ctypes.c_size_t()
        size = self.lib.pith_chat_work_bytes(self.handle, list_, n, flags)
        work = ctypes.create_string_buffer(size + 1)
        ids = (ctypes.c_int32 * (size + 64))()
        check(self.lib.pith_chat_encode(self.handle, list_, n, flags, ids, ctypes.c_size_t(len(ids)), ctypes.byref(count), work,
                                        ctypes.c_size_t(size), error), error)
        return ids[:count.value]
