// What tests of grammars share: a grammar, a vocabulary and a matcher over them.
#ifndef PITH_TESTS_GRAMMAR_TESTING_H
#define PITH_TESTS_GRAMMAR_TESTING_H

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api_testing.h"
#include "guarded_memory.h"
#include "vocabulary.h"

namespace pith::test {

// Text in the alphabet of byte-level BPE.
inline std::string spelled(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) out += byte_token(uint8_t(byte));
  return out;
}

// The bytes of a character.
inline std::string utf8(uint32_t c) {
  if (c < 0x80) return {char(c)};
  if (c < 0x800) return {char(0xc0 | c >> 6), char(0x80 | (c & 63))};
  if (c < 0x10000) return {char(0xe0 | c >> 12), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
  return {char(0xf0 | c >> 18), char(0x80 | (c >> 12 & 63)), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
}

inline pith_grammar_source source_of(pith_grammar_kind kind, std::string_view text, uint32_t max_states = 0) {
  pith_grammar_source source;
  pith_grammar_source_init(&source, sizeof source);
  source.kind = kind;
  source.text = text.data();
  source.text_bytes = text.size();
  source.max_states = max_states;
  return source;
}

// A compiled grammar, or why it was refused.
struct Compiled {
  Block memory;
  pith_grammar* grammar = nullptr;
  pith_status status = PITH_OK;
  pith_error error{};

  Compiled(pith_grammar_kind kind, std::string_view text, uint32_t max_states = 0) {
    const pith_grammar_source source = source_of(kind, text, max_states);
    size_t bytes = 0;
    REQUIRE(int(pith_grammar_bytes(&source, &bytes, nullptr)) == int(PITH_OK));
    memory = block_of(bytes);
    status = pith_grammar_init(&source, memory.get(), bytes, &grammar, &error);
  }
};

// Every byte, then these words, each any bytes; token 0 ends a text.
struct Words {
  Loaded loaded;
  Block memory;
  pith_token_trie* trie = nullptr;

  explicit Words(const std::vector<std::string>& words = {}) : Words(vocabulary_of(words)) {}
  explicit Words(const RawVocabulary& vocabulary) : loaded(vocabulary.file()) {
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    size_t bytes = 0;
    REQUIRE(int(pith_token_trie_bytes(tokenizer(), &bytes, nullptr)) == int(PITH_OK));
    memory = block_of(bytes);
    REQUIRE(int(pith_token_trie_init(tokenizer(), memory.get(), bytes, &trie, nullptr)) == int(PITH_OK));
  }
  static RawVocabulary vocabulary_of(const std::vector<std::string>& words) {
    std::vector<std::string> out;
    for (const std::string& word : words) out.push_back(spelled(word));
    return RawVocabulary(out);
  }
  const pith_tokenizer* tokenizer() const { return reinterpret_cast<const pith_tokenizer*>(loaded.tokenizer); }
  int32_t n_tokens() const { return loaded.tokenizer->n_tokens(); }
  std::string text(int32_t token) const { return std::string(loaded.tokenizer->decode(token)); }
};

// No tokens but those of single bytes.
inline const Words& bytes_alone() {
  static const Words words;
  return words;
}

// Every prefix of a text as a grammar, before an inaccessible page: a byte beyond that is read ends the test. Returns how many are good.
inline size_t compile_prefixes(pith_grammar_kind kind, std::string_view text) {
  constexpr size_t kBytes = 4096;
  REQUIRE(text.size() <= kBytes);
  const GuardedMemory memory(kBytes, Place::at_end, 0);
  size_t n_good = 0;
  for (size_t n = 0; n <= text.size(); ++n) {
    uint8_t* begin = memory.data() + kBytes - n;
    std::memcpy(begin, text.data(), n);
    const Compiled grammar(kind, {reinterpret_cast<const char*>(begin), n}, 1024);
    n_good += grammar.status == PITH_OK ? 1 : 0;
  }
  return n_good;
}

struct Matching {
  std::unique_ptr<Compiled> own;  // a grammar of its own, or none
  Block memory;
  pith_matcher* matcher = nullptr;
  int32_t n_tokens = 0;

  Matching(pith_grammar_kind kind, std::string_view text, const Words& words)
      : Matching(std::make_unique<Compiled>(kind, text), words) {}
  Matching(std::unique_ptr<Compiled> grammar, const Words& words) : Matching(*grammar, words) {
    own = std::move(grammar);
  }
  Matching(const Compiled& grammar, const Words& words) : n_tokens(words.n_tokens()) {
    REQUIRE_MESSAGE(grammar.status == PITH_OK, grammar.error.message);
    size_t bytes = 0;
    REQUIRE(int(pith_matcher_bytes(grammar.grammar, words.trie, &bytes, nullptr)) == int(PITH_OK));
    memory = block_of(bytes);
    pith_error error;
    REQUIRE_MESSAGE(pith_matcher_init(grammar.grammar, words.trie, memory.get(), bytes, &matcher, &error) == PITH_OK,
                    error.message);
  }
  // Whether each token may come next; none: the status of the mask.
  std::vector<bool> mask(pith_status* status = nullptr) {
    const size_t n = size_t(n_tokens);
    std::vector<float> logits(n), out(n, 7.0f);
    for (size_t i = 0; i < n; ++i) logits[i] = float(i);
    pith_error error;
    const pith_status got = pith_matcher_mask(matcher, logits.data(), out.data(), &error);
    if (status != nullptr) *status = got;
    std::vector<bool> allowed(n);
    for (size_t i = 0; i < n && got == PITH_OK; ++i) {
      allowed[i] = out[i] == float(i);
      REQUIRE((allowed[i] || (std::isinf(out[i]) && out[i] < 0)));
    }
    for (size_t i = 0; i < n && got != PITH_OK; ++i) REQUIRE(out[i] == 7.0f);
    return allowed;
  }
  pith_status accept(int32_t token) { return pith_matcher_accept(matcher, token, nullptr); }
  // Byte by byte: how many fit.
  size_t accept_text(std::string_view text) {
    size_t n = 0;
    while (n < text.size() && accept(1 + uint8_t(text[n])) == PITH_OK) ++n;
    return n;
  }
  bool fits(std::string_view text) {
    REQUIRE(int(pith_matcher_reset(matcher, nullptr)) == int(PITH_OK));
    return accept_text(text) == text.size() && pith_matcher_may_end(matcher) == 1;
  }
};

}  // namespace pith::test

#endif
