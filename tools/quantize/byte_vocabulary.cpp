#include "byte_vocabulary.h"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

namespace pith::quantize {
namespace {

constexpr std::string_view kLetters = "etaoinshrdlucmwfgypbvkxjqz";  // by frequency in English
constexpr size_t kSpaceId = 1 + 32;

// The character that stands for a byte in GPT-2's alphabet, as UTF-8.
std::string byte_token(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += !printable(b);
  }
  if (code < 128) return std::string(1, char(code));
  return {char(0xc0 | code >> 6), char(0x80 | (code & 63))};
}

}  // namespace

void write_byte_vocabulary(int32_t vocab_size, GgufWriter* out) {
  if (vocab_size < 257)
    throw std::runtime_error(
        fmt::format("key egmla.vocab_size: {}; the 256 bytes and an end of text need 257", vocab_size));
  const size_t n = size_t(vocab_size);
  std::vector<std::string> tokens = {"<|endoftext|>"}, merges;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(byte_token(byte));
  for (size_t next = tokens.size(), parent = kSpaceId; tokens.size() < n;
       parent = parent == kSpaceId ? next : parent + 1) {
    for (const char letter : kLetters) {
      if (tokens.size() == n) break;
      merges.push_back(tokens[parent] + " " + letter);
      tokens.push_back(tokens[parent] + letter);
    }
  }
  std::vector<int32_t> types(n, 1);  // llama.cpp's token types: normal
  types[0] = 3;                      // control
  out->add_string("tokenizer.ggml.model", "gpt2");
  out->add_string("tokenizer.ggml.pre", "gpt-2");
  out->add_array_of_strings("tokenizer.ggml.tokens", tokens);
  out->add_array_i32("tokenizer.ggml.token_type", types);
  out->add_array_of_strings("tokenizer.ggml.merges", merges);
  out->add_u32("tokenizer.ggml.bos_token_id", 0);
  out->add_u32("tokenizer.ggml.eos_token_id", 0);
}

}  // namespace pith::quantize
