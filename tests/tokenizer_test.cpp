// The tokenizer against the `tokenizers` package (golden cases) and by its own invariants.
#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "runtime.h"
#include "tokenizer.h"

using namespace pith;
using namespace pith::test;

namespace {

Bytes file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  const std::string s = text.str();
  return Bytes(s.begin(), s.end());
}

std::string unhex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += char(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

const Runtime& tiny() {
  static const Runtime runtime(file_bytes(PITH_SOURCE_DIR "/tests/golden/tiny.q4.gguf"));
  return runtime;
}

std::string decode_all(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
  std::string out;
  for (const int32_t token : tokens) out += tokenizer.decode(token);
  return out;
}

}  // namespace

TEST_CASE("ids equal those of the tokenizers package") {
  const Tokenizer tokenizer(tiny().model);
  std::ifstream in(PITH_SOURCE_DIR "/tests/golden/tokenizer_cases.tsv");
  size_t n_cases = 0;
  for (std::string line; std::getline(in, line); ++n_cases) {
    const size_t tab = line.find('\t');
    const std::string text = unhex(line.substr(0, tab));
    std::vector<int32_t> expected;
    std::istringstream ids(line.substr(tab + 1));
    for (int32_t id; ids >> id;) expected.push_back(id);
    CAPTURE(line.substr(0, tab));
    CHECK(tokenizer.encode(text) == expected);
    CHECK(decode_all(tokenizer, expected) == text);
  }
  CHECK(n_cases > 300);
}

TEST_CASE("any bytes go in and come out again") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Tokenizer tokenizer(tiny().model);
  for (int round = 0; round < 500; ++round) {
    std::string text(random() % 60, '\0');
    for (char& c : text) c = char(round % 2 == 0 ? random() : 0xc0 + random() % 64);
    REQUIRE(decode_all(tokenizer, tokenizer.encode(text)) == text);
  }
}

TEST_CASE("a megabyte without a break is tokenised in n log n") {
  const Tokenizer tokenizer(tiny().model);
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& text : {std::string(1 << 20, 'A'), std::string(1 << 20, '\n'), std::string(1 << 20, 'e')})
    CHECK(decode_all(tokenizer, tokenizer.encode(text)) == text);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  MESSAGE("three megabytes in ", seconds.count(), " s");
  CHECK(seconds.count() < 60);  // quadratic work would take hours; sanitizers and emulation are slow
}

TEST_CASE("a short buffer is reported with the count that it needs") {
  const Tokenizer tokenizer(tiny().model);
  const std::string text = "The fox and the lantern";
  const std::vector<int32_t> all = tokenizer.encode(text);
  REQUIRE(all.size() > 3);
  std::vector<int32_t> some(all.size(), -7);
  std::vector<char> work(pith_tokenizer_work_bytes(text.size()));
  size_t count = 0;
  CHECK(int(pith_tokenizer_encode(tokenizer.get(), text.data(), text.size(), some.data(), 2, &count, work.data(), work.size())) == int(PITH_E_CAPACITY));
  CHECK(count == all.size());
  CHECK(some[0] == all[0]);
  CHECK(some[1] == all[1]);
  CHECK(some[2] == -7);
  CHECK(int(pith_tokenizer_encode(tokenizer.get(), text.data(), text.size(), some.data(), 9, &count, work.data(), work.size() - 1)) == int(PITH_E_MEMORY));
  const char* piece = nullptr;
  for (const int32_t token : {-1, 2048, INT32_MAX, INT32_MIN})
    CHECK(int(pith_tokenizer_decode(tokenizer.get(), token, &piece, &count)) == int(PITH_E_ARGUMENT));
  CHECK(tokenizer.bos() == 0);
  CHECK(tokenizer.eos() == 0);
  CHECK(tokenizer.decode(0).empty());
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("special tokens written in a text are text") {
  const Tokenizer tokenizer(tiny().model);
  const std::vector<int32_t> tokens = tokenizer.encode("<|endoftext|>");
  CHECK(tokens.size() > 1);
  CHECK(std::find(tokens.begin(), tokens.end(), 0) == tokens.end());
}

TEST_CASE("pieces of the pre-tokeniser") {
  const auto pieces = [](std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
      const size_t n = next_piece(text);
      out.emplace_back(text.substr(0, n));
      text.remove_prefix(n);
    }
    return out;
  };
  using Pieces = std::vector<std::string>;
  CHECK(pieces("The fox's 3 lanterns!") == Pieces{"The", " fox", "'s", " 3", " lanterns", "!"});
  CHECK(pieces("a  b\n\nc ") == Pieces{"a", " ", " b", "\n", "\n", "c", " "});
  CHECK(pieces(" 's") == Pieces{" '", "s"});
  CHECK(pieces("\xff\xfe x") == Pieces{"\xff\xfe", " x"});
}
