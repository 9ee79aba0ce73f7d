"""Grammars and matchers of the C ABI through ctypes, over the vocabulary of a model's bytes."""

import ctypes

import numpy as np

from libpith import Memory, Tokenizer, check

GBNF, JSON_SCHEMA = 0, 1  # pith_grammar_kind


class Source(ctypes.Structure):
    """pith_grammar_source"""
    _fields_ = [("struct_size", ctypes.c_uint32), ("kind", ctypes.c_uint32), ("text", ctypes.c_char_p),
                ("text_bytes", ctypes.c_size_t), ("max_states", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class Refused(Exception):
    """A grammar that was not compiled: (status, sentence)."""


class Vocabulary:
    def __init__(self, data):
        self.tokenizer = Tokenizer(data)
        self.lib, self.error = self.tokenizer.lib, self.tokenizer.model.error
        n, self.trie = ctypes.c_size_t(), ctypes.c_void_p()
        check(self.lib.pith_token_trie_bytes(self.tokenizer.handle, ctypes.byref(n), self.error), self.error)
        self.memory = Memory(n.value)
        check(self.lib.pith_token_trie_init(self.tokenizer.handle, self.memory.address, n, ctypes.byref(self.trie), self.error),
              self.error)
        self.texts, self.ends = [], set()
        while (token := len(self.texts)) < 1 << 24:
            text, size = ctypes.c_void_p(), ctypes.c_size_t()
            if self.lib.pith_tokenizer_decode(self.tokenizer.handle, token, ctypes.byref(text), ctypes.byref(size), None) != 0:
                break
            self.texts.append(ctypes.string_at(text, size.value))
            if self.lib.pith_tokenizer_is_end(self.tokenizer.handle, token):
                self.ends.add(token)

    def matcher(self, kind, text, max_states=0):
        return Matcher(self, kind, text, max_states)


class Matcher:
    def __init__(self, vocabulary, kind, text, max_states):
        self.vocabulary, lib, error = vocabulary, vocabulary.lib, vocabulary.error
        data = text.encode()
        source = Source(ctypes.sizeof(Source), kind, data, len(data), max_states, 0)
        n, grammar, self.handle = ctypes.c_size_t(), ctypes.c_void_p(), ctypes.c_void_p()
        check(lib.pith_grammar_bytes(ctypes.byref(source), ctypes.byref(n), error), error)
        self.grammar_memory = Memory(n.value)
        status = lib.pith_grammar_init(ctypes.byref(source), self.grammar_memory.address, n, ctypes.byref(grammar), error)
        if status != 0:
            raise Refused(status, error.value.decode())
        check(lib.pith_matcher_bytes(grammar, vocabulary.trie, ctypes.byref(n), error), error)
        self.memory = Memory(n.value)
        check(lib.pith_matcher_init(grammar, vocabulary.trie, self.memory.address, n, ctypes.byref(self.handle), error), error)

    def reset(self):
        check(self.vocabulary.lib.pith_matcher_reset(self.handle, self.vocabulary.error), self.vocabulary.error)

    def accept(self, token):
        """Whether it fits."""
        status = self.vocabulary.lib.pith_matcher_accept(self.handle, ctypes.c_int32(token), self.vocabulary.error)
        if status != 71:  # PITH_E_TOKEN
            check(status, self.vocabulary.error)
        return status == 0

    def allowed(self):
        """The tokens that may come next."""
        logits = np.zeros(len(self.vocabulary.texts), np.float32)
        pointer = logits.ctypes.data_as(ctypes.c_void_p)
        check(self.vocabulary.lib.pith_matcher_mask(self.handle, pointer, pointer, self.vocabulary.error), self.vocabulary.error)
        return np.flatnonzero(np.isfinite(logits))

    def may_end(self):
        return self.vocabulary.lib.pith_matcher_may_end(self.handle) == 1

    def is_done(self):
        return self.vocabulary.lib.pith_matcher_is_done(self.handle) == 1

    def fits(self, text):
        """A whole text, by its tokens as the tokenizer has them."""
        self.reset()
        return all(self.accept(token) for token in self.vocabulary.tokenizer.encode(text, 2)) and self.may_end()
