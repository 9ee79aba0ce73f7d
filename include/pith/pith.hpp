// pith.hpp - the C++20 wrapper of pith.h: owns the mapping of the model file and every block of memory.
//
//     pith::Model model = pith::Model::open("model.gguf");
//     pith::Session session(model);
//     session.eval(pith::Tokenizer(model).encode("Once upon a time"));
//     std::span<const float> logits = session.logits();
//
// Every call that can fail is there twice: `eval` throws pith::Error, `try_eval` returns a pith::Result (result.hpp).
// The same for constructors and `create`, for Model::open and try_open. In a program compiled without exceptions only
// the second of each is there. What a call does, and when it fails, stands at the function of pith.h that it is named
// after.
//
// Objects refer to the model that they were made from: keep it alive (it may be moved: its memory stays where it is).
#ifndef PITH_HPP
#define PITH_HPP

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cpus.hpp"
#include "grammar.hpp"
#include "mapped_file.hpp"
#include "pith.h"
#include "placed.hpp"
#include "read_file.hpp"
#include "result.hpp"
#include "text_stream.hpp"

namespace pith {

// ---- Version, statuses, instruction sets
// -----------------------------------------------------------------------------

inline std::string_view version() { return pith_version(); }
inline uint32_t version_number() { return pith_version_number(); }
// Whether the library that runs is at least of the version that this program was compiled with.
inline bool is_library_new_enough() { return version_number() >= PITH_VERSION_NUMBER; }
inline std::string_view status_string(pith_status status) { return pith_status_string(status); }
inline size_t alignment_shift(const void* address) { return pith_alignment_shift(address); }

struct TierName {
  std::string_view name;
  bool is_usable;  // this CPU has it
};
// The tiers compiled in, best first.
inline std::vector<TierName> tiers() {
  std::vector<TierName> out;
  int usable = 0;
  for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) out.push_back({name, usable != 0});
  return out;
}

// ---- Model
// -----------------------------------------------------------------------------------------------------------

class Model {
 public:
  // Maps the file: fast, and its pages are shared and go when memory is short. Replace a model file by renaming a new
  // one over it: writing into it would change a running model, and truncating it (or a disk that fails) ends the
  // process by SIGBUS at the next read of a page that is gone. Where that may happen, read the file instead.
  static Result<Model> try_open(const std::string& path) {
    Result<MappedFile> file = MappedFile::open(path);
    if (!file) return file.error();
    Result<Model> model = try_view(file->data(), file->size());
    if (model) model->file_ = std::move(*file);
    return model;
  }
  // Reads the file into memory: a failing disk is an error here, and afterwards the file may be cut, overwritten or
  // gone. It takes the file's size of memory, which no other process shares.
  static Result<Model> try_read(const std::string& path) {
    Result<Memory> bytes = read_file(path);
    if (!bytes) return bytes.error();
    Result<Model> model = try_view(bytes->data(), bytes->size());
    if (model) model->bytes_ = std::move(*bytes);
    return model;
  }
#ifndef _WIN32
  // Maps a part of a file, such as an asset inside an application's archive; the descriptor may be closed afterwards.
  // PITH_E_ALIGNMENT: the offset is no multiple of PITH_ALIGNMENT.
  static Result<Model> try_open(int descriptor, uint64_t offset, size_t bytes) {
    Result<MappedFile> file = MappedFile::open(descriptor, offset, bytes);
    if (!file) return file.error();
    Result<Model> model = try_view(file->data(), file->size());
    if (model) model->file_ = std::move(*file);
    return model;
  }
#endif
  // Bytes that the caller keeps, at a multiple of PITH_ALIGNMENT.
  static Result<Model> try_view(const void* data, size_t data_bytes) {
    Result<Placed<pith_model>> placed = place<pith_model>(
        [&](size_t* bytes, pith_error* error) { return pith_model_bytes(data, data_bytes, bytes, error); },
        [&](void* memory, size_t bytes, pith_model** out, pith_error* error) {
          return pith_model_init(data, data_bytes, memory, bytes, out, error);
        });
    if (!placed) return placed.error();
    return Model(std::move(*placed));
  }

