// The C ABI as a whole: structs of other versions, zeros as defaults, a sentence for every failure, metadata,
// alignment.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "api/struct_sizes.h"
#include "pith/pith.hpp"
#include "raw_gguf.h"

// A struct that grew twice, as it stands in the third version of a header.
struct planted {
  uint32_t struct_size, a;
  uint64_t b;
  uint32_t c, d;
};

namespace pith::internal {
PITH_STRUCT_SIZES(planted, PITH_END_OF(planted, a), PITH_END_OF(planted, b), PITH_END_OF(planted, d));
}

using namespace pith;
using pith::test::Block;
using pith::test::block_of;

namespace {

const Model& golden_model() {
  static const Model model = Model::open(PITH_SOURCE_DIR "/tests/golden/tiny.q4.gguf");
  return model;
}

// The call fails with this status and a sentence that has this word in it; and as well without a pith_error.
template <typename Call>
void refuses(pith_status expected, const char* word, const Call& call) {
  pith_error error;
  std::memset(&error, 0xff, sizeof error);
  CHECK(int(call(&error)) == int(expected));
  REQUIRE(std::memchr(error.message, 0, sizeof error.message) != nullptr);
  CHECK_MESSAGE(std::string(error.message).find(word) != std::string::npos, error.message, " lacks ", word);
  CHECK(int(call(static_cast<pith_error*>(nullptr))) == int(expected));
}

// The call succeeds, and leaves no sentence of an earlier one.
template <typename Call>
void accepts(const Call& call) {
  pith_error error;
  std::memset(&error, 0x2e, sizeof error);
  CHECK(int(call(&error)) == int(PITH_OK));
  CHECK(error.message[0] == '\0');
}

}  // namespace

// ---- Structs of other versions

TEST_CASE("a struct of an older version is read as if zeros followed, and not written beyond its end") {
  using internal::read_struct;
  using internal::write_struct;
  const planted full{24, 1, 2, 3, 4};
  for (const uint32_t size : {8u, 16u, 24u}) {
    CAPTURE(size);
    const Block exact =
        block_of(reinterpret_cast<const uint8_t*>(&full), size);  // AddressSanitizer sees every byte beyond
    std::memcpy(exact.get(), &size, sizeof size);
    planted* given = reinterpret_cast<planted*>(exact.get());
    planted read{9, 9, 9, 9, 9};
    CHECK(read_struct(given, &read, nullptr) == PITH_OK);
    CHECK(read.a == 1);
    CHECK(read.b == (size >= 16 ? 2 : 0));
    CHECK(read.d == (size >= 24 ? 4 : 0));
    write_struct(planted{0, 5, 6, 7, 8}, given);
    CHECK(std::memcmp(given, &size, sizeof size) == 0);
    CHECK(given->a == 5);
  }
}

TEST_CASE("a struct of a newer version is read if what it says beyond is zeros") {
  uint8_t bytes[64] = {};
  const planted full{40, 1, 2, 3, 4};
  std::memcpy(bytes, &full, sizeof full);
  planted read{};
  const auto call = [&](pith_error* error) {
    return internal::read_struct(reinterpret_cast<const planted*>(bytes), &read, error);
  };
  bytes[40] = 1;  // not of the struct
  CHECK(call(nullptr) == PITH_OK);
  CHECK(read.d == 4);
  for (size_t at = 24; at < 40; ++at) {
    bytes[at] = 1;
    refuses(PITH_E_ABI, "planted", call);
    refuses(PITH_E_ABI, "newer library", call);
    bytes[at] = 0;
  }
  CHECK(call(nullptr) == PITH_OK);
}

TEST_CASE("a struct_size that no version had is refused by the name of the struct") {
  planted given{}, read{};
  for (const uint32_t size : {0u, 1u, 7u, 9u, 15u, 17u, 23u, 4097u, 0xffffffffu}) {
    CAPTURE(size);
    given.struct_size = size;
    refuses(PITH_E_ABI, "planted: struct_size is ",
            [&](pith_error* e) { return internal::read_struct(&given, &read, e); });
  }
}

