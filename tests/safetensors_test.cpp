// The reader of safetensors files and the JSON under it: what the format allows is read exactly, everything else refused.
#include "safetensors.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <random>
#include <stdexcept>

#include "document.h"
#include "raw_safetensors.h"
#include "sentences.h"

using namespace pith::quantize;
using namespace pith::test;
namespace json = pith::json;

namespace {

// What the reader says of the bytes, which end where an allocation does; "" if it reads them.
std::string refusal(const Bytes& bytes) {
  const Block exact = block_of(bytes.data(), bytes.size());
  const std::string sentence = thrown_by([&] { read_safetensors(exact.get(), bytes.size()); });
  CHECK(sentence.size() < 400);
  return sentence;
}

std::vector<RawStored> small_file() {
  return {{"a", "F32", {2, 3}, Bytes(24, 1)},
          {"b", "BF16", {4}, Bytes(8, 2)},
          {"none", "F32", {0, 7}, {}},
          {"one", "F16", {}, Bytes(2, 3)},
          {"other", "I64", {2}, Bytes(16, 4)}};
}

// The value of a number's bits by the definition of its format.
double value_of_bits(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1, exponent = int(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double mantissa = double(bits & ((1u << mantissa_bits) - 1)),
               sign = bits >> (exponent_bits + mantissa_bits) ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + std::ldexp(1, mantissa_bits), exponent - bias - mantissa_bits);
}

}  // namespace

TEST_CASE("numbers of every float type are read exactly, at any address") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const struct {
    const char* dtype;
    int bytes, exponent_bits, mantissa_bits;
  } types[] = {{"F32", 4, 8, 23}, {"F16", 2, 5, 10}, {"BF16", 2, 8, 7}};
  for (const auto& type : types) {
    std::vector<uint32_t> bits;
    Bytes data;
    for (int i = 0; i < 500; ++i) {
      uint32_t b = uint32_t(random()) & (type.bytes == 4 ? ~0u : 0xffffu);
      const uint32_t exponent = ((1u << type.exponent_bits) - 1) << type.mantissa_bits;
      if ((b & exponent) == exponent) b &= ~exponent;  // finite
      bits.push_back(b);
      for (int k = 0; k < type.bytes; ++k) data.push_back(uint8_t(b >> (8 * k)));
    }
    for (size_t padding = 0; padding < 4; ++padding) {
      const Bytes file = safetensors_of({{"x", type.dtype, {5, 100}, data}}, padding);
      const std::vector<StoredTensor> tensors = read_safetensors(file.data(), file.size());
      REQUIRE(tensors.size() == 1);
      CHECK(tensors[0].n == 500);
      CHECK(tensors[0].bits() == 8 * type.bytes);
      std::vector<float> out(123);
      tensors[0].read(300, out.size(), out.data());
      for (size_t i = 0; i < out.size(); ++i)
        CHECK(double(out[i]) == value_of_bits(bits[300 + i], type.exponent_bits, type.mantissa_bits));
    }
  }
}

TEST_CASE("what the format allows is read") {
  const Bytes file = safetensors_of(small_file(), 5);
  const std::vector<StoredTensor> tensors = read_safetensors(file.data(), file.size());
  REQUIRE(tensors.size() == 5);
  CHECK(tensors[0].shape == std::vector<uint64_t>{2, 3});
  CHECK(tensors[2].n == 0);
  CHECK(tensors[3].n == 1);
  CHECK(tensors[4].type == StoredType::other);
  CHECK(tensors[1].bytes.data() == tensors[0].bytes.data() + 24);
  // Tensors in another order than their bytes; a file without any.
  CHECK(refusal(safetensors_of(R"({"b":{"dtype":"I8","shape":[2],"data_offsets":[1,3]},
                                   "a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})",
                               Bytes(3))) == "");
  CHECK(refusal(safetensors_of("{}", {})) == "");
}

TEST_CASE("every prefix of a safetensors file is refused") {
  const Bytes file = safetensors_of(small_file());
  REQUIRE(refusal(file) == "");
  for (size_t n = 0; n < file.size(); ++n)
    CHECK_MESSAGE(refusal(Bytes(file.begin(), file.begin() + int64_t(n))) != "", n);
}