  const pith_model* get() const { return placed_.object; }
  // Of the mapped file, and of these in memory now: pages come from the file as they are read, and go when memory is
  // short. 0 of a view, and of a file that was read.
  size_t mapped_bytes() const { return file_.size(); }
  size_t resident_bytes() const { return file_.resident_bytes(); }
  // Asks the system to read the weights that every token needs before one does; experts come as tokens choose them.
  void read_ahead() const {
    if (file_.size() == 0) return;
    const Result<pith_model_info> known = try_info();
    for (size_t i = 0; known && i < tensor_count(); ++i) {
      const Result<pith_tensor> t = try_tensor(i);
      if (!t) return;
      const std::string_view name(t->name, t->name_bytes);
      const bool is_table = name.starts_with("gate_embd.") || (name == "token_embd.weight" && known->tied_output == 0);
      if (!is_table && !name.ends_with("_exps.weight")) file_.read_ahead(t->data, size_t(t->data_bytes));
    }
  }
  Result<pith_model_info> try_info() const {
    return filled<pith_model_info>([&](auto* out, auto* error) { return pith_model_get_info(get(), out, error); });
  }
  size_t metadata_count() const { return pith_model_metadata_count(get()); }
  Result<pith_metadata> try_metadata(size_t index) const {
    return filled<pith_metadata>(
        [&](auto* out, auto* error) { return pith_model_get_metadata(get(), index, out, error); });
  }
  Result<pith_metadata> try_find_metadata(const std::string& key) const {
    return filled<pith_metadata>(
        [&](auto* out, auto* error) { return pith_model_find_metadata(get(), key.c_str(), out, error); });
  }
  Result<pith_metadata> try_metadata_element(size_t index, uint64_t element) const {
    return filled<pith_metadata>(
        [&](auto* out, auto* error) { return pith_model_get_metadata_element(get(), index, element, out, error); });
  }
  size_t tensor_count() const { return pith_model_tensor_count(get()); }
  Result<pith_tensor> try_tensor(size_t index) const {
    return filled<pith_tensor>([&](auto* out, auto* error) { return pith_model_get_tensor(get(), index, out, error); });
  }

#if PITH_EXCEPTIONS
  static Model open(const std::string& path) { return try_open(path).value(); }
  static Model read(const std::string& path) { return try_read(path).value(); }
#ifndef _WIN32
  static Model open(int descriptor, uint64_t offset, size_t bytes) {
    return try_open(descriptor, offset, bytes).value();
  }
#endif
  static Model view(const void* data, size_t data_bytes) { return try_view(data, data_bytes).value(); }
  pith_model_info info() const { return try_info().value(); }
  pith_metadata metadata(size_t index) const { return try_metadata(index).value(); }
  pith_metadata find_metadata(const std::string& key) const { return try_find_metadata(key).value(); }
  pith_metadata metadata_element(size_t index, uint64_t element) const {
    return try_metadata_element(index, element).value();
  }
  pith_tensor tensor(size_t index) const { return try_tensor(index).value(); }
#endif

 private:
  explicit Model(Placed<pith_model> placed) : placed_(std::move(placed)) {}
  template <typename Struct, typename Call>
  static Result<Struct> filled(const Call& call) {
    Struct out = sized<Struct>();
    pith_error error;
    const pith_status status = call(&out, &error);
    if (status != PITH_OK) return Failure(status, error);
    return out;
  }

  MappedFile file_;
  Memory bytes_;  // of a file that was read
  Placed<pith_model> placed_;
};

// ---- Session
// ---------------------------------------------------------------------------------------------------------

inline pith_session_options session_options() {
  pith_session_options options;
  pith_session_options_init(&options, sizeof options);
  return options;
}