namespace {

// Every struct of pith.h through its function: without a size, with a field of the future, and with room for one.
template <typename Struct, typename Call>
void takes_other_sizes(const char* name, const Call& call) {
  CAPTURE(name);
  struct {
    Struct known;
    uint8_t future[8];
  } grown{};
  Struct* given = &grown.known;
  refuses(PITH_E_ABI, name, [&](pith_error* error) { return call(given, error); });
  given->struct_size = sizeof(Struct) - 1;
  refuses(PITH_E_ABI, name, [&](pith_error* error) { return call(given, error); });
  given->struct_size = sizeof(Struct);
  accepts([&](pith_error* error) { return call(given, error); });
  given->struct_size = sizeof grown;
  accepts([&](pith_error* error) { return call(given, error); });
  CHECK(given->struct_size == sizeof grown);
  grown.future[7] = 1;
  refuses(PITH_E_ABI, name, [&](pith_error* error) { return call(given, error); });
}

}  // namespace

TEST_CASE("every struct of pith.h may come from a newer program") {
  const pith_model* model = golden_model().get();
  size_t bytes = 0;
  takes_other_sizes<pith_model_info>("pith_model_info",
                                     [&](auto* s, auto* e) { return pith_model_get_info(model, s, e); });
  takes_other_sizes<pith_metadata>("pith_metadata",
                                   [&](auto* s, auto* e) { return pith_model_get_metadata(model, 0, s, e); });
  takes_other_sizes<pith_metadata>(
      "pith_metadata", [&](auto* s, auto* e) { return pith_model_find_metadata(model, "general.name", s, e); });
  const size_t tokens = golden_model().find_metadata("tokenizer.ggml.tokens").index;
  takes_other_sizes<pith_metadata>(
      "pith_metadata", [&](auto* s, auto* e) { return pith_model_get_metadata_element(model, tokens, 0, s, e); });
  takes_other_sizes<pith_tensor>("pith_tensor",
                                 [&](auto* s, auto* e) { return pith_model_get_tensor(model, 0, s, e); });
  takes_other_sizes<pith_session_options>("pith_session_options",
                                          [&](auto* s, auto* e) { return pith_session_bytes(model, s, &bytes, e); });
  takes_other_sizes<pith_session_plan>("pith_session_plan",
                                       [&](auto* s, auto* e) { return pith_session_get_plan(model, nullptr, s, e); });
  takes_other_sizes<pith_sampler_options>("pith_sampler_options",
                                          [&](auto* s, auto* e) { return pith_sampler_bytes(s, 10, &bytes, e); });
  takes_other_sizes<pith_stream>("pith_stream", [&](auto* s, auto* e) { return pith_stream_init(s, nullptr, 0, e); });
  std::string out(pith_stream_capacity(1), '\0');
  takes_other_sizes<pith_stream>(
      "pith_stream", [&](auto* s, auto* e) { return pith_stream_push(s, "a", 1, out.data(), out.size(), &bytes, e); });
}

TEST_CASE("pith_X_options_init writes as many bytes as the program says") {
  pith_session_options options[2];
  for (const uint32_t size :
       {4u, 40u, uint32_t(sizeof(pith_session_options)), uint32_t(sizeof(pith_session_options)) + 8}) {
    std::memset(options, 0xa5, sizeof options);
    pith_session_options_init(options, size);
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(options);
    CHECK(options->struct_size == size);
    for (size_t i = 4; i < sizeof options; ++i) CHECK(bytes[i] == (i < size ? 0 : 0xa5));
  }
  pith_session_options_init(nullptr, 8);
  pith_sampler_options_init(nullptr, 8);
}

// ---- Zero is the default

