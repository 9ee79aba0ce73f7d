// The vocabulary of a Hugging Face folder as the metadata keys that GGUF has for it: tokenizer.ggml.* and the chat template.
#ifndef PITH_QUANTIZE_HF_VOCABULARY_H
#define PITH_QUANTIZE_HF_VOCABULARY_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "document.h"
#include "gguf_writer.h"

namespace pith::quantize {

// What the folder says of text; null or empty where it has no such file.
struct HfTextFiles {
  json::Document tokenizer;          // tokenizer.json
  json::Document tokenizer_config;   // tokenizer_config.json
  json::Document generation_config;  // generation_config.json
  json::Document config;             // config.json
  std::string sentence_piece;        // tokenizer.model
  std::string chat_template;         // chat_template.jinja
};

// Token types of GGUF.
enum class TokenType : int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct HfVocabulary {
  std::string model;  // "gpt2": byte-level BPE; "llama": SentencePiece's BPE; empty: none that a file can hold
  std::string pre;    // gpt2: the splitting of text before the merges; "unknown" if it has no name here
  std::vector<std::string> tokens;  // [V], those without text as "[PAD<id>]"
  std::vector<TokenType> types;     // [V]
  std::vector<std::string> merges;  // gpt2
  std::vector<float> scores;        // llama: [V]
  std::optional<uint32_t> bos, eos, end_of_turn, end_of_message, unknown, padding;  // ids
  std::optional<bool> adds_bos, adds_space;                                         // before a text
  std::string chat_template;
  std::vector<std::string> notices;  // sentences for the user: why text or a part of it is not to be had

  void write(GgufWriter* writer) const;
};

// The files are untrusted. Nothing here throws for what they say: a vocabulary that is malformed, or of another kind, is left
// out, with a notice.
HfVocabulary read_hf_vocabulary(const HfTextFiles& files, uint32_t vocab_size);

}  // namespace pith::quantize

#endif