class Session {
 public:
  // What a session will take, before it takes it.
  static Result<pith_session_plan> try_plan(const Model& model, const pith_session_options& options) {
    pith_session_plan out = sized<pith_session_plan>();
    pith_error error;
    const pith_status status = pith_session_get_plan(model.get(), &options, &out, &error);
    if (status != PITH_OK) return Failure(status, error);
    return out;
  }
  static Result<Session> create(const Model& model, const pith_session_options& options = session_options()) {
    const Result<pith_model_info> info = model.try_info();
    if (!info) return info.error();
    Result<Placed<pith_session>> placed = place<pith_session>(
        [&](size_t* bytes, pith_error* error) { return pith_session_bytes(model.get(), &options, bytes, error); },
        [&](void* memory, size_t bytes, pith_session** out, pith_error* error) {
          return pith_session_init(model.get(), &options, memory, bytes, out, error);
        });
    if (!placed) return placed.error();
    return Session(std::move(*placed), info->vocab_size, info->width);
  }

  pith_session* get() const { return placed_.object; }
  size_t bytes() const { return placed_.memory.size(); }
  Result<void> try_eval(std::span<const int32_t> tokens) {
    pith_error error;
    return result_of(pith_session_eval(get(), tokens.data(), tokens.size(), &error), error);
  }
  Result<void> try_eval(int32_t token) { return try_eval(std::span(&token, 1)); }
  // [vocab_size], valid until the next call; empty where there are none.
  std::span<const float> logits() const {
    const float* first = pith_session_logits(get());
    return {first, first == nullptr ? 0 : vocab_size_};
  }
  // [width], likewise: the last token's normed hidden state.
  std::span<const float> hidden() const {
    const float* first = pith_session_hidden(get());
    return {first, first == nullptr ? 0 : width_};
  }
  // Every token's, [tokens, vocab_size] and [tokens, width]; either may be empty: not wanted.
  Result<void> try_eval_each(std::span<const int32_t> tokens, std::span<float> logits, std::span<float> hidden) {
    const auto is_wrong = [&](std::span<float> out, size_t width) {
      return !out.empty() && out.size() != tokens.size() * width;
    };
    if (is_wrong(logits, vocab_size_) || is_wrong(hidden, width_))
      return Failure(PITH_E_ARGUMENT, "argument logits or hidden: must hold a row for every token, or be empty");
    pith_error error;
    return result_of(
        pith_session_eval_each(get(), tokens.data(), tokens.size(), logits.empty() ? nullptr : logits.data(),
                               hidden.empty() ? nullptr : hidden.data(), &error),
        error);
  }
  uint64_t position() const { return pith_session_position(get()); }
  Result<void> try_reset() {
    pith_error error;
    return result_of(pith_session_reset(get(), &error), error);
  }
  // From any thread or signal handler, while another is inside eval: that fails with PITH_E_CANCELLED.
  void cancel() { pith_session_cancel(get()); }
  // To an earlier position, without logits.
  Result<void> try_rewind(uint64_t position) {
    pith_error error;
    return result_of(pith_session_rewind(get(), position, &error), error);
  }
  // Of the same model and options.
  Result<void> try_copy_from(Session& other) {
    pith_error error;
    return result_of(pith_session_copy(get(), other.get(), &error), error);
  }
  size_t state_bytes() const { return pith_session_state_bytes(get()); }
  Result<std::vector<uint8_t>> try_save() { return saved(get(), state_bytes(), pith_session_save); }
  Result<void> try_restore(std::span<const uint8_t> state) {
    pith_error error;
    return result_of(pith_session_restore(get(), address_of(state), state.size(), &error), error);
  }
  Result<void> try_set_threads(uint32_t n_threads) {
    pith_error error;
    return result_of(pith_session_set_threads(get(), n_threads, &error), error);
  }
  uint32_t threads() const { return pith_session_threads(get()); }  // that there are, of those asked for
  std::string_view tier() const { return pith_session_tier(get()); }
  uint64_t attention_ns() const { return pith_session_attention_ns(get()); }  // experimental

#if PITH_EXCEPTIONS
  explicit Session(const Model& model, const pith_session_options& options = session_options())
      : Session(create(model, options).value()) {}
  static pith_session_plan plan(const Model& model, const pith_session_options& options) {
    return try_plan(model, options).value();
  }
  void eval(std::span<const int32_t> tokens) { try_eval(tokens).value(); }
  void eval(int32_t token) { try_eval(token).value(); }
  void eval_each(std::span<const int32_t> tokens, std::span<float> logits, std::span<float> hidden = {}) {
    try_eval_each(tokens, logits, hidden).value();
  }
  void reset() { try_reset().value(); }
  void rewind(uint64_t position) { try_rewind(position).value(); }
  void copy_from(Session& other) { try_copy_from(other).value(); }
  std::vector<uint8_t> save() { return try_save().value(); }
  void restore(std::span<const uint8_t> state) { try_restore(state).value(); }
  void set_threads(uint32_t n_threads) { try_set_threads(n_threads).value(); }
#endif

