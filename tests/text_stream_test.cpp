#include <doctest/doctest.h>

#include <random>

#include "runtime.h"

using namespace pith;

namespace {

// All that a stream hands out for the pieces.
std::string stream_all(const std::vector<std::string>& pieces, const std::vector<std::string>& stops, bool* stopped = nullptr) {
  TextStream stream(stops);
  std::string out;
  for (const std::string& piece : pieces) out += stream.push(piece);
  out += stream.finish();
  if (stopped != nullptr) *stopped = stream.stopped();
  return out;
}

std::vector<std::string> bytes_of(const std::string& text) {
  std::vector<std::string> out;
  for (const char c : text) out.emplace_back(1, c);
  return out;
}

const std::string kReplacement = "\xef\xbf\xbd";

}  // namespace

TEST_CASE("a character is held back until it is whole") {
  TextStream stream;
  CHECK(stream.push("a\xe4") == "a");
  CHECK(stream.push("\xbd").empty());
  CHECK(stream.push("\xa0!") == "\xe4\xbd\xa0!");
  CHECK(stream.push("\xf0\x9f").empty());
  CHECK(stream.finish() == kReplacement);
}

TEST_CASE("what is not UTF-8 becomes U+FFFD, one for every maximal subpart") {
  // The right sides are Python's bytes.decode("utf-8", "replace").
  const std::pair<std::string, int> cases[] = {{"\xff", 1}, {"\xc0\xaf", 2}, {"\xe2\x82", 1}, {"\xe2\x28\xa1", -1},
                                               {"\xed\xa0\x80", 3}, {"\xf4\x90\x80\x80", 4}, {"\xf0\x80\x80\x80", 4},
                                               {"\x80\x80", 2}, {"\xf1\x80\x80\x41", -1}, {"\xe0\x80\x80", 3}};
  for (const auto& [bytes, count] : cases) {
    std::string expected;
    for (int i = 0; i < count; ++i) expected += kReplacement;
    if (bytes == "\xe2\x28\xa1") expected = kReplacement + "(" + kReplacement;
    if (bytes == "\xf1\x80\x80\x41") expected = kReplacement + "A";
    CHECK(stream_all({bytes}, {}) == expected);
    CHECK(stream_all(bytes_of(bytes), {}) == expected);
  }
}

TEST_CASE("text before a stop string comes out, the stop string does not") {
  bool stopped = false;
  CHECK(stream_all({"one, ", "two. T", "he en", "d and more"}, {"The end"}, &stopped) == "one, two. ");
  CHECK(stopped);
  CHECK(stream_all({"The e", "agle"}, {"The end"}, &stopped) == "The eagle");
  CHECK(!stopped);
  CHECK(stream_all({"aab"}, {"ab"}, &stopped) == "a");  // the stop begins inside a failed start of itself
  CHECK(stopped);
  CHECK(stream_all({"The en"}, {"The end"}) == "The en");
  CHECK(stream_all({"x\n\n\ny"}, {"\n\n"}, &stopped) == "x");
  CHECK(stream_all({"abc"}, {"c", "bc"}, &stopped) == "a");
}

TEST_CASE("how the text is cut into tokens changes nothing") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::string alphabet[] = {"a", "b", "ab", "\xc3\xa9", "\xf0\x9f\xa6\x8a", "\xff", "\xe2\x82", "\n"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 20; ++i) text += alphabet[random() % 8];
    const std::vector<std::string> stops = round % 2 == 0 ? std::vector<std::string>{} : std::vector<std::string>{"aba", "b\n"};
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 5;
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    const std::string whole = stream_all({text}, stops);
    REQUIRE(stream_all(pieces, stops) == whole);
    REQUIRE(stream_all(bytes_of(text), stops) == whole);
    const size_t first = stops.empty() ? std::string::npos : std::min(text.find(stops[0]), text.find(stops[1]));
    REQUIRE(whole == stream_all({text.substr(0, first)}, {}));
  }
}

TEST_CASE("misuse of a stream") {
  pith_stream stream;
  const char* empty[] = {""};
  const std::string too_long(65, 'x');
  const char* longer[] = {too_long.c_str()};
  CHECK(int(pith_stream_init(nullptr, nullptr, 0)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_stream_init(&stream, empty, 1)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_stream_init(&stream, longer, 1)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_stream_init(&stream, longer, 9)) == int(PITH_E_ARGUMENT));
  REQUIRE(int(pith_stream_init(&stream, nullptr, 0)) == int(PITH_OK));
  std::vector<char> out(pith_stream_capacity(3));
  size_t n = 0;
  CHECK(int(pith_stream_push(&stream, "abc", 3, out.data(), out.size() - 1, &n)) == int(PITH_E_CAPACITY));
  CHECK(int(pith_stream_push(&stream, "abc", 3, out.data(), out.size(), &n)) == int(PITH_OK));
  CHECK(n == 3);
}
