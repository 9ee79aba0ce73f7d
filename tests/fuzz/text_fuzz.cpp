// libFuzzer: any bytes as a text, as messages of a chat, as a model's chat template, or as the text of a stream; the first byte says which,
// the second of which tokenizer. A byte-level tokenizer gives back the text that it took; no count depends on the room for it.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "memory.h"
#include "raw_gguf.h"

using namespace pith::fuzz;
using pith::test::RawGguf;

namespace {

constexpr const char* kPatterns[] = {"gpt-2",        "smollm",         "llama-bpe",   "qwen2", "glm4",
                                     "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu", "kimi-k2"};
constexpr size_t kTokenizers = std::size(kPatterns) + 1;  // the last one is SentencePiece's

RawGguf with_merges(const char* pattern) {
  RawGguf file = pith::test::tiny_packed();
  file.set_u32("egmla.vocab_size", 257);
  file.set_string("tokenizer.ggml.pre", pattern);
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  const char* const longer[] = {
      "th", "the", "in", "ing", "\xc4\xa0t", "\xc4\xa0the", "\xc4\xa0\xc4\xa0", "<|im_start|>", "<|im_end|>"};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(pith::test::byte_token(byte));
  types.assign(tokens.size(), 1);
  // 257 rows: some bytes that no text of UTF-8 has give way.
  const int never[] = {0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc};
  tokens.push_back(longer[8]);
  types.push_back(3);
  for (size_t i = 0; i < std::size(never); ++i) {
    tokens[size_t(never[i])] = longer[i];
    types[size_t(never[i])] = i == 7 ? 3 : 1;
  }
  file.set("tokenizer.ggml.tokens", pith::test::kArray, pith::test::string_array(tokens));
  file.set("tokenizer.ggml.token_type", pith::test::kArray, pith::test::number_array<int32_t>(pith::test::kI32, types));
  file.set("tokenizer.ggml.merges", pith::test::kArray,
           pith::test::string_array({"t h", "th e", "i n", "in g", "\xc4\xa0 t", "\xc4\xa0t he", "\xc4\xa0 \xc4\xa0"}));
  return file;
}

RawGguf with_scores() {
  RawGguf file = pith::test::tiny_packed();
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;
  const auto add = [&](const std::string& token, int32_t type, float score) {
    tokens.push_back(token);
    types.push_back(type);
    scores.push_back(score);
  };
  add("<unk>", 2, 0);
  add("<s>", 3, 0);
  add("</s>", 3, 0);
  for (const char* piece : {"\xe2\x96\x81", "t", "h", "e", "th", "the", "\xe2\x96\x81the", "aa", "aaaa", "\xc3\xa4"})
    add(piece, 1, -float(tokens.size()));
  while (tokens.size() < 257) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", unsigned(tokens.size() - 13));
    add(name, 6, 0);
  }
  file.set_string("tokenizer.ggml.model", "llama");
  file.set("tokenizer.ggml.tokens", pith::test::kArray, pith::test::string_array(tokens));
  file.set("tokenizer.ggml.token_type", pith::test::kArray, pith::test::number_array<int32_t>(pith::test::kI32, types));
  file.set("tokenizer.ggml.scores", pith::test::kArray, pith::test::number_array<float>(pith::test::kF32, scores));
  file.remove("tokenizer.ggml.merges");
  file.remove("tokenizer.ggml.pre");
  return file;
}

// A model with its tokenizer, or without one where the file is refused.
struct Opened {
  explicit Opened(const RawGguf& raw) {
    const pith::test::Bytes bytes = raw.build();
    file = copy_of(bytes.data(), bytes.size());
    size_t need = 0;
    if (pith_model_bytes(file.get(), bytes.size(), &need, nullptr) != PITH_OK) return;
    model_memory = memory_of(need);
    if (pith_model_init(file.get(), bytes.size(), model_memory.get(), need, &model, nullptr) != PITH_OK) return;
    if (pith_tokenizer_bytes(model, &need, nullptr) != PITH_OK) return;
    tokenizer_memory = memory_of(need);
    if (pith_tokenizer_init(model, tokenizer_memory.get(), need, &tokenizer, nullptr) != PITH_OK) tokenizer = nullptr;
  }
  Memory file, model_memory, tokenizer_memory;
  pith_model* model = nullptr;
  pith_tokenizer* tokenizer = nullptr;
};

const Opened& opened(size_t index) {
  static std::vector<Opened> all;
  if (all.empty()) {
    for (const char* pattern : kPatterns) all.emplace_back(with_merges(pattern));
    all.emplace_back(with_scores());
    for (const Opened& o : all) require(o.tokenizer != nullptr);
  }
  return all[index];
}