 private:
  Session(Placed<pith_session> placed, uint32_t vocab_size, uint32_t width)
      : placed_(std::move(placed)), vocab_size_(vocab_size), width_(width) {}
  Placed<pith_session> placed_;
  size_t vocab_size_, width_;
};

// ---- Sampler
// ---------------------------------------------------------------------------------------------------------

inline pith_sampler_options sampler_options() {
  pith_sampler_options options;
  pith_sampler_options_init(&options, sizeof options);
  return options;
}

class Sampler {
 public:
  static Result<Sampler> create(uint32_t vocab_size, const pith_sampler_options& options = sampler_options()) {
    Result<Placed<pith_sampler>> placed = place<pith_sampler>(
        [&](size_t* bytes, pith_error* error) { return pith_sampler_bytes(&options, vocab_size, bytes, error); },
        [&](void* memory, size_t bytes, pith_sampler** out, pith_error* error) {
          return pith_sampler_init(&options, vocab_size, memory, bytes, out, error);
        });
    if (!placed) return placed.error();
    return Sampler(std::move(*placed), vocab_size);
  }

  pith_sampler* get() const { return placed_.object; }
  Result<void> try_accept(int32_t token) {
    pith_error error;
    return result_of(pith_sampler_accept(get(), token, &error), error);
  }
  // [vocab_size] logits; PITH_E_ARGUMENT for fewer, such as those of a session without any.
  Result<int32_t> try_draw(std::span<const float> logits) {
    if (logits.size() != vocab_size_)
      return Failure(PITH_E_ARGUMENT, "argument logits: " + std::to_string(logits.size()) + " of them for " +
                                          std::to_string(vocab_size_) + " tokens; evaluate a token first");
    int32_t token = 0;
    pith_error error;
    const pith_status status = pith_sampler_draw(get(), logits.data(), &token, &error);
    if (status != PITH_OK) return Failure(status, error);
    return token;
  }
  Result<void> try_set_seed(uint64_t seed) {
    pith_error error;
    return result_of(pith_sampler_set_seed(get(), seed, &error), error);
  }
  size_t state_bytes() const { return pith_sampler_state_bytes(get()); }
  Result<std::vector<uint8_t>> try_save() const {
    return saved<const pith_sampler>(get(), state_bytes(), pith_sampler_save);
  }
  Result<void> try_restore(std::span<const uint8_t> state) {
    pith_error error;
    return result_of(pith_sampler_restore(get(), address_of(state), state.size(), &error), error);
  }

#if PITH_EXCEPTIONS
  explicit Sampler(uint32_t vocab_size, const pith_sampler_options& options = sampler_options())
      : Sampler(create(vocab_size, options).value()) {}
  void accept(int32_t token) { try_accept(token).value(); }
  int32_t draw(std::span<const float> logits) { return try_draw(logits).value(); }
  void set_seed(uint64_t seed) { try_set_seed(seed).value(); }
  std::vector<uint8_t> save() const { return try_save().value(); }
  void restore(std::span<const uint8_t> state) { try_restore(state).value(); }
#endif

 private:
  Sampler(Placed<pith_sampler> placed, uint32_t vocab_size) : placed_(std::move(placed)), vocab_size_(vocab_size) {}
  Placed<pith_sampler> placed_;
  uint32_t vocab_size_;
};

// ---- Log-probabilities
// -----------------------------------------------------------------------------------------------

