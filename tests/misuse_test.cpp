// What a program may get wrong with the objects of pith.h: memory that is none, ids that are no tokens, text in the wrong order. An
// error names what is at fault, and nothing has happened.
#include <doctest/doctest.h>

#include <climits>
#include <clocale>
#include <functional>
#include <string>

#include "golden_file.h"
#include "guarded_memory.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// An object of pith.h as this test makes it: how much memory it asks for, and how it is made there.
struct Kind {
  std::string name;
  size_t bytes;
  std::function<pith_status(void* memory, size_t bytes, pith_error* error)> init;
  std::function<pith_status(void* memory, size_t bytes)> init_nowhere;  // without a place for the result
};

template <typename Object>
Kind kind(const char* name, size_t bytes,
          const std::function<pith_status(void*, size_t, Object**, pith_error*)>& init) {
  return {name, bytes,
          [=](void* memory, size_t n, pith_error* error) {
            Object* object = nullptr;
            const pith_status status = init(memory, n, &object, error);
            CHECK((object != nullptr) == (status == PITH_OK));
            return status;
          },
          [=](void* memory, size_t n) { return init(memory, n, nullptr, nullptr); }};
}

// All objects that lie in the caller's memory.
std::vector<Kind> kinds(const Runtime& runtime, size_t data_bytes, const Tokenizer& tokenizer,
                        const pith_chat_options& chat) {
  const pith_model* model = runtime.model.get();
  size_t n = 0;
  std::vector<Kind> out;
  REQUIRE(pith_model_bytes(runtime.bytes.get(), data_bytes, &n, nullptr) == PITH_OK);
  out.push_back(kind<pith_model>("model", n, [&runtime, data_bytes](void* m, size_t b, auto** o, auto* e) {
    return pith_model_init(runtime.bytes.get(), data_bytes, m, b, o, e);
  }));
  REQUIRE(pith_session_bytes(model, nullptr, &n, nullptr) == PITH_OK);
  out.push_back(kind<pith_session>("session", n, [=](void* m, size_t b, auto** o, auto* e) {
    return pith_session_init(model, nullptr, m, b, o, e);
  }));
  REQUIRE(pith_sampler_bytes(nullptr, 300, &n, nullptr) == PITH_OK);
  out.push_back(kind<pith_sampler>(
      "sampler", n, [](void* m, size_t b, auto** o, auto* e) { return pith_sampler_init(nullptr, 300, m, b, o, e); }));
  REQUIRE(pith_tokenizer_bytes(model, &n, nullptr) == PITH_OK);
  out.push_back(kind<pith_tokenizer>(
      "tokenizer", n, [=](void* m, size_t b, auto** o, auto* e) { return pith_tokenizer_init(model, m, b, o, e); }));
  REQUIRE(pith_chat_bytes(model, tokenizer.get(), &chat, &n, nullptr) == PITH_OK);
  out.push_back(kind<pith_chat>("chat", n, [=, &tokenizer, &chat](void* m, size_t b, auto** o, auto* e) {
    return pith_chat_init(model, tokenizer.get(), &chat, m, b, o, e);
  }));
  return out;
}

// Calls that take a token of a tokenizer or sampler.
constexpr int32_t kNoTokens[] = {-1, INT32_MIN, INT32_MAX};

}  // namespace

TEST_CASE("memory that is missing, misaligned or a byte too small is refused by every object, and is not touched") {
  const Bytes file = read_golden("tiny.q4.gguf");
  const Runtime runtime(file);
  const Tokenizer tokenizer(runtime.model);
  pith_chat_options chat;
  pith_chat_options_init(&chat, sizeof chat);
  chat.template_name = "llama3.1";
  for (const Kind& object : kinds(runtime, file.size(), tokenizer, chat)) {
    CAPTURE(object.name);
    CAPTURE(object.bytes);
    for (const uint32_t pattern : kPatterns) {
      GuardedMemory memory(object.bytes + 2 * PITH_ALIGNMENT, Place::at_begin, pattern);
      const auto refuses = [&](pith_status expected, void* at, size_t bytes, const std::string& word) {
        pith_error error{};
        CHECK(int(object.init(at, bytes, &error)) == int(expected));
        CHECK_MESSAGE(std::string(error.message).find(word) != std::string::npos, error.message);
        CHECK(memory.is_untouched());
      };
      refuses(PITH_E_ARGUMENT, nullptr, object.bytes, "memory");
      refuses(PITH_E_ARGUMENT, nullptr, SIZE_MAX, "memory");
      for (const size_t shift : {1, 4, 8, 32, 63})
        refuses(PITH_E_ALIGNMENT, memory.data() + shift, object.bytes, object.name);
      const std::string need = std::to_string(object.bytes);
      for (const size_t bytes : {size_t(0), size_t(1), object.bytes / 2, object.bytes - 1})
        refuses(PITH_E_MEMORY, memory.data(), bytes, need);
      CHECK(int(object.init_nowhere(memory.data(), object.bytes)) == int(PITH_E_ARGUMENT));
      CHECK(memory.is_untouched());
    }
    // What is promised beyond the bytes that are needed is not used, however much it is.
    for (const size_t promised : {object.bytes, object.bytes + 1, SIZE_MAX}) {
      GuardedMemory exact(object.bytes, Place::at_begin, 0xa5a5a5a5);
      CHECK(int(object.init(exact.data(), promised, nullptr)) == int(PITH_OK));
      CHECK(exact.is_clean_around());
      CHECK(!exact.is_untouched());
    }
  }
}