TEST_CASE("options of zeros, the initialised ones and none are the defaults, and the defaults are what pith.h says") {
  const Model& model = golden_model();
  pith_session_options zeros = sized<pith_session_options>(), said = zeros;
  said.capacity = model.info().context_length;
  said.cache = said.activations = PITH_PRECISION_I8;
  said.attention = PITH_ATTENTION_DEFAULT;
  said.max_threads = 1;
  said.chunk = 512;
  said.tier = pith_tier_name(0, nullptr);
  int usable = 0;
  for (size_t i = 0; usable == 0; ++i) said.tier = pith_tier_name(i, &usable);
  const pith_session_plan expected = Session::plan(model, zeros);
  const auto has_expected_plan = [&](const pith_session_options* options) {
    pith_session_plan plan = sized<pith_session_plan>();
    CHECK(int(pith_session_get_plan(model.get(), options, &plan, nullptr)) == int(PITH_OK));
    CHECK(std::memcmp(&plan, &expected, sizeof plan) == 0);
  };
  const pith_session_options initialised = session_options();
  const pith_session_options* const given[] = {nullptr, &initialised, &said};
  for (const pith_session_options* options : given) has_expected_plan(options);
  const std::vector<int32_t> tokens = {0, 70, 102, 33, 70, 102, 5, 6, 7, 8, 9, 10};
  Session by_zeros(model, zeros), by_words(model, said);
  by_zeros.eval(tokens);
  by_words.eval(tokens);
  CHECK(std::memcmp(by_zeros.logits().data(), by_words.logits().data(), by_zeros.logits().size_bytes()) == 0);
  CHECK(by_zeros.save() == by_words.save());
  CHECK(by_zeros.tier() == by_words.tier());
  said.pool_bytes = PITH_POOL_NONE;
  if (expected.pool_bytes > 0) CHECK(Session::plan(model, said).pool_bytes == 0);
}

TEST_CASE("sampler options of zeros draw as those that pith.h names") {
  std::vector<float> logits(300);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = float(i * 37 % 64) / 8;
  pith_sampler_options said = sized<pith_sampler_options>();
  said.temperature = 0.8f;
  said.top_k = 40;
  said.top_p = 0.95f;
  said.min_p = 0.05f;
  said.repeat_penalty = 1;
  said.repeat_window = 64;
  size_t bytes = 0;
  CHECK(int(pith_sampler_bytes(nullptr, 300, &bytes, nullptr)) == int(PITH_OK));
  const Block memory = block_of(bytes);
  pith_sampler* without = nullptr;
  CHECK(int(pith_sampler_init(nullptr, 300, memory.get(), bytes, &without, nullptr)) == int(PITH_OK));
  Sampler by_zeros(300), by_words(300, said);
  for (int i = 0; i < 200; ++i) {
    int32_t token = -1;
    CHECK(int(pith_sampler_draw(without, logits.data(), &token, nullptr)) == int(PITH_OK));
    CHECK(by_zeros.draw(logits) == token);
    CHECK(by_words.draw(logits) == token);
  }
  CHECK(by_zeros.save() == by_words.save());
  said.reserved = 1;
  CHECK_THROWS_WITH_AS(Sampler(300, said), "pith_sampler_options: reserved is 1; set it to 0", Error);
}

// ---- A sentence for every failure