struct Logprobs {
  float logprob;                  // of the token that was asked about
  std::vector<pith_logprob> top;  // the likeliest first
};
// [vocab_size] logits, those that `token` was drawn from or that come before it in a text; and the k likeliest tokens.
inline Result<Logprobs> try_logprobs(std::span<const float> logits, int32_t token, uint32_t k = 0) {
  Logprobs out{0, std::vector<pith_logprob>(k)};
  pith_error error;
  const pith_status status =
      pith_logprobs(logits.data(), uint32_t(logits.size()), token, &out.logprob, k, out.top.data(), &error);
  if (status != PITH_OK) return Failure(status, error);
  return out;
}
#if PITH_EXCEPTIONS
inline Logprobs logprobs(std::span<const float> logits, int32_t token, uint32_t k = 0) {
  return try_logprobs(logits, token, k).value();
}
#endif

// ---- Tokenizer
// -------------------------------------------------------------------------------------------------------

class Tokenizer {
 public:
  static Result<Tokenizer> create(const Model& model) {
    Result<Placed<pith_tokenizer>> placed = place<pith_tokenizer>(
        [&](size_t* bytes, pith_error* error) { return pith_tokenizer_bytes(model.get(), bytes, error); },
        [&](void* memory, size_t bytes, pith_tokenizer** out, pith_error* error) {
          return pith_tokenizer_init(model.get(), memory, bytes, out, error);
        });
    if (!placed) return placed.error();
    return Tokenizer(std::move(*placed));
  }

  const pith_tokenizer* get() const { return placed_.object; }
  int32_t bos() const { return pith_tokenizer_bos(get()); }
  int32_t eos() const { return pith_tokenizer_eos(get()); }
  bool is_end(int32_t token) const { return pith_tokenizer_is_end(get(), token) != 0; }
  bool is_special(int32_t token) const { return pith_tokenizer_is_special(get(), token) != 0; }
  // -1: none.
  int32_t token_id(std::string_view text) const { return pith_tokenizer_token_id(get(), text.data(), text.size()); }
  Result<std::vector<int32_t>> try_encode(std::string_view text, uint32_t flags = PITH_ENCODE_DEFAULT) const {
    std::vector<int32_t> tokens(text.size() + 2);
    std::vector<uint8_t> work(pith_tokenizer_work_bytes(text.size()));
    for (;;) {
      size_t count = 0;
      pith_error error;
      const pith_status status = pith_tokenizer_encode(get(), text.data(), text.size(), flags, tokens.data(),
                                                       tokens.size(), &count, work.data(), work.size(), &error);
      if (status != PITH_OK && status != PITH_E_CAPACITY) return Failure(status, error);
      tokens.resize(count);
      if (status == PITH_OK) return tokens;
    }
  }
  // The bytes of one token: possibly a part of a UTF-8 character; none for special tokens.
  Result<std::string_view> try_decode(int32_t token) const { return text_by(pith_tokenizer_decode, token); }
  // The same, but the names of special tokens.
  Result<std::string_view> try_token_text(int32_t token) const { return text_by(pith_tokenizer_token_text, token); }

#if PITH_EXCEPTIONS
  explicit Tokenizer(const Model& model) : Tokenizer(create(model).value()) {}
  std::vector<int32_t> encode(std::string_view text, uint32_t flags = PITH_ENCODE_DEFAULT) const {
    return try_encode(text, flags).value();
  }
  std::string_view decode(int32_t token) const { return try_decode(token).value(); }
  std::string_view token_text(int32_t token) const { return try_token_text(token).value(); }
#endif

 private:
  Result<std::string_view> text_by(decltype(&pith_tokenizer_decode) function, int32_t token) const {
    const char* text = nullptr;
    size_t bytes = 0;
    pith_error error;
    const pith_status status = function(get(), token, &text, &bytes, &error);
    if (status != PITH_OK) return Failure(status, error);
    return std::string_view(text, bytes);
  }

  explicit Tokenizer(Placed<pith_tokenizer> placed) : placed_(std::move(placed)) {}
  Placed<pith_tokenizer> placed_;
};