TEST_CASE("what lay in the memory of models, tokenizers, samplers and chats before changes nothing") {
  const Bytes file = read_golden("tiny.q4.gguf");
  const Runtime runtime(file);
  const std::string text = "The fox and the lantern, \xff and 42 \xe2\x9c\x93";
  std::vector<int32_t> tokens, drawn, written;
  std::vector<float> logits;
  for (const uint32_t pattern : kPatterns) {
    CAPTURE(pattern);
    const auto memory_of = [&](size_t n) { return std::make_unique<GuardedMemory>(n, Place::at_begin, pattern); };
    size_t n = 0;
    REQUIRE(pith_model_bytes(runtime.bytes.get(), file.size(), &n, nullptr) == PITH_OK);
    const auto model_memory = memory_of(n);
    pith_model* model = nullptr;
    REQUIRE(pith_model_init(runtime.bytes.get(), file.size(), model_memory->data(), n, &model, nullptr) == PITH_OK);
    REQUIRE(pith_tokenizer_bytes(model, &n, nullptr) == PITH_OK);
    const auto tokenizer_memory = memory_of(n);
    pith_tokenizer* tokenizer = nullptr;
    REQUIRE(pith_tokenizer_init(model, tokenizer_memory->data(), n, &tokenizer, nullptr) == PITH_OK);
    // Work memory as well, which may lie anywhere.
    const size_t work_bytes = pith_tokenizer_work_bytes(text.size());
    GuardedMemory work(work_bytes + 64, Place::at_begin, pattern);
    std::vector<int32_t> ids(text.size() + 1);
    REQUIRE(pith_tokenizer_encode(tokenizer, text.data(), text.size(), 0, ids.data(), ids.size(), &n, work.data() + 3,
                                  work_bytes, nullptr) == PITH_OK);
    ids.resize(n);
    if (tokens.empty()) tokens = ids;
    CHECK(ids == tokens);
    pith_chat_options options;
    pith_chat_options_init(&options, sizeof options);
    options.template_name = "chatml";
    REQUIRE(pith_chat_bytes(model, tokenizer, &options, &n, nullptr) == PITH_OK);
    const auto chat_memory = memory_of(n);
    pith_chat* chat = nullptr;
    REQUIRE(pith_chat_init(model, tokenizer, &options, chat_memory->data(), n, &chat, nullptr) == PITH_OK);
    const pith_message message{PITH_ROLE_USER, 0, text.data(), text.size()};
    const size_t chat_work_bytes = pith_chat_work_bytes(chat, &message, 1, PITH_CHAT_ANSWER);
    GuardedMemory chat_work(chat_work_bytes + 64, Place::at_begin, pattern);
    std::vector<int32_t> conversation(1000);
    REQUIRE(pith_chat_encode(chat, &message, 1, PITH_CHAT_ANSWER, conversation.data(), conversation.size(), &n,
                             chat_work.data() + 5, chat_work_bytes, nullptr) == PITH_OK);
    conversation.resize(n);
    if (written.empty()) written = conversation;
    CHECK(conversation == written);
    const auto session_memory = [&] {
      REQUIRE(pith_session_bytes(model, nullptr, &n, nullptr) == PITH_OK);
      return memory_of(n);
    }();
    pith_session* session = nullptr;
    REQUIRE(pith_session_init(model, nullptr, session_memory->data(), n, &session, nullptr) == PITH_OK);
    REQUIRE(pith_session_eval(session, tokens.data(), tokens.size(), nullptr) == PITH_OK);
    pith_model_info info = sized<pith_model_info>();
    REQUIRE(pith_model_get_info(model, &info, nullptr) == PITH_OK);
    const std::vector<float> now = copy_of_logits(session, int32_t(info.vocab_size));
    if (logits.empty()) logits = now;
    CHECK(same_bits(now, logits));
    REQUIRE(pith_sampler_bytes(nullptr, info.vocab_size, &n, nullptr) == PITH_OK);
    const auto sampler_memory = memory_of(n);
    pith_sampler* sampler = nullptr;
    REQUIRE(pith_sampler_init(nullptr, info.vocab_size, sampler_memory->data(), n, &sampler, nullptr) == PITH_OK);
    std::vector<int32_t> draws(50);
    for (int32_t& token : draws) REQUIRE(pith_sampler_draw(sampler, now.data(), &token, nullptr) == PITH_OK);
    if (drawn.empty()) drawn = draws;
    CHECK(draws == drawn);
  }
}