TEST_CASE("hostile safetensors") {
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const auto x = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return safetensors_of(entry(dtype, shape, offsets), Bytes(64));
  };
  REQUIRE(refusal(x("F32", "[4,4]", "[0,64]")) == "");
  const std::string valid = entry("F32", "[4,4]", "[0,64]");
  std::string nested = valid;
  nested.insert(1, "\"__metadata__\":" + std::string(100000, '[') + std::string(100000, ']') + ",");
  std::string long_name = valid;
  long_name.replace(2, 1, std::string(70000, 'n'));
  const std::string wraps = "18446744073709551615";
  const struct {
    const char* what;
    Bytes file;
    const char* sentence;
  } cases[] = {
      {"a header longer than the format allows", safetensors_of(valid, Bytes(64), 100000001), "100000001 bytes"},
      {"a header of 2^64 - 1 bytes", safetensors_of(valid, Bytes(64), ~uint64_t(0)), "header"},
      {"a header longer than the file", safetensors_of(valid, Bytes(64), 5000), "are left"},
      {"a header that is no JSON", safetensors_of("GGUF", Bytes(64)), "malformed"},
      {"a header that is an array", safetensors_of("[1]", Bytes(64)), "not an object"},
      {"a header cut in the middle", safetensors_of(valid.substr(0, 30), Bytes(64)), "malformed"},
      {"JSON and something after it", safetensors_of(valid + "{}", Bytes(64)), "malformed"},
      {"a hundred thousand levels", safetensors_of(nested, Bytes(64)), "levels"},
      {"one name twice", safetensors_of(valid.substr(0, valid.size() - 1) + "," + valid.substr(1), Bytes(64)), "twice"},
      {"one field twice", x("F32\",\"dtype\":\"F32", "[4,4]", "[0,64]"), "twice"},
      {"a tensor that is a number", safetensors_of(R"({"x":5})", Bytes(64)), "\"x\""},
      {"no dtype", safetensors_of(R"({"x":{"shape":[16],"data_offsets":[0,64]}})", Bytes(64)), "dtype"},
      {"no shape", safetensors_of(R"({"x":{"dtype":"F32","data_offsets":[0,64]}})", Bytes(64)), "shape"},
      {"no offsets", safetensors_of(R"({"x":{"dtype":"F32","shape":[16]}})", Bytes(64)), "data_offsets"},
      {"an unknown dtype, with an escape sequence", x("Q4\\u001b[2J", "[16]", "[0,64]"), "\\u001b"},
      {"a name of 70,000 letters", safetensors_of(long_name, Bytes(60)), "nnn\"..."},
      {"a name with an escape sequence", safetensors_of(R"({"\u001b]0;x\u0007":{}})", {}), "\\u001b]0;x\\u0007"},
      {"a negative dimension", x("F32", "[-4,-4]", "[0,64]"), "natural"},
      {"a dimension that is real", x("F32", "[4.0,4]", "[0,64]"), "natural"},
      {"a dimension above 2^64", x("F32", "[28446744073709551616]", "[0,64]"), "natural"},
      {"nine dimensions", x("F32", "[1,1,1,1,1,1,1,1,16]", "[0,64]"), "dimensions"},
      {"a product that wraps to 16", x("F32", "[4294967296,4294967296,16]", "[0,64]"), "2^64"},
      {"a product that wraps to 0", x("F32", "[4294967296,4294967296]", "[0,64]"), "2^64"},
      {"2^62 numbers of four bytes", x("F32", "[4611686018427387904]", "[0,64]"), "asks for more"},
      {"2^62 + 16 numbers of four bytes", x("F32", "[4611686018427387920]", "[0,64]"), "asks for more"},
      {"a shape larger than the file", x("F32", "[17]", "[0,68]"), "not within"},
      {"a shape larger than its bytes", x("F32", "[8]", "[0,64]"), "span 64 bytes, its shape 32"},
      {"one offset", x("F32", "[16]", "[64]"), "not 2"},
      {"three offsets", x("F32", "[16]", "[0,64,64]"), "not 2"},
      {"offsets the wrong way round", x("F32", "[16]", "[64,0]"), "not within"},
      {"offsets beyond the file", x("F32", "[16]", "[64,128]"), "not within"},
      {"an offset of 2^64 - 1", x("F32", "[16]", "[" + wraps + "," + wraps + "]"), "not within"},
      {"a negative offset", x("F32", "[16]", "[-64,0]"), "natural"},
      {"bytes of no tensor before the first", x("F32", "[15]", "[4,64]"), "4 bytes before"},
      {"bytes of no tensor at the end", x("F32", "[15]", "[0,60]"), "4 bytes at its end"},
      {"bytes of no tensor at all", safetensors_of("{}", Bytes(64)), "64 bytes at its end"},
      {"two tensors of the same bytes",
       safetensors_of(R"({"x":{"dtype":"I8","shape":[64],"data_offsets":[0,64]},
                          "y":{"dtype":"I8","shape":[64],"data_offsets":[0,64]}})",
                      Bytes(64)),
       "another tensor's"},
      {"two tensors that overlap by a byte",
       safetensors_of(R"({"x":{"dtype":"I8","shape":[33],"data_offsets":[0,33]},
                          "y":{"dtype":"I8","shape":[32],"data_offsets":[32,64]}})",
                      Bytes(64)),
       "another tensor's"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    const auto begin = std::chrono::steady_clock::now();
    const std::string sentence = refusal(c.file);
    CHECK_MESSAGE(contains(sentence, c.sentence), sentence);
    for (const char letter : sentence) CHECK((letter >= ' ' && letter <= '~'));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
  }
}

