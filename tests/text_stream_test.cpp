// The text stream: what may be shown, when; stop strings; U+FFFD for bytes that never become characters.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "pith/pith.hpp"

using namespace pith;

namespace {

// The text pushed in pieces of `sizes` bytes in turn, with the output after every push.
struct Shown {
  std::string text;
  std::vector<size_t> after;  // bytes shown after each push, and after finish
  bool stopped;
};

Shown show(const std::vector<std::string>& stops, std::string_view text, const std::vector<size_t>& sizes) {
  TextStream stream(stops);
  Shown out{};
  for (size_t at = 0, i = 0; at < text.size(); ++i) {
    const std::string_view piece = text.substr(at, sizes[i % sizes.size()]);
    out.text += stream.push(piece);
    out.after.push_back(out.text.size());
    at += piece.size();
  }
  out.text += stream.finish();
  out.after.push_back(out.text.size());
  out.stopped = stream.stopped();
  return out;
}

std::string bytes_of(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += char(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}

struct Utf8Case {
  const char *bytes, *shown;  // hex
};

// Written by Python: shown = bytes.decode("utf-8", "replace").encode().
constexpr Utf8Case kUtf8Cases[] = {
    {"", ""},
    {"41", "41"},
    {"c3a9", "c3a9"},
    {"e282ac", "e282ac"},
    {"f09fa68a", "f09fa68a"},
    {"80", "efbfbd"},
    {"bf", "efbfbd"},
    {"c0", "efbfbd"},
    {"c1", "efbfbd"},
    {"c080", "efbfbdefbfbd"},
    {"c1bf", "efbfbdefbfbd"},
    {"c2", "efbfbd"},
    {"c241", "efbfbd41"},
    {"c2c2a9", "efbfbdc2a9"},
    {"e0", "efbfbd"},
    {"e080", "efbfbdefbfbd"},
    {"e09f80", "efbfbdefbfbdefbfbd"},
    {"e0a0", "efbfbd"},
    {"e0a041", "efbfbd41"},
    {"e0a080", "e0a080"},
    {"ed9fbf", "ed9fbf"},
    {"eda080", "efbfbdefbfbdefbfbd"},
    {"edbfbf", "efbfbdefbfbdefbfbd"},
    {"eda0", "efbfbdefbfbd"},
    {"ee8080", "ee8080"},
    {"efbfbd", "efbfbd"},
    {"efbfbf", "efbfbf"},
    {"f0", "efbfbd"},
    {"f08f", "efbfbdefbfbd"},
    {"f08f8080", "efbfbdefbfbdefbfbdefbfbd"},
    {"f090", "efbfbd"},
    {"f09080", "efbfbd"},
    {"f0908041", "efbfbd41"},
    {"f0908080", "f0908080"},
    {"f48fbfbf", "f48fbfbf"},
    {"f4908080", "efbfbdefbfbdefbfbdefbfbd"},
    {"f48f", "efbfbd"},
    {"f5", "efbfbd"},
    {"f8888080", "efbfbdefbfbdefbfbdefbfbd"},
    {"fe", "efbfbd"},
    {"ff", "efbfbd"},
    {"fffefd", "efbfbdefbfbdefbfbd"},
    {"e28241", "efbfbd41"},
    {"e282e282ac", "efbfbde282ac"},
    {"f09fa6c3a9", "efbfbdc3a9"},
    {"f09ff09fa68a", "efbfbdf09fa68a"},
    {"61f1808061", "61efbfbd61"},
    {"e1a0c0", "efbfbdefbfbd"},
    {"41c3", "41efbfbd"},
    {"c3", "efbfbd"},
    {"f0808080", "efbfbdefbfbdefbfbdefbfbd"},
    {"6180e2", "61efbfbdefbfbd"},
    {"e2", "efbfbd"},
    {"f09f8fbdf09f8f", "f09f8fbdefbfbd"},
    {"8fbfed41", "efbfbdefbfbdefbfbd41"},
    {"f4e0", "efbfbdefbfbd"},
    {"a0e2", "efbfbdefbfbd"},
    {"ffe0", "efbfbdefbfbd"},
    {"4180bf", "41efbfbdefbfbd"},
    {"809080e0bf", "efbfbdefbfbdefbfbdefbfbd"},
    {"f4e2", "efbfbdefbfbd"},
    {"90ed", "efbfbdefbfbd"},
    {"e241e2e2bf4190", "efbfbd41efbfbdefbfbd41efbfbd"},
    {"e0f4", "efbfbdefbfbd"},
    {"9fbf8f", "efbfbdefbfbdefbfbd"},
    {"80e29fe0f4ed", "efbfbdefbfbdefbfbdefbfbdefbfbd"},
    {"80e2e2", "efbfbdefbfbdefbfbd"},
    {"90a080e0f080e2", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"},
    {"e290", "efbfbd"},
    {"ede0bff1a0", "efbfbdefbfbdefbfbd"},
    {"e2ffc2a09f", "efbfbdefbfbdc2a0efbfbd"},
    {"f18ff0", "efbfbdefbfbd"},
    {"9080e29fe0c2ffa0", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"},
    {"c29fe28080e0bf", "c29fe28080efbfbd"},
    {"f1a08f", "efbfbd"},
    {"bf41ed80f1", "efbfbd41efbfbdefbfbd"},
    {"e2f1fff4a0a0", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"},
    {"a0e2c2e2f1c280", "efbfbdefbfbdefbfbdefbfbdefbfbdc280"},
    {"809fc2f0ed8041f0", "efbfbdefbfbdefbfbdefbfbdefbfbd41efbfbd"},
    {"9fede2edf4c29f", "efbfbdefbfbdefbfbdefbfbdefbfbdc29f"},
    {"bfffeda041c2a0", "efbfbdefbfbdefbfbdefbfbd41c2a0"},
    {"e280c2", "efbfbdefbfbd"},
    {"90f1", "efbfbdefbfbd"},
    {"8ff090bf", "efbfbdefbfbd"},
    {"fff4c2808f", "efbfbdefbfbdc280efbfbd"},
    {"bfe09fff8f", "efbfbdefbfbdefbfbdefbfbdefbfbd"},
    {"bff4e09ff0bfa0ed", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"},
    {"908f808f8f", "efbfbdefbfbdefbfbdefbfbdefbfbd"},
    {"ed9041", "efbfbd41"},
    {"f4e28f9f9f", "efbfbde28f9fefbfbd"},
    {"8fbf", "efbfbdefbfbd"},
    {"a0e2e2a08ff0", "efbfbdefbfbde2a08fefbfbd"},
    {"e0e2ededf041c2ff", "efbfbdefbfbdefbfbdefbfbdefbfbd41efbfbdefbfbd"},
    {"f1f4edf1e0bfbfbf", "efbfbdefbfbdefbfbdefbfbde0bfbfefbfbd"},
};

// What a stop string leaves of an ASCII text: the text before the first stop string to be complete; of several that end
// at the same byte, the longest counts.
struct Cut {
  size_t shown;
  bool stopped;
};
Cut cut_at_stop(const std::vector<std::string>& stops, std::string_view text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return {end - longest, true};
  }
  return {text.size(), false};
}

// Bytes of an ASCII text without a whole stop string that may be shown: all but its longest end that begins one.
size_t safe_to_show(const std::vector<std::string>& stops, std::string_view text) {
  for (size_t hidden = text.size(); hidden > 0; --hidden) {
    for (const std::string& stop : stops) {
      if (std::string_view(stop).starts_with(text.substr(text.size() - hidden))) return text.size() - hidden;
    }
  }
  return text.size();
}

}  // namespace

TEST_CASE("text stream: bytes that are not UTF-8 become U+FFFD as in Python, however they are split") {
  for (const Utf8Case& c : kUtf8Cases) {
    CAPTURE(c.bytes);
    const std::string text = bytes_of(c.bytes), expected = bytes_of(c.shown);
    for (size_t size = 1; size <= text.size(); ++size) CHECK(show({}, text, {size}).text == expected);
    for (size_t first = 1; first < text.size(); ++first) CHECK(show({}, text, {first, text.size()}).text == expected);
    CHECK(show({"never seen"}, text, {1}).text == expected);
  }
}

TEST_CASE("text stream: a character is shown with its last byte, an impossible one as soon as that is known") {
  CHECK(show({},
             "a\xe2\x82\xac"
             "b",
             {1})
            .after == std::vector<size_t>{1, 1, 1, 4, 5, 5});
  CHECK(show({}, "\xf0\x9f\xa6\x8a", {1}).after == std::vector<size_t>{0, 0, 0, 4, 4});
  CHECK(show({}, "\xc3x", {1}).after == std::vector<size_t>{0, 4, 4});
  CHECK(show({}, "\xff", {1}).after == std::vector<size_t>{3, 3});
  CHECK(show({}, "\xe2\x82", {1}).after == std::vector<size_t>{0, 0, 3});
}

TEST_CASE("text stream: stop strings") {
  struct Case {
    std::vector<std::string> stops;
    std::string text, shown;
    bool stopped;
  };
  const Case cases[] = {
      {{"END"}, "one END two", "one ", true},
      {{"END"}, "one EN", "one EN", false},
      {{"END"}, "EEND", "E", true},
      {{"aab"}, "aaaab", "aa", true},  // overlaps itself
      {{"abab"}, "xabaabab", "xaba", true},
      {{"ab", "b"}, "xab", "x", true},  // both end at the same byte: the longer one counts
      {{"b", "ab"}, "xab", "x", true},
      {{"abc", "b"}, "xabc", "xa", true},  // the one that is complete first
      {{"\n\n"}, "a\nb\n\nc", "a\nb", true},
      {{"\xc3\xa9"}, "caf\xc3\xa8 caf\xc3\xa9!", "caf\xc3\xa8 caf", true},  // shares a lead byte with another character
      {{"x"}, "\xe2\x82x", "\xef\xbf\xbd", true},  // half a character before it never becomes one
      {{std::string(64, 'z')}, "a" + std::string(70, 'z'), "a", true},
      {{std::string(64, 'z')}, std::string(63, 'z') + "y", std::string(63, 'z') + "y", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    for (size_t size = 1; size <= c.text.size(); ++size) {
      const Shown shown = show(c.stops, c.text, {size});
      CHECK(shown.text == c.shown);
      CHECK(shown.stopped == c.stopped);
    }
  }
}

TEST_CASE("text stream: random texts and stop strings against a search of the whole text") {
  const uint64_t seed = 20;
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const auto word = [&](size_t longest) {
    std::string out(1 + random() % longest, 'a');
    for (char& c : out) c = char('a' + random() % 2);
    return out;
  };
  int n_stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops(random() % 4);
    for (std::string& stop : stops) stop = word(9);
    const std::string text = word(60);
    const std::vector<size_t> sizes = {1 + random() % 5, 1 + random() % 5, 1 + random() % 5};
    CAPTURE(text);
    const Cut cut = cut_at_stop(stops, text);
    const Shown shown = show(stops, text, sizes);
    REQUIRE(shown.text == text.substr(0, cut.shown));
    REQUIRE(shown.stopped == cut.stopped);
    n_stopped += cut.stopped ? 1 : 0;
    for (size_t i = 0, at = 0; at < text.size() && !cut.stopped; ++i) {  // no more is held back than must be
      at = std::min(text.size(), at + sizes[i % sizes.size()]);
      REQUIRE(shown.after[i] == safe_to_show(stops, std::string_view(text).substr(0, at)));
    }
  }
  CHECK(n_stopped > 300);  // both outcomes occurred often
  CHECK(n_stopped < 2700);
}

TEST_CASE("text stream: nothing comes out after a stop string, and a copy goes on where the original was") {
  TextStream stream({"stop"});
  CHECK(stream.push("a st") == "a ");
  TextStream copy = stream;
  CHECK(stream.push("op and more") == "");
  CHECK(stream.stopped());
  CHECK(stream.push("text") == "");
  CHECK(stream.finish() == "");
  CHECK_FALSE(copy.stopped());
  CHECK(copy.push("art") == "start");
  CHECK(copy.finish() == "");
}

TEST_CASE("text stream: misuse is answered with a status") {
  pith_stream stream = sized<pith_stream>();
  const std::string longest(PITH_STREAM_MAX_STOP_BYTES, 'x'), too_long = longest + "x";
  std::vector<const char*> stops(PITH_STREAM_MAX_STOPS, longest.c_str());
  CHECK(pith_stream_init(&stream, stops.data(), stops.size(), nullptr) == PITH_OK);
  stops.push_back("y");
  CHECK(pith_stream_init(&stream, stops.data(), stops.size(), nullptr) == PITH_E_ARGUMENT);
  for (const char* bad : {"", too_long.c_str(), static_cast<const char*>(nullptr)})
    CHECK(pith_stream_init(&stream, &bad, 1, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_stream_init(&stream, nullptr, 1, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_stream_init(nullptr, nullptr, 0, nullptr) == PITH_E_ARGUMENT);
  REQUIRE(pith_stream_init(&stream, nullptr, 0, nullptr) == PITH_OK);

  const std::string text = "\xe2\x82";
  std::string out(pith_stream_capacity(text.size()), '\0');
  size_t n = 0;
  CHECK(pith_stream_push(&stream, text.data(), text.size(), out.data(), out.size() - 1, &n, nullptr) ==
        PITH_E_CAPACITY);
  CHECK(stream.n_held == 0);  // nothing was taken
  CHECK(pith_stream_push(&stream, nullptr, 1, out.data(), out.size(), &n, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_stream_push(&stream, text.data(), text.size(), nullptr, out.size(), &n, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_stream_push(&stream, text.data(), text.size(), out.data(), out.size(), &n, nullptr) == PITH_OK);
  CHECK(pith_stream_push(&stream, nullptr, 0, out.data(), out.size(), &n, nullptr) == PITH_OK);
  CHECK(n == 0);
  CHECK(pith_stream_finish(&stream, out.data(), pith_stream_capacity(0) - 1, &n, nullptr) == PITH_E_CAPACITY);
  CHECK(pith_stream_finish(&stream, out.data(), out.size(), &n, nullptr) == PITH_OK);
  CHECK(n == 3);
  CHECK(pith_stream_capacity(SIZE_MAX) == SIZE_MAX);
}

TEST_CASE("text stream: the capacity suffices for the worst input, and no byte beyond it is written") {
  const uint64_t seed = 21;
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  pith_stream stream = sized<pith_stream>();
  const char* stops[] = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"};
  REQUIRE(pith_stream_init(&stream, stops, 1, nullptr) == PITH_OK);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 30, '\xff');  // held as the stop string's beginning, then shown with three bytes each
    if (random() % 4 == 0) text += char(random());
    const size_t capacity = pith_stream_capacity(text.size());
    std::vector<char> out(capacity);  // AddressSanitizer sees a byte too many
    size_t n = 0;
    REQUIRE(pith_stream_push(&stream, text.data(), text.size(), out.data(), capacity, &n, nullptr) == PITH_OK);
    REQUIRE(n <= capacity);
    REQUIRE(stream.n_held <= sizeof stream.held);
    if (stream.stopped) REQUIRE(pith_stream_init(&stream, stops, 1, nullptr) == PITH_OK);
  }
}