TEST_CASE("every call of a model says what was wrong") {
  const pith_model* model = golden_model().get();
  const Block data = block_of(1024);
  size_t n = 0;
  pith_model* made = nullptr;
  pith_model_info info = sized<pith_model_info>();
  pith_metadata entry = sized<pith_metadata>();
  pith_tensor tensor = sized<pith_tensor>();
  refuses(PITH_E_ARGUMENT, "data", [&](auto* e) { return pith_model_bytes(nullptr, 9, &n, e); });
  refuses(PITH_E_ARGUMENT, "out_bytes", [&](auto* e) { return pith_model_bytes(data.get(), 9, nullptr, e); });
  refuses(PITH_E_ALIGNMENT, "pith_alignment_shift",
          [&](auto* e) { return pith_model_bytes(data.get() + 8, 9, &n, e); });
  refuses(PITH_E_TRUNCATED, "header", [&](auto* e) { return pith_model_bytes(data.get(), 9, &n, e); });
  refuses(PITH_E_ARGUMENT, "out_model",
          [&](auto* e) { return pith_model_init(data.get(), 9, data.get(), 9, nullptr, e); });
  refuses(PITH_E_TRUNCATED, "header", [&](auto* e) { return pith_model_init(data.get(), 9, data.get(), 9, &made, e); });
  refuses(PITH_E_ARGUMENT, "model", [&](auto* e) { return pith_model_get_info(nullptr, &info, e); });
  refuses(PITH_E_ARGUMENT, "out_info", [&](auto* e) { return pith_model_get_info(model, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "model", [&](auto* e) { return pith_model_get_metadata(nullptr, 0, &entry, e); });
  refuses(PITH_E_ARGUMENT, "out_metadata", [&](auto* e) { return pith_model_get_metadata(model, 0, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "index", [&](auto* e) { return pith_model_get_metadata(model, 9999, &entry, e); });
  refuses(PITH_E_ARGUMENT, "key", [&](auto* e) { return pith_model_find_metadata(model, nullptr, &entry, e); });
  refuses(PITH_E_MISSING, "general.nonsense",
          [&](auto* e) { return pith_model_find_metadata(model, "general.nonsense", &entry, e); });
  refuses(PITH_E_ARGUMENT, "index",
          [&](auto* e) { return pith_model_get_metadata_element(model, 9999, 0, &entry, e); });
  const size_t name = golden_model().find_metadata("general.name").index;
  refuses(PITH_E_TYPE, "general.name",
          [&](auto* e) { return pith_model_get_metadata_element(model, name, 0, &entry, e); });
  refuses(PITH_E_ARGUMENT, "index", [&](auto* e) { return pith_model_get_tensor(model, 9999, &tensor, e); });
  refuses(PITH_E_ARGUMENT, "out_tensor", [&](auto* e) { return pith_model_get_tensor(model, 0, nullptr, e); });
}

TEST_CASE("every call of a session says what was wrong") {
  const Model& model = golden_model();
  pith_session_options options = session_options();
  options.capacity = 4;
  options.max_threads = 2;
  Session session(model, options), other(model);
  pith_session* s = session.get();
  const int32_t good = 7, bad[] = {7, -1, 9999};
  size_t n = 0;
  uint8_t small[64];
  pith_session_plan plan = sized<pith_session_plan>();
  refuses(PITH_E_ARGUMENT, "model", [&](auto* e) { return pith_session_bytes(nullptr, &options, &n, e); });
  refuses(PITH_E_ARGUMENT, "out_plan",
          [&](auto* e) { return pith_session_get_plan(model.get(), &options, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "model", [&](auto* e) { return pith_session_get_plan(nullptr, &options, &plan, e); });
  refuses(PITH_E_ARGUMENT, "out_session",
          [&](auto* e) { return pith_session_init(model.get(), &options, small, 64, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "session", [&](auto* e) { return pith_session_eval(nullptr, &good, 1, e); });
  refuses(PITH_E_ARGUMENT, "tokens: is NULL", [&](auto* e) { return pith_session_eval(s, nullptr, 1, e); });
  refuses(PITH_E_ARGUMENT, "token 1 is -1", [&](auto* e) { return pith_session_eval(s, bad, 3, e); });
  refuses(PITH_E_ARGUMENT, "token 0 is 9999, not within 0 .. 2047",
          [&](auto* e) { return pith_session_eval(s, bad + 2, 1, e); });
  refuses(PITH_E_ARGUMENT, "session", [&](auto* e) { return pith_session_reset(nullptr, e); });
  refuses(PITH_E_ARGUMENT, "position", [&](auto* e) { return pith_session_rewind(s, 1, e); });
  for (int i = 0; i < 5; ++i) accepts([&](auto* e) { return pith_session_eval(s, &good, 1, e); });
  refuses(PITH_E_STATE, "capacity", [&](auto* e) { return pith_session_rewind(s, 1, e); });
  refuses(PITH_E_ARGUMENT, "itself", [&](auto* e) { return pith_session_copy(s, s, e); });
  refuses(PITH_E_ARGUMENT, "its capacity", [&](auto* e) { return pith_session_copy(s, other.get(), e); });
  refuses(PITH_E_ARGUMENT, "out_bytes", [&](auto* e) { return pith_session_save(s, small, 64, nullptr, e); });
  refuses(PITH_E_CAPACITY, (std::to_string(session.state_bytes()) + ", has 64").c_str(),
          [&](auto* e) { return pith_session_save(s, small, 64, &n, e); });
  CHECK(n == session.state_bytes());
  refuses(PITH_E_ARGUMENT, "state", [&](auto* e) { return pith_session_restore(s, nullptr, 64, e); });
  refuses(PITH_E_SAVED_KIND, "state", [&](auto* e) { return pith_session_restore(s, small, 64, e); });
  refuses(PITH_E_ARGUMENT, "n_threads: 3 is not within 1 .. 2",
          [&](auto* e) { return pith_session_set_threads(s, 3, e); });
  refuses(PITH_E_ARGUMENT, "n_threads", [&](auto* e) { return pith_session_set_threads(s, 0, e); });
  accepts([&](auto* e) { return pith_session_set_threads(s, 1, e); });
  accepts([&](auto* e) { return pith_session_rewind(s, 5, e); });
  accepts([&](auto* e) { return pith_session_reset(s, e); });
  CHECK(pith_session_state_bytes(nullptr) == 0);
  CHECK(pith_session_position(nullptr) == 0);
  CHECK(pith_session_logits(nullptr) == nullptr);
  CHECK(std::string(pith_session_tier(nullptr)).empty());
}

TEST_CASE("every call of a sampler says what was wrong") {
  Sampler sampler(3);
  const float logits[] = {1, 2, 3}, bad[] = {1, __builtin_nanf(""), 3};
  const float none[] = {-__builtin_inff(), -__builtin_inff(), -__builtin_inff()};
  int32_t token = 0;
  size_t n = 0;
  uint8_t small[64];
  pith_sampler* s = sampler.get();
  refuses(PITH_E_ARGUMENT, "vocab_size", [&](auto* e) { return pith_sampler_bytes(nullptr, 0, &n, e); });
  refuses(PITH_E_ARGUMENT, "out_bytes", [&](auto* e) { return pith_sampler_bytes(nullptr, 3, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "out_sampler",
          [&](auto* e) { return pith_sampler_init(nullptr, 3, small, 64, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "token: 3 is not within 0 .. 2", [&](auto* e) { return pith_sampler_accept(s, 3, e); });
  refuses(PITH_E_ARGUMENT, "sampler", [&](auto* e) { return pith_sampler_accept(nullptr, 3, e); });
  refuses(PITH_E_ARGUMENT, "logits", [&](auto* e) { return pith_sampler_draw(s, nullptr, &token, e); });
  refuses(PITH_E_NUMERIC, "token 1", [&](auto* e) { return pith_sampler_draw(s, bad, &token, e); });
  refuses(PITH_E_NUMERIC, "-infinity", [&](auto* e) { return pith_sampler_draw(s, none, &token, e); });
  refuses(PITH_E_ARGUMENT, "sampler", [&](auto* e) { return pith_sampler_set_seed(nullptr, 3, e); });
  refuses(PITH_E_CAPACITY, ", has 64", [&](auto* e) { return pith_sampler_save(s, small, 64, &n, e); });
  CHECK(n == sampler.state_bytes());
  refuses(PITH_E_ARGUMENT, "state", [&](auto* e) { return pith_sampler_restore(s, nullptr, 64, e); });
  accepts([&](auto* e) { return pith_sampler_accept(s, 2, e); });
  accepts([&](auto* e) { return pith_sampler_draw(s, logits, &token, e); });
  CHECK_THROWS_WITH_AS(sampler.draw({}), "argument logits: 0 of them for 3 tokens; evaluate a token first", Error);
}

TEST_CASE("every call of a tokenizer and of a stream says what was wrong") {
  const Tokenizer tokenizer(golden_model());
  const pith_tokenizer* t = tokenizer.get();
  int32_t ids[8];
  uint8_t work[4096], state[16];
  size_t n = 0;
  const char* text = nullptr;
  const auto encode = [&](uint32_t flags, size_t capacity, size_t work_bytes) {
    return [&, flags, capacity, work_bytes](pith_error* e) {
      return pith_tokenizer_encode(t, "xyzxyz", 6, flags, ids, capacity, &n, work, work_bytes, e);
    };
  };
  refuses(PITH_E_ARGUMENT, "out_tokenizer",
          [&](auto* e) { return pith_tokenizer_init(golden_model().get(), work, 9, nullptr, e); });
  refuses(PITH_E_ARGUMENT, "model", [&](auto* e) { return pith_tokenizer_bytes(nullptr, &n, e); });
  refuses(PITH_E_ARGUMENT, "flags: 8", encode(8, 8, sizeof work));
  refuses(PITH_E_ARGUMENT, "at once", encode(PITH_ENCODE_BOS | PITH_ENCODE_NO_BOS, 8, sizeof work));
  refuses(PITH_E_MEMORY, "work_bytes", encode(0, 8, 5));
  refuses(PITH_E_CAPACITY, ", has 1", encode(0, 1, sizeof work));
  refuses(PITH_E_ARGUMENT, "text",
          [&](auto* e) { return pith_tokenizer_encode(t, nullptr, 6, 0, ids, 8, &n, work, sizeof work, e); });
  refuses(PITH_E_ARGUMENT, "out_count",
          [&](auto* e) { return pith_tokenizer_encode(t, "a", 1, 0, ids, 8, nullptr, work, sizeof work, e); });
  refuses(PITH_E_ARGUMENT, "token: 2048 is not within 0 .. 2047",
          [&](auto* e) { return pith_tokenizer_decode(t, 2048, &text, &n, e); });
  accepts(encode(0, 8, sizeof work));
  accepts([&](auto* e) { return pith_tokenizer_decode(t, 2047, &text, &n, e); });

  pith_stream stream = sized<pith_stream>();
  std::string out(pith_stream_capacity(1), '\0');
  const char *empty = "", *nine[9] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
  const auto push = [&](size_t capacity) {
    return [&, capacity](pith_error* e) { return pith_stream_push(&stream, "a", 1, out.data(), capacity, &n, e); };
  };
  refuses(PITH_E_ARGUMENT, "option stop: 9 strings", [&](auto* e) { return pith_stream_init(&stream, nine, 9, e); });
  refuses(PITH_E_ARGUMENT, "option stop: string 0 has 0 bytes",
          [&](auto* e) { return pith_stream_init(&stream, &empty, 1, e); });
  accepts([&](auto* e) { return pith_stream_init(&stream, nine, 8, e); });
  refuses(PITH_E_CAPACITY, (std::to_string(out.size()) + ", has 9").c_str(), push(9));
  CHECK(n == out.size());
  refuses(PITH_E_ARGUMENT, "out: is NULL",
          [&](auto* e) { return pith_stream_push(&stream, "a", 1, nullptr, 9, &n, e); });
  refuses(PITH_E_CAPACITY, ", has 3", [&](auto* e) { return pith_stream_finish(&stream, out.data(), 3, &n, e); });
  refuses(PITH_E_CAPACITY, ", has 16", [&](auto* e) { return pith_stream_save(&stream, state, 16, &n, e); });
  refuses(PITH_E_SAVED_TRUNCATED, "state", [&](auto* e) { return pith_stream_restore(&stream, state, 16, e); });
  accepts(push(out.size()));
  for (const auto spoil : {+[](pith_stream* s) { s->n_held = 128; }, +[](pith_stream* s) { s->n_stops = 9; },
                           +[](pith_stream* s) { s->stop_bytes[7] = 65; }, +[](pith_stream* s) { s->stopped = 2; }}) {
    const pith_stream before = stream;
    spoil(&stream);
    refuses(PITH_E_ARGUMENT, "argument stream", push(out.size()));
    stream = before;
  }
}

// ---- The rest

TEST_CASE("metadata is found by key, and arrays are read by element") {
  using namespace pith::test;
  const Model& model = golden_model();
  for (size_t i = 0; i < model.metadata_count(); ++i) {
    const pith_metadata entry = model.metadata(i);
    const std::string key(entry.key, entry.key_bytes);
    CAPTURE(key);
    CHECK(entry.index == i);
    const pith_metadata found = model.find_metadata(key);
    CHECK(std::memcmp(&found, &entry, sizeof found) == 0);
    for (uint64_t k = 0; entry.type == PITH_VALUE_ARRAY && k < std::min<uint64_t>(entry.array_count, 50); ++k) {
      const pith_metadata element = model.metadata_element(i, k);
      CHECK(element.type == entry.element_type);
      CHECK(element.index == i);
      CHECK(std::string(element.key, element.key_bytes) == key);
    }
  }
  const pith_metadata tokens = model.find_metadata("tokenizer.ggml.tokens");
  REQUIRE(tokens.array_count == 2048);
  CHECK(tokens.element_type == uint32_t(PITH_VALUE_STRING));
  const auto token = [&](uint64_t id) {
    const pith_metadata element = model.metadata_element(tokens.index, id);
    return std::string(element.string, element.string_bytes);
  };
  CHECK(token(0) == "<|endoftext|>");
  const Tokenizer tokenizer(model);
  for (const int32_t id : {1, 100, 2047}) {
    if (token(uint64_t(id)) == tokenizer.decode(id)) CHECK(tokenizer.token_id(token(uint64_t(id))) == id);
  }
  CHECK_THROWS_AS(model.metadata_element(tokens.index, 2048), Error);
}

TEST_CASE("statuses have phrases, the version is a number, and addresses a shift") {
  CHECK(pith_version_number() == PITH_VERSION_NUMBER);
  CHECK(PITH_VERSION_NUMBER == PITH_VERSION_MAJOR * 1000000 + PITH_VERSION_MINOR * 1000 + PITH_VERSION_PATCH);
  CHECK(std::string(pith_version()) == std::to_string(PITH_VERSION_MAJOR) + "." + std::to_string(PITH_VERSION_MINOR) +
                                           "." + std::to_string(PITH_VERSION_PATCH));
  CHECK(is_library_new_enough());
  int n_known = 0;
  for (int i = -1; i < 100; ++i) {
    const std::string phrase = pith_status_string(pith_status(i));
    CHECK(!phrase.empty());
    n_known += phrase != "unknown status";
  }
  CHECK(n_known == 40);
  for (uintptr_t at = 0; at < 200; ++at) {
    const size_t shift = pith_alignment_shift(reinterpret_cast<const void*>(at));
    CHECK(shift < PITH_ALIGNMENT);
    CHECK((at + shift) % PITH_ALIGNMENT == 0);
  }
  size_t n_usable = 0;
  for (const TierName& tier : tiers()) n_usable += tier.is_usable;
  CHECK(n_usable >= 1);
}