TEST_CASE("shapes and offsets are accepted as integers without limits say") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const uint64_t interesting[] = {0,  1,          2,          4,          8,          16,         32,
                                  64, 1ull << 31, 1ull << 32, 1ull << 33, 1ull << 62, 1ull << 63, ~0ull};
  const auto pick = [&] { return interesting[random() % std::size(interesting)] - random() % 2 * (random() % 4 == 0); };
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint64_t> shape(random() % 4);
    for (uint64_t& dim : shape) dim = random() % 2 ? 1ull << random() % 5 : pick();
    uint64_t n_bytes = random() % 3 ? 64 : pick();
    const bool is_half = random() % 2;
    // Each partial product is to fit 64 bits, and the bytes the file.
    unsigned __int128 product = 1;
    bool is_good = true;
    for (const uint64_t dim : shape) {
      product *= dim;
      is_good &= product < (static_cast<unsigned __int128>(1) << 64);
      if (!is_good) break;
    }
    is_good &= product * (is_half ? 2 : 4) == n_bytes && n_bytes <= 64;
    const std::string header = R"({"x":{"dtype":")" + std::string(is_half ? "F16" : "F32") + R"(","shape":)" +
                               text_of(shape) + R"(,"data_offsets":)" + text_of({0, n_bytes}) + "}}";
    const Bytes file = safetensors_of(header, Bytes(n_bytes <= 64 ? n_bytes : 64));
    CHECK_MESSAGE((refusal(file) == "") == is_good, header);
    accepted += is_good;
  }
  CHECK(accepted > 100);
}

TEST_CASE("JSON of others: levels, members twice, and time are bounded") {
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK_NOTHROW(json::Document::parse(nested(json::Document::kMaxDepth)));
  CHECK_THROWS_AS(json::Document::parse(nested(json::Document::kMaxDepth + 1)), json::Error);
  CHECK_THROWS_AS(json::Document::parse(R"({"a":1,"b":2,"a":1})"), json::Error);
  CHECK_NOTHROW(json::Document::parse(R"({"a":{"a":1},"b":{"a":1}})"));
  std::string members = "{\"m\":0";
  for (int i = 0; i < 200000; ++i) members += ",\"m" + std::to_string(i) + "\":" + std::to_string(i);
  const auto begin = std::chrono::steady_clock::now();
  const json::Document document = json::Document::parse(members + "}");
  CHECK(document.members().size() == 200001);
  CHECK(document.members()[200000].second.natural() == 199999);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));  // not quadratic, which takes minutes
}

TEST_CASE("a document is the same after it was written and read") {
  const std::string text = R"({"a":[1,-2,3.5,true,null,"x\u00e9"],"b":{},"c":[],"":{"d":[[1],{"e":"f"}]}})";
  const json::Document document = json::Document::parse(text);
  CHECK(document == json::Document::parse(document.dump()));
  CHECK(document["a"][1].integer() == -2);
  CHECK(document["a"][2].number() == 3.5);
  CHECK(document["a"][4].is_null());
  CHECK(document[""]["d"][1]["e"].string() == "f");
  CHECK(document["b"].is_object());
  CHECK(document["c"].is_array());
}
