// The C ABI over small files made for it: metadata of every type, vocabularies that lack something, tensors in another order.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "api_testing.h"

using namespace pith::test;

TEST_CASE("a chat refuses a byte that the vocabulary has no token for") {
  RawGguf raw = tiny_packed();
  std::vector<std::string> tokens = {"<|endoftext|>"};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(byte == 'q' ? "zz" : byte_token(byte));
  raw.set("tokenizer.ggml.tokens", kArray, string_array(tokens));
  const Objects o(raw);
  pith_chat_options options = sized<pith_chat_options>();
  options.template_name = pith_chat_template_name(0);
  size_t n = 0;
  REQUIRE(int(pith_chat_bytes(o.model, o.tokenizer, &options, &n, nullptr)) == int(PITH_OK));
  const Block memory = block_of(n);
  pith_chat* chat = nullptr;
  REQUIRE(int(pith_chat_init(o.model, o.tokenizer, &options, memory.get(), n, &chat, nullptr)) == int(PITH_OK));
  for (const char* text : {"ab", "aq"}) {
    const pith_message message{PITH_ROLE_USER, 0, text, 2};
    std::vector<uint8_t> work(pith_chat_work_bytes(chat, &message, 1, 0));
    std::vector<int32_t> ids(200);
    const auto encode = [&](pith_error* e) {
      return pith_chat_encode(chat, &message, 1, 0, ids.data(), ids.size(), &n, work.data(), work.size(), e);
    };
    if (text[1] == 'q') refuses(PITH_E_ARGUMENT, "no token for the byte 113", encode);
    else CHECK(int(encode(nullptr)) == int(PITH_OK));
  }
}

TEST_CASE("a model without a vocabulary has no tokenizer") {
  RawGguf raw = tiny_packed();
  for (const char* key : {"model", "pre", "tokens", "token_type", "merges"})
    raw.remove(std::string("tokenizer.ggml.") + key);
  const Bytes bytes = raw.build();
  const Block data = block_of(bytes.data(), bytes.size());
  size_t n = 0;
  REQUIRE(int(pith_model_bytes(data.get(), bytes.size(), &n, nullptr)) == int(PITH_OK));
  const Block memory = block_of(n);
  pith_model* model = nullptr;
  REQUIRE(int(pith_model_init(data.get(), bytes.size(), memory.get(), n, &model, nullptr)) == int(PITH_OK));
  pith_tokenizer* tokenizer = nullptr;
  const pith_status status = pith_tokenizer_bytes(model, &n, nullptr);
  CHECK(int(status) != int(PITH_OK));
  CHECK(int(pith_tokenizer_init(model, memory.get(), n, &tokenizer, nullptr)) == int(status));
  CHECK(tokenizer == nullptr);
}

TEST_CASE("metadata of every type has its value, alone and as an element") {
  RawGguf raw = tiny_packed();
  const auto add = [&](const std::string& name, uint32_t type, const Bytes& one, const Bytes& other) {
    raw.set("one." + name, type, one);
    Bytes array;
    put<uint32_t>(&array, type);
    put<uint64_t>(&array, 2);
    array.insert(array.end(), other.begin(), other.end());
    array.insert(array.end(), one.begin(), one.end());
    raw.set("two." + name, kArray, array);
  };
  add("u8", kU8, value_of<uint8_t>(200), value_of<uint8_t>(1));
  add("i8", 1, value_of<int8_t>(-100), value_of<int8_t>(1));
  add("u16", 2, value_of<uint16_t>(60000), value_of<uint16_t>(1));
  add("i16", 3, value_of<int16_t>(-30000), value_of<int16_t>(1));
  add("u32", kU32, value_of<uint32_t>(4000000000), value_of<uint32_t>(1));
  add("i32", kI32, value_of<int32_t>(-2000000000), value_of<int32_t>(1));
  add("f32", kF32, value_of<float>(-1.5f), value_of<float>(1));
  add("bool", kBool, value_of<uint8_t>(1), value_of<uint8_t>(0));
  add("string", kString, string_value("text"), string_value("other one"));
  add("u64", kU64, value_of<uint64_t>(~0ull), value_of<uint64_t>(1));
  add("i64", kI64, value_of<int64_t>(INT64_MIN), value_of<int64_t>(1));
  add("f64", 12, value_of<double>(1e300), value_of<double>(1));
  const Objects o(raw);
  struct Expected {
    const char* name;
    pith_value_type type;
    uint64_t uint_value;
    int64_t int_value;
    double float_value;
    std::string text;
  };
  const Expected all[] = {
      {"u8", PITH_VALUE_UINT, 200, 0, 0, ""},         {"i8", PITH_VALUE_INT, 0, -100, 0, ""},
      {"u16", PITH_VALUE_UINT, 60000, 0, 0, ""},      {"i16", PITH_VALUE_INT, 0, -30000, 0, ""},
      {"u32", PITH_VALUE_UINT, 4000000000, 0, 0, ""}, {"i32", PITH_VALUE_INT, 0, -2000000000, 0, ""},
      {"f32", PITH_VALUE_FLOAT, 0, 0, -1.5, ""},      {"bool", PITH_VALUE_BOOL, 1, 0, 0, ""},
      {"string", PITH_VALUE_STRING, 0, 0, 0, "text"}, {"u64", PITH_VALUE_UINT, ~0ull, 0, 0, ""},
      {"i64", PITH_VALUE_INT, 0, INT64_MIN, 0, ""},   {"f64", PITH_VALUE_FLOAT, 0, 0, 1e300, ""}};
  for (const Expected& expected : all) {
    CAPTURE(std::string(expected.name));
    const auto check = [&](const pith_metadata& entry) {
      CHECK(entry.type == uint32_t(expected.type));
      CHECK(entry.uint_value == expected.uint_value);
      CHECK(entry.int_value == expected.int_value);
      CHECK(entry.float_value == expected.float_value);
      CHECK((entry.string == nullptr ? std::string() : std::string(entry.string, entry.string_bytes)) == expected.text);
    };
    pith_metadata entry = sized<pith_metadata>();
    REQUIRE(int(pith_model_find_metadata(o.model, (std::string("one.") + expected.name).c_str(), &entry, nullptr)) ==
            int(PITH_OK));
    check(entry);
    CHECK(entry.array_count == 0);
    refuses(PITH_E_TYPE, "is no array",
            [&](auto* e) { return pith_model_get_metadata_element(o.model, entry.index, 0, &entry, e); });
    REQUIRE(int(pith_model_find_metadata(o.model, (std::string("two.") + expected.name).c_str(), &entry, nullptr)) ==
            int(PITH_OK));
    CHECK(entry.type == uint32_t(PITH_VALUE_ARRAY));
    CHECK(entry.element_type == uint32_t(expected.type));
    CHECK(entry.array_count == 2);
    const size_t index = entry.index;
    REQUIRE(int(pith_model_get_metadata_element(o.model, index, 1, &entry, nullptr)) == int(PITH_OK));
    check(entry);
    refuses(PITH_E_ARGUMENT, "argument element: 2",
            [&](auto* e) { return pith_model_get_metadata_element(o.model, index, 2, &entry, e); });
  }
}