// ---- Chat
// ------------------------------------------------------------------------------------------------------------

inline pith_chat_options chat_options() {
  pith_chat_options options;
  pith_chat_options_init(&options, sizeof options);
  return options;
}

// The templates that pith_chat_options may name.
inline std::vector<std::string_view> chat_template_names() {
  std::vector<std::string_view> out;
  for (size_t i = 0; const char* name = pith_chat_template_name(i); ++i) out.emplace_back(name);
  return out;
}

struct Message {
  pith_role role;
  std::string content;
};

class Chat {
 public:
  // Keep the model and the tokenizer alive.
  static Result<Chat> create(const Model& model, const Tokenizer& tokenizer,
                             const pith_chat_options& options = chat_options()) {
    Result<Placed<pith_chat>> placed = place<pith_chat>(
        [&](size_t* bytes, pith_error* error) {
          return pith_chat_bytes(model.get(), tokenizer.get(), &options, bytes, error);
        },
        [&](void* memory, size_t bytes, pith_chat** out, pith_error* error) {
          return pith_chat_init(model.get(), tokenizer.get(), &options, memory, bytes, out, error);
        });
    if (!placed) return placed.error();
    return Chat(std::move(*placed));
  }

  const pith_chat* get() const { return placed_.object; }
  std::string_view template_name() const { return pith_chat_template(get()); }
  bool is_end(int32_t token) const { return pith_chat_is_end(get(), token) != 0; }
  // For a TextStream.
  std::vector<std::string> stops() const {
    std::vector<std::string> out;
    for (size_t i = 0; const char* stop = pith_chat_stop(get(), i); ++i) out.emplace_back(stop);
    return out;
  }
  Result<std::vector<int32_t>> try_encode(std::span<const Message> messages, uint32_t flags) const {
    std::vector<pith_message> list;
    for (const Message& m : messages) list.push_back({uint32_t(m.role), 0, m.content.data(), m.content.size()});
    // One byte at least: an empty vector may have no address.
    std::vector<uint8_t> work(pith_chat_work_bytes(get(), list.data(), list.size(), flags) + 1);
    std::vector<int32_t> tokens(64);
    const auto encode = [&](size_t* count, pith_error* error) {
      return pith_chat_encode(get(), list.data(), list.size(), flags, tokens.data(), tokens.size(), count, work.data(),
                              work.size(), error);
    };
    size_t count = 0;
    pith_error error;
    pith_status status = encode(&count, &error);
    if (status == PITH_E_CAPACITY) {
      tokens.resize(count);
      status = encode(&count, &error);
    }
    if (status != PITH_OK) return Failure(status, error);
    tokens.resize(count);
    return tokens;
  }
  Result<std::vector<int32_t>> try_encode(const Message& message, uint32_t flags) const {
    return try_encode(std::span(&message, 1), flags);
  }

#if PITH_EXCEPTIONS
  explicit Chat(const Model& model, const Tokenizer& tokenizer, const pith_chat_options& options = chat_options())
      : Chat(create(model, tokenizer, options).value()) {}
  std::vector<int32_t> encode(std::span<const Message> messages, uint32_t flags) const {
    return try_encode(messages, flags).value();
  }
  std::vector<int32_t> encode(const Message& message, uint32_t flags) const {
    return try_encode(message, flags).value();
  }
#endif

 private:
  explicit Chat(Placed<pith_chat> placed) : placed_(std::move(placed)) {}
  Placed<pith_chat> placed_;
};

inline Result<TokenTrie> TokenTrie::create(const Tokenizer& tokenizer) {
  Result<Placed<pith_token_trie>> placed = place<pith_token_trie>(
      [&](size_t* bytes, pith_error* error) { return pith_token_trie_bytes(tokenizer.get(), bytes, error); },
      [&](void* memory, size_t bytes, pith_token_trie** out, pith_error* error) {
        return pith_token_trie_init(tokenizer.get(), memory, bytes, out, error);
      });
  if (!placed) return placed.error();
  return TokenTrie(std::move(*placed));
}

}  // namespace pith

#endif