TEST_CASE("ids that are no tokens are refused, wherever they stand in a prompt, and nothing is appended") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  const int32_t vocab_size = int32_t(runtime.model.info().vocab_size);
  Session session(runtime.model);
  session.eval(std::vector<int32_t>{1, 2, 3});
  const std::vector<uint8_t> before = session.save();
  std::vector<float> rows(20 * size_t(vocab_size), 7.0f);
  const std::vector<float> untouched = rows;
  for (const int32_t bad : {-1, vocab_size, vocab_size + 1, INT32_MIN, INT32_MAX}) {
    for (size_t at = 0; at < 20; ++at) {
      std::vector<int32_t> prompt(20, 5);
      prompt[at] = bad;
      pith_error error{};
      CHECK(int(pith_session_eval(session.get(), prompt.data(), prompt.size(), &error)) == int(PITH_E_ARGUMENT));
      CHECK(std::string(error.message).find("token " + std::to_string(at) + " is " + std::to_string(bad)) !=
            std::string::npos);
      CHECK(int(pith_session_eval_each(session.get(), prompt.data(), prompt.size(), rows.data(), nullptr, nullptr)) ==
            int(PITH_E_ARGUMENT));
      CHECK(session.save() == before);
    }
  }
  CHECK(rows == untouched);
  Sampler sampler(uint32_t(vocab_size), sampler_options());
  const std::vector<uint8_t> drawn = sampler.save();
  for (const int32_t bad : {-1, vocab_size, vocab_size + 1, INT32_MIN, INT32_MAX})
    CHECK(int(pith_sampler_accept(sampler.get(), bad, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(sampler.save() == drawn);
}

TEST_CASE("a tokenizer takes no id that is no token") {
  const Runtime runtime(read_golden("tiny.q4.gguf"));
  const Tokenizer tokenizer(runtime.model);
  const int32_t vocab_size = int32_t(runtime.model.info().vocab_size);
  std::vector<int32_t> ids(std::begin(kNoTokens), std::end(kNoTokens));
  ids.push_back(vocab_size);
  ids.push_back(vocab_size + 1);
  for (const int32_t id : ids) {
    CAPTURE(id);
    const char* text = "kept";
    size_t n = 9;
    CHECK(int(pith_tokenizer_decode(tokenizer.get(), id, &text, &n, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(int(pith_tokenizer_token_text(tokenizer.get(), id, &text, &n, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(std::string(text) == "kept");
    CHECK(n == 9);
    CHECK(!tokenizer.is_end(id));
    CHECK(!tokenizer.is_special(id));
  }
  CHECK(pith_tokenizer_decode(tokenizer.get(), vocab_size - 1, nullptr, nullptr, nullptr) == PITH_E_ARGUMENT);
}

TEST_CASE("texts of more than 1 GiB, and numbers that would wrap, are refused before anything is read") {
  const Runtime runtime(read_golden("tiny.q4.gguf"));
  const Tokenizer tokenizer(runtime.model);
  uint8_t work[64];
  int32_t token = 0;
  for (const size_t bytes : {(size_t(1) << 30) + 1, size_t(INT32_MAX) + 1, size_t(1) << 32, SIZE_MAX / 2, SIZE_MAX}) {
    CAPTURE(bytes);
    size_t count = 0;
    pith_error error{};
    const pith_status status =
        pith_tokenizer_encode(tokenizer.get(), "few", bytes, 0, &token, 1, &count, work, sizeof work, &error);
    CHECK(int(status) == int(PITH_E_ARGUMENT));
    CHECK(std::string(error.message).find("text_bytes") != std::string::npos);
    CHECK(pith_tokenizer_work_bytes(bytes) >= bytes);
    CHECK(pith_stream_capacity(bytes) >= bytes);
    pith_stream stream = sized<pith_stream>();
    REQUIRE(int(pith_stream_init(&stream, nullptr, 0, nullptr)) == int(PITH_OK));
    char out[512];
    CHECK(int(pith_stream_push(&stream, "few", bytes, out, sizeof out, &count, nullptr)) == int(PITH_E_CAPACITY));
    CHECK(count == pith_stream_capacity(bytes));
  }
}

TEST_CASE("before any token there are no logits, and no tokens are no evaluation") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  Session session(runtime.model);
  const auto has_nothing = [&] {
    return session.position() == 0 && session.logits().empty() && session.hidden().empty();
  };
  CHECK(has_nothing());
  const int32_t token = 3;
  CHECK(int(pith_session_eval(session.get(), nullptr, 0, nullptr)) == int(PITH_OK));
  CHECK(int(pith_session_eval(session.get(), &token, 0, nullptr)) == int(PITH_OK));
  CHECK(int(pith_session_eval(session.get(), nullptr, 1, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_session_eval_each(session.get(), nullptr, 0, nullptr, nullptr, nullptr)) == int(PITH_OK));
  CHECK(has_nothing());
  CHECK_THROWS_AS(Sampler(uint32_t(300)).draw(session.logits()), Error);
  session.reset();
  session.rewind(0);
  session.restore(session.save());
  CHECK(has_nothing());
  session.eval(token);
  session.eval(std::span<const int32_t>());  // keeps what is there
  CHECK(session.position() == 1);
  CHECK(session.logits().size() == 300);
  CHECK(pith_session_logits(nullptr) == nullptr);
  CHECK(pith_session_hidden(nullptr) == nullptr);
  CHECK(pith_session_position(nullptr) == 0);
}

TEST_CASE("caches of 1, 2 and 3 tokens work, with every number of pinned ones") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  const Runtime runtime = runtime_of(small_spec("mla"));
  const std::vector<int32_t> tokens = random_tokens(20, 300, seed);
  for (uint32_t capacity = 1; capacity <= 3; ++capacity) {
    for (uint32_t n_keep = 0; n_keep <= capacity; ++n_keep) {
      pith_session_options options = session_options();
      options.capacity = capacity;
      options.n_keep = n_keep;
      Result<Session> session = Session::create(runtime.model, options);
      REQUIRE(session.has_value() == (n_keep < capacity));
      if (!session) {
        CHECK(int(session.error().status()) == int(PITH_E_ARGUMENT));
        continue;
      }
      CHECK(session->try_eval(tokens).has_value());
      CHECK(session->position() == tokens.size());
    }
  }
}

// Of a large vocabulary and cache: products of numbers of 32 bits that need 64.
TEST_CASE("sizes beyond 4 GiB are counted in 64 bits") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  pith_session_options options = session_options();
  const auto plan_of = [&](uint32_t capacity) {
    options.capacity = capacity;
    return Session::plan(runtime.model, options);
  };
  options.cache = PITH_PRECISION_F32;
  const pith_session_plan small = plan_of(1 << 12), large = plan_of(1 << 24);
  CHECK(large.cache_bytes_per_token == small.cache_bytes_per_token);
  CHECK(large.cache_bytes - small.cache_bytes == large.cache_bytes_per_token * ((1 << 24) - (1 << 12)));
  CHECK(large.cache_bytes > uint64_t(UINT32_MAX));
  CHECK(large.session_bytes >= large.cache_bytes);
  size_t bytes = 0;
  REQUIRE(int(pith_session_bytes(runtime.model.get(), &options, &bytes, nullptr)) == int(PITH_OK));
  CHECK(bytes == large.session_bytes);
}

TEST_CASE("the host's locale changes neither sentences nor tokens nor numbers") {
  const Runtime runtime(read_golden("tiny.q4.gguf"));
  const auto observe = [&] {
    const Tokenizer tokenizer(runtime.model);
    std::vector<int32_t> ids = tokenizer.encode("Pi is 3.14159, \xc3\x84rger I\xc4\xb1 12,5");
    Session session(runtime.model);
    session.eval(ids);
    Sampler sampler(runtime.model.info().vocab_size, sampler_options());
    ids.push_back(sampler.draw(session.logits()));
    pith_session_options options = session_options();
    options.capacity = 123456789;
    pith_error error{};
    size_t n = 0;
    REQUIRE(int(pith_session_bytes(runtime.model.get(), &options, &n, &error)) == int(PITH_E_ARGUMENT));
    return std::make_pair(ids, std::string(error.message));
  };
  const auto expected = observe();
  size_t n_locales = 0;
  for (const char* name : {"de_DE.UTF-8", "de_DE", "tr_TR.UTF-8", "C.UTF-8", "POSIX"}) {
    if (std::setlocale(LC_ALL, name) == nullptr) continue;
    ++n_locales;
    CHECK(observe() == expected);
  }
  std::setlocale(LC_ALL, "C");
  CHECK(n_locales >= 1);
  MESSAGE(n_locales, " locales of this system");
}