void encode(const pith_tokenizer* tokenizer, const std::string& text, uint32_t flags) {
  const Memory exact = copy_of(text.data(), text.size()), work = memory_of(pith_tokenizer_work_bytes(text.size()));
  const char* begin = static_cast<const char*>(exact.get());
  const auto into = [&](int32_t* tokens, size_t capacity, size_t* count) {
    return pith_tokenizer_encode(tokenizer, begin, text.size(), flags, tokens, capacity, count, work.get(),
                                 pith_tokenizer_work_bytes(text.size()), nullptr);
  };
  size_t count = 0, other_count = 0;
  const pith_status status = into(nullptr, 0, &count);
  if (status == PITH_E_ARGUMENT) return;  // a byte without a token
  require(status == (count == 0 ? PITH_OK : PITH_E_CAPACITY) && count <= text.size() + 2);
  const Memory memory = memory_of(count * sizeof(int32_t)), fewer = memory_of(count / 2 * sizeof(int32_t));
  int32_t* tokens = static_cast<int32_t*>(memory.get());
  require(into(tokens, count, &other_count) == PITH_OK && other_count == count);
  static_cast<void>(into(static_cast<int32_t*>(fewer.get()), count / 2, &other_count));
  require(other_count == count && std::memcmp(memory.get(), fewer.get(), count / 2 * sizeof(int32_t)) == 0);
  std::string back;
  for (size_t i = 0; i < count; ++i) {
    const char* piece = nullptr;
    size_t bytes = 0;
    require(pith_tokenizer_token_text(tokenizer, tokens[i], &piece, &bytes, nullptr) == PITH_OK);
    back.append(piece, bytes);
  }
  if (tokenizer != opened(kTokenizers - 1).tokenizer) require(back == text);
}

void encode_chat(const Opened& of, const char* name, const std::string& text) {
  pith_chat_options options;
  pith_chat_options_init(&options, sizeof options);
  options.template_name = name;
  size_t bytes = 0;
  require(pith_chat_bytes(of.model, of.tokenizer, &options, &bytes, nullptr) == PITH_OK);
  const Memory memory = memory_of(bytes);
  pith_chat* chat = nullptr;
  if (pith_chat_init(of.model, of.tokenizer, &options, memory.get(), bytes, &chat, nullptr) != PITH_OK) return;
  std::vector<pith_message> messages;  // one after every NUL, whose role its first letter says
  for (size_t at = 0; at < text.size() && messages.size() < 8;) {
    const size_t end = std::min(text.find('\0', at), text.size());
    messages.push_back({uint32_t(text[at] & 3), 0, text.data() + at, end - at});
    at = end + 1;
  }
  for (uint32_t flags = 0; flags < 8; ++flags) {
    const size_t work_bytes = pith_chat_work_bytes(chat, messages.data(), messages.size(), flags);
    if (work_bytes == 0) continue;
    const Memory work = memory_of(work_bytes);
    size_t count = 0, again = 0;
    const pith_status status = pith_chat_encode(chat, messages.data(), messages.size(), flags, nullptr, 0, &count,
                                                work.get(), work_bytes, nullptr);
    if (status != PITH_E_CAPACITY) continue;
    const Memory tokens = memory_of(count * sizeof(int32_t));
    require(pith_chat_encode(chat, messages.data(), messages.size(), flags, static_cast<int32_t*>(tokens.get()), count,
                             &again, work.get(), work_bytes, nullptr) == PITH_OK &&
            again == count);
  }
  for (size_t i = 0; pith_chat_stop(chat, i) != nullptr; ++i) require(i < PITH_STREAM_MAX_STOPS);
}

void read_template(const char* pattern, const std::string& text) {
  RawGguf file = with_merges(pattern);
  file.set_string("tokenizer.chat_template", text);
  const Opened of(file);
  if (of.tokenizer != nullptr) encode_chat(of, nullptr, std::string("\1hello\0\2hi", 10));
}

// The text in pieces, whose lengths the text gives: what comes out does not depend on them.
void stream(const std::string& text) {
  const char* const stops[] = {"<|im_end|>", "\n\n", "aab"};
  std::string shown[2];
  for (const bool is_whole : {true, false}) {
    pith_stream state{};
    state.struct_size = sizeof state;
    require(pith_stream_init(&state, stops, std::size(stops), nullptr) == PITH_OK);
    const auto take = [&](size_t at, size_t n, bool is_end) {
      const size_t capacity = pith_stream_capacity(n);
      const Memory in = copy_of(text.data() + at, n), out = memory_of(capacity);
      size_t bytes = 0;
      require((is_end ? pith_stream_finish(&state, static_cast<char*>(out.get()), capacity, &bytes, nullptr)
                      : pith_stream_push(&state, static_cast<const char*>(in.get()), n, static_cast<char*>(out.get()),
                                         capacity, &bytes, nullptr)) == PITH_OK);
      shown[is_whole].append(static_cast<const char*>(out.get()), bytes);
    };
    for (size_t at = 0; at < text.size();) {
      const size_t n = is_whole ? text.size() : std::min(text.size() - at, 1 + size_t(text[at] & 3));
      take(at, n, false);
      at += n;
    }
    take(0, 0, true);
  }
  require(shown[0] == shown[1]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t index = data[1] % kTokenizers;
  const std::string text(reinterpret_cast<const char*>(data) + 2, size - 2);
  switch (data[0]) {
    case 'e': encode(opened(index).tokenizer, text, PITH_ENCODE_NO_BOS); break;
    case 's': encode(opened(index).tokenizer, text, PITH_ENCODE_NO_BOS | PITH_ENCODE_SPECIALS); break;
    case 'c': {
      size_t n = 0;
      while (pith_chat_template_name(n) != nullptr) ++n;
      if (!text.empty()) encode_chat(opened(index), pith_chat_template_name(uint8_t(text[0]) % n), text.substr(1));
      break;
    }
    case 't': read_template(kPatterns[index % std::size(kPatterns)], text); break;
    case 'u': stream(text); break;
    default: break;
  }
  return 0;
}
