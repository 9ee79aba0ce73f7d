#include "text/vocabulary.h"

#include <algorithm>

#include "ground/status.h"
#include "text/byte_alphabet.h"

namespace pith::internal {
namespace {

// Tokens that end an answer whatever the file's keys say: published models end their turns with them. They count where
// they are control tokens or added ones.
constexpr std::string_view kEndNames[] = {
    "<|im_end|>",    "<|eot_id|>",         "<|eom_id|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>",      "<|eot|>",
    "<end_of_turn>", "<end_of_utterance>", "<EOT>",      "_<EOT>",  "[EOT]",         "<｜end▁of▁sentence｜>"};

bool is_added(TokenType type) {
  return type == TokenType::control || type == TokenType::unknown || type == TokenType::user_defined;
}

struct Sizes {
  size_t longest = 0, added = 0;  // bytes of the longest token, of all added ones
};

Sizes sizes_of(const TokenArrays& arrays) {
  Sizes sizes;
  StringArray stored(*arrays.tokens);
  for (int32_t id = 0; stored.left() > 0; ++id) {
    const size_t n = stored.next().size();
    sizes.longest = std::max(sizes.longest, n);
    if (is_added(arrays.type(id))) sizes.added += n;
  }
  return sizes;
}

}  // namespace

TokenType TokenArrays::type(int32_t id) const {
  const int32_t number = types == nullptr ? 1 : read_le<int32_t>(types->value + 4 * size_t(id));
  const bool is_known = number >= 1 && number <= 6;
  if (!is_known || (number == 6 && alphabet == TokenAlphabet::gpt2)) return TokenType::normal;
  return TokenType(number);
}

pith_status Vocabulary::check_sizes(const TokenArrays& arrays, pith_error* error) {
  if (arrays.tokens->value_bytes >= kMaxBytes)
    return fail(error, PITH_E_LIMIT, "key ", kTokensKey, ": more than 1 GiB");
  if (sizes_of(arrays).added > AddedTokens::kMaxBytes)
    return fail(error, PITH_E_LIMIT, "key ", kTokensKey, ": special and added tokens of more than 32 MiB");
  return PITH_OK;
}

void Vocabulary::lay_out(Arena* arena, const TokenArrays& arrays) {
  const Sizes sizes = sizes_of(arrays);
  n_tokens_ = int32_t(arrays.tokens->count);
  longest_ = sizes.longest;
  alphabet_ = arrays.alphabet;
  size_t n_slots = 16;
  while (n_slots < 2 * size_t(n_tokens_)) n_slots *= 2;
  id_mask_ = uint32_t(n_slots - 1);
  text_ = arena->take<char>(arrays.tokens->value_bytes + longest_);  // a token has no more bytes than its stored text
  offsets_ = arena->take<uint32_t>(size_t(n_tokens_) + 1);
  types_ = arena->take<uint8_t>(size_t(n_tokens_));
  id_slots_ = arena->take<int32_t>(n_slots);
  added_.lay_out(arena, sizes.added);
}

pith_status Vocabulary::read(const ModelFile& file, const TokenArrays& arrays, pith_error* error) {
  std::fill(id_slots_, id_slots_ + size_t(id_mask_) + 1, -1);
  std::fill(byte_ids_, byte_ids_ + 256, -1);
  added_.clear();
  PITH_TRY(read_tokens(arrays, error));
  added_.finish();
  PITH_TRY(read_specials(file, error));
  read_bytes();
  mark_ends();
  return PITH_OK;
}

pith_status Vocabulary::read_tokens(const TokenArrays& arrays, pith_error* error) {
  StringArray stored(*arrays.tokens);
  offsets_[0] = 0;
  for (int32_t id = 0; id < n_tokens_; ++id) {
    const std::string_view text = stored.next();
    if (text.empty()) return fail(error, PITH_E_VOCABULARY, "key ", kTokensKey, ": token ", id, " is empty");
    PITH_TRY(read_token(arrays, id, text, error));
  }
  return PITH_OK;
}

pith_status Vocabulary::read_token(const TokenArrays& arrays, int32_t id, std::string_view stored, pith_error* error) {
  const TokenType type = arrays.type(id);
  const bool is_gpt2 = arrays.alphabet == TokenAlphabet::gpt2;
  char* out = text_ + offsets_[id];
  types_[id] = uint8_t(type);
  size_t n = stored.size();
  if (type == TokenType::byte) {
    const int32_t byte = byte_of_name(stored);
    if (byte < 0)
      return fail(error, PITH_E_VOCABULARY, "key ", kTokensKey, ": token ", id, " (\"", stored,
                  "\") is of type byte, but is not written as <0xXX>");
    *out = char(byte);
    n = 1;
    if (byte_ids_[byte] < 0) byte_ids_[byte] = id;
    has_byte_tokens_ = true;
  } else if (is_gpt2 && type == TokenType::normal) {
    const int64_t n_bytes = gpt2_bytes(stored, out, n);
    if (n_bytes < 0)
      return fail(error, PITH_E_VOCABULARY, "key ", kTokensKey, ": token ", id,
                  " is not in the byte alphabet of GPT-2");
    n = size_t(n_bytes);
  } else if (is_gpt2 || type == TokenType::control || type == TokenType::unknown) {
    std::copy(stored.begin(), stored.end(), out);
  } else {
    n = with_blanks(stored, out);
  }
  offsets_[id + 1] = offsets_[id] + uint32_t(n);
  if (type == TokenType::normal || (!is_gpt2 && type == TokenType::user_defined)) PITH_TRY(enter(id, error));
  if (is_added(type))
    added_.add(bytes(id), id,
               type == TokenType::user_defined ? AddedTokens::Kind::user_defined : AddedTokens::Kind::special);
  if (type == TokenType::unknown && unknown_ < 0) unknown_ = id;
  return PITH_OK;
}

pith_status Vocabulary::enter(int32_t id, pith_error* error) {
  const uint32_t first = uint32_t(mix(ByteHash::of(bytes(id))));
  for (uint32_t i = 0; i < kMaxProbes; ++i) {
    int32_t& slot = id_slots_[(first + i) & id_mask_];
    if (slot < 0) slot = id;
    if (slot == id || bytes(slot) == bytes(id)) return PITH_OK;
  }
  return fail(error, PITH_E_LIMIT, "key ", kTokensKey, ": token ", id, " collides with more than ", kMaxProbes,
              " others in a hash table");
}

int32_t Vocabulary::find(uint64_t hash, std::string_view wanted) const {
  const uint32_t first = uint32_t(mix(hash));
  for (uint32_t i = 0; i < kMaxProbes; ++i) {
    const int32_t id = id_slots_[(first + i) & id_mask_];
    if (id < 0 || bytes(id) == wanted) return id;
  }
  return -1;
}

// A byte of byte-level BPE is a token like the others.
void Vocabulary::read_bytes() {
  if (alphabet_ != TokenAlphabet::gpt2) return;
  for (int32_t byte = 0; byte < 256; ++byte) {
    const char c = char(byte);
    byte_ids_[byte] = find({&c, 1});
  }
}

pith_status Vocabulary::read_specials(const ModelFile& file, pith_error* error) {
  PITH_TRY(read_special(file, "tokenizer.ggml.bos_token_id", &bos_, error));
  PITH_TRY(read_special(file, "tokenizer.ggml.eos_token_id", &eos_, error));
  PITH_TRY(read_special(file, "tokenizer.ggml.eot_token_id", &end_of_turn_, error));
  PITH_TRY(read_special(file, "tokenizer.ggml.eom_token_id", &end_of_message_, error));
  PITH_TRY(read_special(file, "tokenizer.ggml.unknown_token_id", &unknown_, error));
  PITH_TRY(file.get_bool("tokenizer.ggml.add_bos_token", &adds_bos_, nullptr, error));
  adds_space_ = alphabet_ == TokenAlphabet::sentence_piece;
  PITH_TRY(file.get_bool("tokenizer.ggml.add_space_prefix", &adds_space_, nullptr, error));
  if (adds_bos_ && bos_ < 0)
    return fail(error, PITH_E_VOCABULARY,
                "key tokenizer.ggml.add_bos_token: true, but tokenizer.ggml.bos_token_id is missing");
  return PITH_OK;
}

pith_status Vocabulary::read_special(const ModelFile& file, const char* key, int32_t* id, pith_error* error) const {
  uint64_t value = 0;
  bool found = false;
  PITH_TRY(file.get_uint(key, &value, &found, error));
  if (!found) return PITH_OK;
  if (value >= uint64_t(n_tokens_))
    return fail(error, PITH_E_VOCABULARY, "key ", key, ": ", value, " is not below ", n_tokens_);
  *id = int32_t(value);
  return PITH_OK;
}

void Vocabulary::mark_ends() {
  const auto mark = [&](int32_t id) {
    if (id >= 0) types_[id] |= kEndBit;
  };
  for (const int32_t id : {eos_, end_of_turn_, end_of_message_}) mark(id);
  for (const std::string_view name : kEndNames) mark(added_.find(name));
}

}  // namespace pith::internal
