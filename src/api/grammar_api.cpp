// The C ABI of grammars, token tries and matchers: checks arguments once per call, then hands over.
#include "api/struct_sizes.h"
#include "grammar/matcher.h"

using namespace pith::internal;

namespace {

constexpr uint32_t kDefaultStates = 32768, kMinStates = 1024, kMaxStates = 1u << 20;

pith_status read_source(const pith_grammar_source* given, pith_grammar_source* source, pith_error* error) {
  PITH_TRY(check_arguments({{"source", given}}, error));
  PITH_TRY(read_struct(given, source, error));
  if (source->text_bytes > 0) PITH_TRY(check_arguments({{"source.text", source->text}}, error));
  if (source->reserved != 0) return fail(error, PITH_E_ABI, "pith_grammar_source: reserved is not 0");
  if (source->kind != PITH_GRAMMAR_GBNF && source->kind != PITH_GRAMMAR_JSON_SCHEMA)
    return fail(error, PITH_E_ARGUMENT, "argument source.kind: ", source->kind, " is no pith_grammar_kind");
  if (source->text_bytes > Grammar::kMaxText)
    return fail(error, PITH_E_LIMIT, "argument source.text_bytes: ", uint64_t(source->text_bytes),
                " are more than 1 MiB");
  if (source->max_states == 0) source->max_states = kDefaultStates;
  if (source->max_states < kMinStates || source->max_states > kMaxStates)
    return fail(error, PITH_E_ARGUMENT, "argument source.max_states: ", source->max_states, " is not within ",
                kMinStates, " .. 2^20");
  return PITH_OK;
}

size_t matcher_bytes(const pith_grammar& grammar, const pith_token_trie& trie) {
  Arena measure;
  TokenMatcher().lay_out(grammar.grammar, trie.trie, &measure);
  return measure.used();
}

}  // namespace

extern "C" {

void pith_grammar_source_init(pith_grammar_source* source, uint32_t struct_size) { init_struct(source, struct_size); }

pith_status pith_grammar_bytes(const pith_grammar_source* source, size_t* out_bytes, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"out_bytes", out_bytes}}, error));
  pith_grammar_source read;
  PITH_TRY(read_source(source, &read, error));
  *out_bytes = Grammar::bytes(read);
  return PITH_OK;
}

pith_status pith_grammar_init(const pith_grammar_source* source, void* memory, size_t memory_bytes,
                              pith_grammar** out_grammar, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"out_grammar", out_grammar}}, error));
  pith_grammar_source read;
  PITH_TRY(read_source(source, &read, error));
  PITH_TRY(check_memory("grammar", memory, memory_bytes, Grammar::bytes(read), error));
  pith_grammar* grammar = static_cast<pith_grammar*>(memory);
  PITH_TRY(grammar->grammar.init(read, memory, error));
  *out_grammar = grammar;
  return PITH_OK;
}

pith_status pith_token_trie_bytes(const pith_tokenizer* tokenizer, size_t* out_bytes, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"tokenizer", tokenizer}, {"out_bytes", out_bytes}}, error));
  *out_bytes = TokenTrie::bytes(tokenizer->tokenizer);
  return PITH_OK;
}

pith_status pith_token_trie_init(const pith_tokenizer* tokenizer, void* memory, size_t memory_bytes,
                                 pith_token_trie** out_trie, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"tokenizer", tokenizer}, {"out_trie", out_trie}}, error));
  PITH_TRY(check_memory("token trie", memory, memory_bytes, TokenTrie::bytes(tokenizer->tokenizer), error));
  pith_token_trie* trie = static_cast<pith_token_trie*>(memory);
  trie->trie.init(tokenizer->tokenizer, memory);
  *out_trie = trie;
  return PITH_OK;
}

pith_status pith_matcher_bytes(const pith_grammar* grammar, const pith_token_trie* trie, size_t* out_bytes,
                               pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"grammar", grammar}, {"trie", trie}, {"out_bytes", out_bytes}}, error));
  *out_bytes = matcher_bytes(*grammar, *trie);
  return PITH_OK;
}

pith_status pith_matcher_init(const pith_grammar* grammar, const pith_token_trie* trie, void* memory,
                              size_t memory_bytes, pith_matcher** out_matcher, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"grammar", grammar}, {"trie", trie}, {"out_matcher", out_matcher}}, error));
  PITH_TRY(check_memory("matcher", memory, memory_bytes, matcher_bytes(*grammar, *trie), error));
  Arena arena(memory);
  pith_matcher* matcher = static_cast<pith_matcher*>(memory);
  matcher->matcher = TokenMatcher();
  matcher->matcher.lay_out(grammar->grammar, trie->trie, &arena);
  PITH_TRY(matcher->matcher.reset(error));
  *out_matcher = matcher;
  return PITH_OK;
}

pith_status pith_matcher_reset(pith_matcher* matcher, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"matcher", matcher}}, error));
  return matcher->matcher.reset(error);
}

pith_status pith_matcher_copy(pith_matcher* to, const pith_matcher* from, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"to", to}, {"from", from}}, error));
  if (to == from) return fail(error, PITH_E_ARGUMENT, "argument to: the same matcher as from");
  if (!to->matcher.is_like(from->matcher))
    return fail(error, PITH_E_ARGUMENT, "argument to: a matcher of another grammar or token trie");
  to->matcher.copy(from->matcher);
  return PITH_OK;
}

pith_status pith_matcher_mask(pith_matcher* matcher, const float* logits, float* out_logits, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"matcher", matcher}, {"logits", logits}, {"out_logits", out_logits}}, error));
  return matcher->matcher.mask(logits, out_logits, error);
}

pith_status pith_matcher_accept(pith_matcher* matcher, int32_t token, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"matcher", matcher}}, error));
  const int32_t n_tokens = matcher->matcher.n_tokens();
  if (token < 0 || token >= n_tokens)
    return fail(error, PITH_E_ARGUMENT, "argument token: ", token, " is not within 0 .. ", n_tokens - 1);
  return matcher->matcher.accept(token, error);
}

int32_t pith_matcher_may_end(const pith_matcher* matcher) {
  return matcher != nullptr && matcher->matcher.may_end() ? 1 : 0;
}

int32_t pith_matcher_is_done(const pith_matcher* matcher) {
  return matcher != nullptr && matcher->matcher.is_done() ? 1 : 0;
}

}  // extern "C"