TEST_CASE("a token in front of the text: as the flags say, else as the file does") {
  for (const bool is_added : {false, true}) {
    RawGguf raw = tiny_packed();
    raw.set("tokenizer.ggml.add_bos_token", kBool, value_of<uint8_t>(is_added));
    const Objects o(raw);
    const auto n_tokens = [&](uint32_t flags, size_t capacity) {
      int32_t ids[2] = {-1, -1};
      uint8_t work[256];
      size_t n = 0;
      const pith_status status =
          pith_tokenizer_encode(o.tokenizer, "a", 1, flags, ids, capacity, &n, work, sizeof work, nullptr);
      CHECK((status == PITH_OK) == (n <= capacity));
      CHECK((ids[0] == 0) == (n == 2 && capacity > 0));
      return n;
    };
    for (const size_t capacity : {0, 1, 2}) {
      CHECK(n_tokens(0, capacity) == (is_added ? 2 : 1));
      CHECK(n_tokens(PITH_ENCODE_BOS, capacity) == 2);
      CHECK(n_tokens(PITH_ENCODE_NO_BOS, capacity) == 1);
    }
  }
  RawGguf none = tiny_packed();
  none.remove("tokenizer.ggml.bos_token_id");
  const Objects o(none);
  int32_t ids[2];
  size_t n = 0;
  uint8_t work[256];
  refuses(PITH_E_MISSING, "bos_token_id", [&](auto* e) {
    return pith_tokenizer_encode(o.tokenizer, "a", 1, PITH_ENCODE_BOS, ids, 2, &n, work, sizeof work, e);
  });
}

// The hash of the model in a state is that of the file up to its first weight, whichever tensor the file lists first.
TEST_CASE("a state is bound to what stands before the weights, in whatever order the file lists its tensors") {
  for (const bool is_reversed : {false, true}) {
    RawGguf raw = tiny_packed();
    uint64_t at = 0;
    for (RawTensor& t : raw.tensors) {
      t.data.resize((t.data.size() + 63) / 64 * 64);
      t.offset = at;
      at += t.data.size();
    }
    // The bytes of the weights stay where they are: one tensor holds them all, the others none.
    Bytes weights;
    for (RawTensor& t : raw.tensors) {
      weights.insert(weights.end(), t.data.begin(), t.data.end());
      t.data.clear();
    }
    if (is_reversed) std::reverse(raw.tensors.begin(), raw.tensors.end());
    raw.tensors.back().data = weights;
    raw.set_string("name", "first");
    const Objects one(raw);
    raw.tensors.back().data[0] ^= 1;  // a weight of the tensor that comes first
    const Objects of_other_weights(raw);
    raw.set_string("name", "other");
    const Objects another(raw);
    const int32_t token = 3;
    REQUIRE(int(pith_session_eval(one.session, &token, 1, nullptr)) == int(PITH_OK));
    std::vector<uint8_t> state(pith_session_state_bytes(one.session));
    size_t n = 0;
    REQUIRE(int(pith_session_save(one.session, state.data(), state.size(), &n, nullptr)) == int(PITH_OK));
    CHECK(int(pith_session_restore(one.session, state.data(), n, nullptr)) == int(PITH_OK));
    CHECK(int(pith_session_restore(of_other_weights.session, state.data(), n, nullptr)) == int(PITH_OK));
    refuses(PITH_E_SAVED_MISMATCH, "another model",
            [&](auto* e) { return pith_session_restore(another.session, state.data(), n, e); });
  }
}
