// The C ABI, argument by argument: every pointer of every call may be NULL, every memory misaligned or a byte too small, every struct of no
// version's size; each is refused by its name, and nothing is touched.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "api_testing.h"

using namespace pith::test;

namespace {

template <typename Call>
void is_null(const std::string& argument, const Call& call) {
  refuses(PITH_E_ARGUMENT, "argument " + argument + ": is NULL", call);
}

// What an init function does with memory: `call(memory, bytes, error)`, for an object of `need` bytes.
template <typename Call>
void checks_memory(const std::string& what, size_t need, const Call& call) {
  const Block memory = block_of(need + PITH_ALIGNMENT);
  refuses(PITH_E_ARGUMENT, what + ": memory is NULL", [&](auto* e) { return call(nullptr, need, e); });
  for (const size_t shift : {1, 8, 32, 63})
    refuses(PITH_E_ALIGNMENT, what + ": memory is not aligned",
            [&](auto* e) { return call(memory.get() + shift, need, e); });
  refuses(PITH_E_MEMORY, what + ": needs " + std::to_string(need) + " bytes",
          [&](auto* e) { return call(memory.get(), need - 1, e); });
  refuses(PITH_E_MEMORY, what + ": needs", [&](auto* e) { return call(memory.get(), 0, e); });
  CHECK(int(call(memory.get(), need, nullptr)) == int(PITH_OK));
}

// A struct of a size that no version had.
template <typename Struct, typename Call>
void checks_size(const char* name, const Call& call) {
  Struct of_no_version = sized<Struct>();
  for (const uint32_t size : {0u, uint32_t(sizeof of_no_version) - 1, 4097u}) {
    of_no_version.struct_size = size;
    refuses(PITH_E_ABI, std::string(name) + ": struct_size is " + std::to_string(size),
            [&](auto* e) { return call(&of_no_version, e); });
  }
}

}  // namespace

TEST_CASE("arguments of models") {
  const Objects o;
  const pith_model* m = o.model;
  const void* data = o.data.get();
  const size_t size = o.bytes.size();
  size_t n = 0;
  REQUIRE(int(pith_model_bytes(data, size, &n, nullptr)) == int(PITH_OK));
  checks_memory("model", n, [&](void* memory, size_t bytes, pith_error* e) {
    pith_model* out = nullptr;
    return pith_model_init(data, size, memory, bytes, &out, e);
  });
  pith_model* made = nullptr;
  pith_model_info info = sized<pith_model_info>();
  pith_metadata entry = sized<pith_metadata>();
  pith_tensor tensor = sized<pith_tensor>();
  is_null("data", [&](auto* e) { return pith_model_init(nullptr, size, o.memory.get(), n, &made, e); });
  is_null("model", [&](auto* e) { return pith_model_get_info(nullptr, &info, e); });
  is_null("out_info", [&](auto* e) { return pith_model_get_info(m, nullptr, e); });
  is_null("model", [&](auto* e) { return pith_model_get_metadata(nullptr, 0, &entry, e); });
  is_null("out_metadata", [&](auto* e) { return pith_model_get_metadata(m, 0, nullptr, e); });
  is_null("model", [&](auto* e) { return pith_model_find_metadata(nullptr, "a", &entry, e); });
  is_null("key", [&](auto* e) { return pith_model_find_metadata(m, nullptr, &entry, e); });
  is_null("out_metadata", [&](auto* e) { return pith_model_find_metadata(m, "a", nullptr, e); });
  is_null("model", [&](auto* e) { return pith_model_get_metadata_element(nullptr, 0, 0, &entry, e); });
  is_null("out_metadata", [&](auto* e) { return pith_model_get_metadata_element(m, 0, 0, nullptr, e); });
  is_null("model", [&](auto* e) { return pith_model_get_tensor(nullptr, 0, &tensor, e); });
  is_null("out_tensor", [&](auto* e) { return pith_model_get_tensor(m, 0, nullptr, e); });
  checks_size<pith_model_info>("pith_model_info", [&](auto* s, auto* e) { return pith_model_get_info(m, s, e); });
  checks_size<pith_metadata>("pith_metadata", [&](auto* s, auto* e) { return pith_model_get_metadata(m, 0, s, e); });
  checks_size<pith_metadata>("pith_metadata", [&](auto* s, auto* e) { return pith_model_find_metadata(m, "a", s, e); });
  checks_size<pith_metadata>("pith_metadata",
                             [&](auto* s, auto* e) { return pith_model_get_metadata_element(m, 0, 0, s, e); });
  checks_size<pith_tensor>("pith_tensor", [&](auto* s, auto* e) { return pith_model_get_tensor(m, 0, s, e); });
  CHECK(pith_model_metadata_count(nullptr) == 0);
  CHECK(pith_model_tensor_count(nullptr) == 0);
  const size_t n_keys = pith_model_metadata_count(m), n_tensors = pith_model_tensor_count(m);
  CHECK(int(pith_model_get_metadata(m, n_keys - 1, &entry, nullptr)) == int(PITH_OK));
  refuses(PITH_E_ARGUMENT, "index: " + std::to_string(n_keys),
          [&](auto* e) { return pith_model_get_metadata(m, n_keys, &entry, e); });
  CHECK(int(pith_model_get_tensor(m, n_tensors - 1, &tensor, nullptr)) == int(PITH_OK));
  refuses(PITH_E_ARGUMENT, "index: " + std::to_string(n_tensors),
          [&](auto* e) { return pith_model_get_tensor(m, n_tensors, &tensor, e); });
}

