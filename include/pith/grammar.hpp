// Text that has a form: a part of pith.hpp, which includes it.
#ifndef PITH_GRAMMAR_HPP
#define PITH_GRAMMAR_HPP

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "pith.h"
#include "placed.hpp"
#include "result.hpp"

namespace pith {

class Tokenizer;

inline pith_grammar_source grammar_source(pith_grammar_kind kind, std::string_view text) {
  pith_grammar_source source;
  pith_grammar_source_init(&source, sizeof source);
  source.kind = kind;
  source.text = text.data();
  source.text_bytes = text.size();
  return source;
}

class Grammar {
 public:
  static Result<Grammar> create(const pith_grammar_source& source) {
    Result<Placed<pith_grammar>> placed =
        place<pith_grammar>([&](size_t* bytes, pith_error* error) { return pith_grammar_bytes(&source, bytes, error); },
                            [&](void* memory, size_t bytes, pith_grammar** out, pith_error* error) {
                              return pith_grammar_init(&source, memory, bytes, out, error);
                            });
    if (!placed) return placed.error();
    return Grammar(std::move(*placed));
  }
  // In llama.cpp's notation, and of documents that fit a JSON Schema.
  static Result<Grammar> try_gbnf(std::string_view text) { return create(grammar_source(PITH_GRAMMAR_GBNF, text)); }
  static Result<Grammar> try_json_schema(std::string_view text) {
    return create(grammar_source(PITH_GRAMMAR_JSON_SCHEMA, text));
  }

  const pith_grammar* get() const { return placed_.object; }

#if PITH_EXCEPTIONS
  static Grammar gbnf(std::string_view text) { return try_gbnf(text).value(); }
  static Grammar json_schema(std::string_view text) { return try_json_schema(text).value(); }
#endif

 private:
  explicit Grammar(Placed<pith_grammar> placed) : placed_(std::move(placed)) {}
  Placed<pith_grammar> placed_;
};

// A vocabulary as matchers walk it: one for all of them. Keep the model and the tokenizer alive.
class TokenTrie {
 public:
  static Result<TokenTrie> create(const Tokenizer& tokenizer);  // in pith.hpp, behind Tokenizer

  const pith_token_trie* get() const { return placed_.object; }

#if PITH_EXCEPTIONS
  explicit TokenTrie(const Tokenizer& tokenizer) : TokenTrie(create(tokenizer).value()) {}
#endif

 private:
  explicit TokenTrie(Placed<pith_token_trie> placed) : placed_(std::move(placed)) {}
  Placed<pith_token_trie> placed_;
};

// One text under a grammar. Keep the grammar and the trie alive.
class Matcher {
 public:
  static Result<Matcher> create(const Grammar& grammar, const TokenTrie& trie) {
    Result<Placed<pith_matcher>> placed = place<pith_matcher>(
        [&](size_t* bytes, pith_error* error) { return pith_matcher_bytes(grammar.get(), trie.get(), bytes, error); },
        [&](void* memory, size_t bytes, pith_matcher** out, pith_error* error) {
          return pith_matcher_init(grammar.get(), trie.get(), memory, bytes, out, error);
        });
    if (!placed) return placed.error();
    return Matcher(std::move(*placed));
  }

  pith_matcher* get() const { return placed_.object; }
  // [vocab_size] each; they may be the same.
  Result<void> try_mask(std::span<const float> logits, std::span<float> out) {
    if (logits.empty() || out.size() != logits.size())
      return Failure(PITH_E_ARGUMENT, "argument out: must have a place for every logit, of which there must be some");
    pith_error error;
    return result_of(pith_matcher_mask(get(), logits.data(), out.data(), &error), error);
  }
  Result<void> try_accept(int32_t token) {
    pith_error error;
    return result_of(pith_matcher_accept(get(), token, &error), error);
  }
  Result<void> try_reset() {
    pith_error error;
    return result_of(pith_matcher_reset(get(), &error), error);
  }
  // Of the same grammar and trie.
  Result<void> try_copy_from(const Matcher& other) {
    pith_error error;
    return result_of(pith_matcher_copy(get(), other.get(), &error), error);
  }
  bool may_end() const { return pith_matcher_may_end(get()) != 0; }
  bool is_done() const { return pith_matcher_is_done(get()) != 0; }

#if PITH_EXCEPTIONS
  Matcher(const Grammar& grammar, const TokenTrie& trie) : Matcher(create(grammar, trie).value()) {}
  void mask(std::span<const float> logits, std::span<float> out) { try_mask(logits, out).value(); }
  void accept(int32_t token) { try_accept(token).value(); }
  void reset() { try_reset().value(); }
  void copy_from(const Matcher& other) { try_copy_from(other).value(); }
#endif

 private:
  explicit Matcher(Placed<pith_matcher> placed) : placed_(std::move(placed)) {}
  Placed<pith_matcher> placed_;
};

}  // namespace pith

#endif