TEST_CASE("arguments of sessions") {
  const Objects o;
  pith_session* s = o.session;
  size_t n = 0;
  pith_session_plan plan = sized<pith_session_plan>();
  pith_session* made = nullptr;
  REQUIRE(int(pith_session_bytes(o.model, nullptr, &n, nullptr)) == int(PITH_OK));
  checks_memory("session", n, [&](void* memory, size_t bytes, pith_error* e) {
    pith_session* out = nullptr;
    return pith_session_init(o.model, nullptr, memory, bytes, &out, e);
  });
  is_null("model", [&](auto* e) { return pith_session_get_plan(nullptr, nullptr, &plan, e); });
  is_null("out_plan", [&](auto* e) { return pith_session_get_plan(o.model, nullptr, nullptr, e); });
  is_null("model", [&](auto* e) { return pith_session_bytes(nullptr, nullptr, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_session_bytes(o.model, nullptr, nullptr, e); });
  is_null("model", [&](auto* e) { return pith_session_init(nullptr, nullptr, o.session_memory.get(), n, &made, e); });
  is_null("out_session",
          [&](auto* e) { return pith_session_init(o.model, nullptr, o.session_memory.get(), n, nullptr, e); });
  checks_size<pith_session_plan>("pith_session_plan",
                                 [&](auto* p, auto* e) { return pith_session_get_plan(o.model, nullptr, p, e); });
  checks_size<pith_session_options>("pith_session_options",
                                    [&](auto* p, auto* e) { return pith_session_get_plan(o.model, p, &plan, e); });
  checks_size<pith_session_options>("pith_session_options",
                                    [&](auto* p, auto* e) { return pith_session_bytes(o.model, p, &n, e); });
  checks_size<pith_session_options>("pith_session_options", [&](auto* p, auto* e) {
    return pith_session_init(o.model, p, o.session_memory.get(), n, &made, e);
  });
  const int32_t token = 1;
  is_null("session", [&](auto* e) { return pith_session_eval(nullptr, &token, 1, e); });
  is_null("tokens", [&](auto* e) { return pith_session_eval(s, nullptr, 1, e); });
  is_null("session", [&](auto* e) { return pith_session_eval_each(nullptr, &token, 1, nullptr, nullptr, e); });
  is_null("tokens", [&](auto* e) { return pith_session_eval_each(s, nullptr, 1, nullptr, nullptr, e); });
  CHECK(int(pith_session_eval(s, nullptr, 0, nullptr)) == int(PITH_OK));
  CHECK(int(pith_session_eval_each(s, nullptr, 0, nullptr, nullptr, nullptr)) == int(PITH_OK));
  CHECK(pith_session_logits(s) == nullptr);
  CHECK(pith_session_hidden(s) == nullptr);
  CHECK(int(pith_session_eval_each(s, &token, 1, nullptr, nullptr, nullptr)) == int(PITH_OK));
  CHECK(pith_session_logits(s) != nullptr);
  CHECK(pith_session_hidden(s) != nullptr);
  is_null("session", [&](auto* e) { return pith_session_reset(nullptr, e); });
  is_null("session", [&](auto* e) { return pith_session_rewind(nullptr, 0, e); });
  is_null("to", [&](auto* e) { return pith_session_copy(nullptr, s, e); });
  is_null("from", [&](auto* e) { return pith_session_copy(s, nullptr, e); });
  std::vector<uint8_t> state(pith_session_state_bytes(s));
  is_null("session", [&](auto* e) { return pith_session_save(nullptr, state.data(), state.size(), &n, e); });
  is_null("state", [&](auto* e) { return pith_session_save(s, nullptr, state.size(), &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_session_save(s, state.data(), state.size(), nullptr, e); });
  is_null("session", [&](auto* e) { return pith_session_restore(nullptr, state.data(), state.size(), e); });
  is_null("state", [&](auto* e) { return pith_session_restore(s, nullptr, state.size(), e); });
  is_null("session", [&](auto* e) { return pith_session_set_threads(nullptr, 1, e); });
  CHECK(pith_session_logits(nullptr) == nullptr);
  CHECK(pith_session_hidden(nullptr) == nullptr);
  CHECK(pith_session_position(nullptr) == 0);
  CHECK(pith_session_state_bytes(nullptr) == 0);
  CHECK(pith_session_threads(nullptr) == 0);
  CHECK(pith_session_threads(s) == 1);
  CHECK(pith_session_attention_ns(nullptr) == 0);
  CHECK(pith_session_attention_ns(s) == 0);
  CHECK(std::string(pith_session_tier(nullptr)).empty());
  pith_session_cancel(nullptr);
  size_t n_tiers = 0;
  for (; pith_tier_name(n_tiers, nullptr) != nullptr; ++n_tiers) {
    int is_usable = 2;
    CHECK(pith_tier_name(n_tiers, &is_usable) == pith_tier_name(n_tiers, nullptr));
    CHECK((is_usable == 0 || is_usable == 1));
  }
  CHECK(n_tiers > 0);
}

TEST_CASE("arguments of samplers") {
  const Objects o;
  pith_sampler* s = o.sampler;
  size_t n = 0;
  int32_t token = 0;
  const std::vector<float> logits(257, 1.0f);
  pith_sampler* made = nullptr;
  REQUIRE(int(pith_sampler_bytes(nullptr, 257, &n, nullptr)) == int(PITH_OK));
  checks_memory("sampler", n, [&](void* memory, size_t bytes, pith_error* e) {
    pith_sampler* out = nullptr;
    return pith_sampler_init(nullptr, 257, memory, bytes, &out, e);
  });
  is_null("out_bytes", [&](auto* e) { return pith_sampler_bytes(nullptr, 257, nullptr, e); });
  is_null("out_sampler",
          [&](auto* e) { return pith_sampler_init(nullptr, 257, o.sampler_memory.get(), n, nullptr, e); });
  checks_size<pith_sampler_options>("pith_sampler_options",
                                    [&](auto* p, auto* e) { return pith_sampler_bytes(p, 257, &n, e); });
  checks_size<pith_sampler_options>("pith_sampler_options", [&](auto* p, auto* e) {
    return pith_sampler_init(p, 257, o.sampler_memory.get(), n, &made, e);
  });
  for (const uint32_t vocab_size : {0u, (1u << 24) + 1, ~0u})
    refuses(PITH_E_ARGUMENT, "vocab_size: " + std::to_string(vocab_size),
            [&](auto* e) { return pith_sampler_bytes(nullptr, vocab_size, &n, e); });
  for (const uint32_t vocab_size : {1u, 1u << 24})
    CHECK(int(pith_sampler_bytes(nullptr, vocab_size, &n, nullptr)) == int(PITH_OK));
  is_null("sampler", [&](auto* e) { return pith_sampler_accept(nullptr, 1, e); });
  for (const int32_t id : {-1, 257, INT32_MIN, INT32_MAX})
    refuses(PITH_E_ARGUMENT, "token: " + std::to_string(id), [&](auto* e) { return pith_sampler_accept(s, id, e); });
  for (const int32_t id : {0, 256}) CHECK(int(pith_sampler_accept(s, id, nullptr)) == int(PITH_OK));
  is_null("sampler", [&](auto* e) { return pith_sampler_draw(nullptr, logits.data(), &token, e); });
  is_null("logits", [&](auto* e) { return pith_sampler_draw(s, nullptr, &token, e); });
  is_null("out_token", [&](auto* e) { return pith_sampler_draw(s, logits.data(), nullptr, e); });
  is_null("sampler", [&](auto* e) { return pith_sampler_set_seed(nullptr, 1, e); });
  std::vector<uint8_t> state(pith_sampler_state_bytes(s));
  is_null("sampler", [&](auto* e) { return pith_sampler_save(nullptr, state.data(), state.size(), &n, e); });
  is_null("state", [&](auto* e) { return pith_sampler_save(s, nullptr, state.size(), &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_sampler_save(s, state.data(), state.size(), nullptr, e); });
  refuses(PITH_E_CAPACITY, "a state of this sampler",
          [&](auto* e) { return pith_sampler_save(s, state.data(), state.size() - 1, &n, e); });
  is_null("sampler", [&](auto* e) { return pith_sampler_restore(nullptr, state.data(), state.size(), e); });
  is_null("state", [&](auto* e) { return pith_sampler_restore(s, nullptr, state.size(), e); });
  CHECK(pith_sampler_state_bytes(nullptr) == 0);
}

TEST_CASE("arguments of log-probabilities") {
  const std::vector<float> logits(257, 1.0f);
  float logprob = 0;
  pith_logprob top[2];
  is_null("logits", [&](auto* e) { return pith_logprobs(nullptr, 257, 0, &logprob, 2, top, e); });
  is_null("top", [&](auto* e) { return pith_logprobs(logits.data(), 257, 0, &logprob, 2, nullptr, e); });
  for (const uint32_t vocab_size : {0u, (1u << 24) + 1, ~0u})
    refuses(PITH_E_ARGUMENT, "vocab_size: " + std::to_string(vocab_size),
            [&](auto* e) { return pith_logprobs(logits.data(), vocab_size, 0, &logprob, 0, top, e); });
  for (const int32_t id : {-1, 257, INT32_MIN, INT32_MAX})
    refuses(PITH_E_ARGUMENT, "token: " + std::to_string(id),
            [&](auto* e) { return pith_logprobs(logits.data(), 257, id, &logprob, 2, top, e); });
  for (const uint32_t k : {258u, ~0u})
    refuses(PITH_E_ARGUMENT, "k: " + std::to_string(k),
            [&](auto* e) { return pith_logprobs(logits.data(), 257, 0, &logprob, k, top, e); });
  for (const int32_t id : {0, 256})
    CHECK(int(pith_logprobs(logits.data(), 257, id, &logprob, 2, top, nullptr)) == int(PITH_OK));
}

TEST_CASE("arguments of tokenizers") {
  const Objects o;
  const pith_tokenizer* t = o.tokenizer;
  size_t n = 0;
  const char* text = nullptr;
  int32_t ids[8];
  std::vector<uint8_t> work(pith_tokenizer_work_bytes(4));
  pith_tokenizer* made = nullptr;
  REQUIRE(int(pith_tokenizer_bytes(o.model, &n, nullptr)) == int(PITH_OK));
  checks_memory("tokenizer", n, [&](void* memory, size_t bytes, pith_error* e) {
    pith_tokenizer* out = nullptr;
    return pith_tokenizer_init(o.model, memory, bytes, &out, e);
  });
  is_null("model", [&](auto* e) { return pith_tokenizer_bytes(nullptr, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_tokenizer_bytes(o.model, nullptr, e); });
  is_null("model", [&](auto* e) { return pith_tokenizer_init(nullptr, o.tokenizer_memory.get(), n, &made, e); });
  is_null("out_tokenizer",
          [&](auto* e) { return pith_tokenizer_init(o.model, o.tokenizer_memory.get(), n, nullptr, e); });
  const auto encode = [&](const pith_tokenizer* with, const char* from, size_t bytes, int32_t* to, size_t capacity,
                          size_t* count, void* in, size_t in_bytes) {
    return [=](pith_error* e) {
      return pith_tokenizer_encode(with, from, bytes, 0, to, capacity, count, in, in_bytes, e);
    };
  };
  is_null("tokenizer", encode(nullptr, "abcd", 4, ids, 8, &n, work.data(), work.size()));
  is_null("text", encode(t, nullptr, 4, ids, 8, &n, work.data(), work.size()));
  is_null("work", encode(t, "abcd", 4, ids, 8, &n, nullptr, work.size()));
  is_null("tokens", encode(t, "abcd", 4, nullptr, 8, &n, work.data(), work.size()));
  is_null("out_count", encode(t, "abcd", 4, ids, 8, nullptr, work.data(), work.size()));
  refuses(PITH_E_MEMORY, "work_bytes", encode(t, "abcd", 4, ids, 8, &n, work.data(), work.size() - 1));
  refuses(PITH_E_ARGUMENT, "more than 1 GiB",
          encode(t, "abcd", (size_t(1) << 30) + 1, ids, 8, &n, work.data(), work.size()));
  refuses(PITH_E_MEMORY, "work_bytes", encode(t, "abcd", size_t(1) << 30, ids, 8, &n, work.data(), work.size()));
  CHECK(int(encode(t, nullptr, 0, nullptr, 0, &n, nullptr, pith_tokenizer_work_bytes(0))(nullptr)) == int(PITH_OK));
  CHECK(n == 0);
  CHECK(int(encode(t, "abcd", 4, ids, 4, &n, work.data(), work.size())(nullptr)) == int(PITH_OK));
  CHECK(n == 4);
  is_null("tokenizer", [&](auto* e) { return pith_tokenizer_decode(nullptr, 1, &text, &n, e); });
  is_null("out_text", [&](auto* e) { return pith_tokenizer_decode(t, 1, nullptr, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_tokenizer_decode(t, 1, &text, nullptr, e); });
  is_null("tokenizer", [&](auto* e) { return pith_tokenizer_token_text(nullptr, 1, &text, &n, e); });
  is_null("out_text", [&](auto* e) { return pith_tokenizer_token_text(t, 1, nullptr, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_tokenizer_token_text(t, 1, &text, nullptr, e); });
  for (const int32_t id : {-1, 257}) {
    refuses(PITH_E_ARGUMENT, "argument token", [&](auto* e) { return pith_tokenizer_decode(t, id, &text, &n, e); });
    refuses(PITH_E_ARGUMENT, "argument token", [&](auto* e) { return pith_tokenizer_token_text(t, id, &text, &n, e); });
    CHECK(pith_tokenizer_is_end(t, id) == 0);
    CHECK(pith_tokenizer_is_special(t, id) == 0);
  }
  for (const int32_t id : {0, 256}) CHECK(int(pith_tokenizer_token_text(t, id, &text, &n, nullptr)) == int(PITH_OK));
  CHECK(pith_tokenizer_is_end(t, 0) == 1);
  CHECK(pith_tokenizer_is_special(t, 0) == 1);
  CHECK(pith_tokenizer_is_end(t, 256) == 0);
  CHECK(pith_tokenizer_is_special(t, 256) == 0);
  CHECK(pith_tokenizer_bos(t) == 0);
  CHECK(pith_tokenizer_bos(nullptr) == -1);
  CHECK(pith_tokenizer_eos(nullptr) == -1);
  CHECK(pith_tokenizer_is_end(nullptr, 0) == 0);
  CHECK(pith_tokenizer_is_special(nullptr, 0) == 0);
  CHECK(pith_tokenizer_token_id(nullptr, "a", 1) == -1);
  CHECK(pith_tokenizer_token_id(t, nullptr, 1) == -1);
  CHECK(pith_tokenizer_token_id(t, "a", 1) == 98);
}

TEST_CASE("arguments of chats") {
  const Objects o;
  size_t n = 0;
  pith_chat_options options = sized<pith_chat_options>();
  options.template_name = pith_chat_template_name(0);
  pith_chat* made = nullptr;
  REQUIRE(int(pith_chat_bytes(o.model, o.tokenizer, &options, &n, nullptr)) == int(PITH_OK));
  checks_memory("chat", n, [&](void* memory, size_t bytes, pith_error* e) {
    pith_chat* out = nullptr;
    return pith_chat_init(o.model, o.tokenizer, &options, memory, bytes, &out, e);
  });
  const Block memory = block_of(n);
  is_null("model", [&](auto* e) { return pith_chat_bytes(nullptr, o.tokenizer, &options, &n, e); });
  is_null("tokenizer", [&](auto* e) { return pith_chat_bytes(o.model, nullptr, &options, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_chat_bytes(o.model, o.tokenizer, &options, nullptr, e); });
  is_null("model", [&](auto* e) { return pith_chat_init(nullptr, o.tokenizer, &options, memory.get(), n, &made, e); });
  is_null("tokenizer", [&](auto* e) { return pith_chat_init(o.model, nullptr, &options, memory.get(), n, &made, e); });
  is_null("out_chat",
          [&](auto* e) { return pith_chat_init(o.model, o.tokenizer, &options, memory.get(), n, nullptr, e); });
  checks_size<pith_chat_options>("pith_chat_options",
                                 [&](auto* p, auto* e) { return pith_chat_bytes(o.model, o.tokenizer, p, &n, e); });
  checks_size<pith_chat_options>("pith_chat_options", [&](auto* p, auto* e) {
    return pith_chat_init(o.model, o.tokenizer, p, memory.get(), n, &made, e);
  });
  pith_chat_options reserved = options;
  reserved.reserved = 1;
  refuses(PITH_E_ARGUMENT, "option reserved",
          [&](auto* e) { return pith_chat_bytes(o.model, o.tokenizer, &reserved, &n, e); });
  CHECK(int(pith_chat_bytes(o.model, o.tokenizer, nullptr, &n, nullptr)) == int(PITH_OK));
  refuses(PITH_E_MISSING, "template",
          [&](auto* e) { return pith_chat_init(o.model, o.tokenizer, nullptr, memory.get(), n, &made, e); });

  pith_chat* chat = nullptr;
  REQUIRE(int(pith_chat_init(o.model, o.tokenizer, &options, memory.get(), n, &chat, nullptr)) == int(PITH_OK));
  const pith_message message{PITH_ROLE_USER, 0, "hi", 2};
  const size_t n_work = pith_chat_work_bytes(chat, &message, 1, 0);
  REQUIRE(n_work > 0);
  std::vector<uint8_t> work(n_work);
  std::vector<int32_t> ids(200);
  const auto encode = [&](const pith_chat* with, const pith_message* messages, uint32_t flags, int32_t* tokens,
                          size_t* count, void* in, size_t in_bytes) {
    return
        [=](pith_error* e) { return pith_chat_encode(with, messages, 1, flags, tokens, 200, count, in, in_bytes, e); };
  };
  is_null("chat", encode(nullptr, &message, 0, ids.data(), &n, work.data(), n_work));
  is_null("messages", encode(chat, nullptr, 0, ids.data(), &n, work.data(), n_work));
  is_null("tokens", encode(chat, &message, 0, nullptr, &n, work.data(), n_work));
  is_null("out_count", encode(chat, &message, 0, ids.data(), nullptr, work.data(), n_work));
  is_null("work", encode(chat, &message, 0, ids.data(), &n, nullptr, n_work));
  refuses(PITH_E_ARGUMENT, "argument flags: 8", encode(chat, &message, 8, ids.data(), &n, work.data(), n_work));
  refuses(PITH_E_MEMORY, "work_bytes", encode(chat, &message, 0, ids.data(), &n, work.data(), n_work - 1));
  CHECK(int(encode(chat, &message, 0, ids.data(), &n, work.data(), n_work)(nullptr)) == int(PITH_OK));
  const size_t none = pith_chat_work_bytes(chat, nullptr, 0, 0);
  CHECK(int(pith_chat_encode(chat, nullptr, 0, 0, nullptr, 0, &n, work.data(), none, nullptr)) ==
        int(n == 0 ? PITH_OK : PITH_E_CAPACITY));
  CHECK(pith_chat_work_bytes(nullptr, &message, 1, 0) == 0);
  CHECK(pith_chat_work_bytes(chat, nullptr, 1, 0) == 0);
  CHECK(pith_chat_work_bytes(chat, &message, 1, 8) == 0);
  const pith_message strange{7, 0, "hi", 2};
  CHECK(pith_chat_work_bytes(chat, &strange, 1, 0) == 0);
  refuses(PITH_E_ARGUMENT, "role", encode(chat, &strange, 0, ids.data(), &n, work.data(), n_work));
  CHECK(std::string(pith_chat_template(nullptr)).empty());
  CHECK(std::string(pith_chat_template(chat)) == options.template_name);
  CHECK(pith_chat_is_end(nullptr, 0) == 0);
  CHECK(pith_chat_is_end(chat, 0) == 1);
  CHECK(pith_chat_is_end(chat, 5) == 0);
  CHECK(pith_chat_stop(nullptr, 0) == nullptr);
  CHECK(pith_chat_stop(chat, 99) == nullptr);
  CHECK(pith_chat_template_name(9999) == nullptr);
}

TEST_CASE("arguments of streams") {
  pith_stream stream = sized<pith_stream>();
  const char* stops[] = {"stop", nullptr};
  char out[512];
  uint8_t state[512];
  size_t n = 0;
  is_null("stream", [&](auto* e) { return pith_stream_init(nullptr, stops, 1, e); });
  is_null("stops", [&](auto* e) { return pith_stream_init(&stream, nullptr, 1, e); });
  checks_size<pith_stream>("pith_stream", [&](auto* s, auto* e) { return pith_stream_init(s, stops, 1, e); });
  refuses(PITH_E_ARGUMENT, "string 1 has 0 bytes", [&](auto* e) { return pith_stream_init(&stream, stops, 2, e); });
  const std::string longest(64, 'x'), longer(65, 'x');
  const char *fits = longest.c_str(), *fits_not = longer.c_str();
  CHECK(int(pith_stream_init(&stream, &fits, 1, nullptr)) == int(PITH_OK));
  refuses(PITH_E_ARGUMENT, "string 0 has 65 bytes",
          [&](auto* e) { return pith_stream_init(&stream, &fits_not, 1, e); });
  CHECK(int(pith_stream_init(&stream, nullptr, 0, nullptr)) == int(PITH_OK));
  CHECK(int(pith_stream_init(&stream, stops, 1, nullptr)) == int(PITH_OK));
  is_null("stream", [&](auto* e) { return pith_stream_push(nullptr, "a", 1, out, sizeof out, &n, e); });
  is_null("text", [&](auto* e) { return pith_stream_push(&stream, nullptr, 1, out, sizeof out, &n, e); });
  is_null("out", [&](auto* e) { return pith_stream_push(&stream, "a", 1, nullptr, sizeof out, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_stream_push(&stream, "a", 1, out, sizeof out, nullptr, e); });
  CHECK(int(pith_stream_push(&stream, nullptr, 0, out, sizeof out, &n, nullptr)) == int(PITH_OK));
  checks_size<pith_stream>("pith_stream",
                           [&](auto* s, auto* e) { return pith_stream_push(s, "a", 1, out, sizeof out, &n, e); });
  is_null("stream", [&](auto* e) { return pith_stream_finish(nullptr, out, sizeof out, &n, e); });
  is_null("out", [&](auto* e) { return pith_stream_finish(&stream, nullptr, sizeof out, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_stream_finish(&stream, out, sizeof out, nullptr, e); });
  is_null("stream", [&](auto* e) { return pith_stream_save(nullptr, state, sizeof state, &n, e); });
  is_null("state", [&](auto* e) { return pith_stream_save(&stream, nullptr, sizeof state, &n, e); });
  is_null("out_bytes", [&](auto* e) { return pith_stream_save(&stream, state, sizeof state, nullptr, e); });
  is_null("stream", [&](auto* e) { return pith_stream_restore(nullptr, state, sizeof state, e); });
  is_null("state", [&](auto* e) { return pith_stream_restore(&stream, nullptr, sizeof state, e); });
  CHECK(pith_stream_state_bytes(nullptr) == 0);
  CHECK(pith_stream_state_bytes(&stream) > 0);
  CHECK(int(pith_stream_save(&stream, state, sizeof state, &n, nullptr)) == int(PITH_OK));
  CHECK(int(pith_stream_restore(&stream, state, n, nullptr)) == int(PITH_OK));
}
