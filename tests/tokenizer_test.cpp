// The tokenizer: ids of the `tokenizers` package, merges against a slow reference, buffers, and long texts on a small
// stack. tests/python/test_tokenizer_cpp.py compares more texts with the package.
#include <doctest/doctest.h>

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "pith/pith.hpp"
#include "vocabulary.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

const std::string kFolder = PITH_SOURCE_DIR "/";

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The vocabulary of the built-in model, in a small model file.
const Model& golden_model() {
  static const Model model = Model::open(kFolder + "tests/golden/tiny.q4.gguf");
  return model;
}

std::string decoded(const Tokenizer& tokenizer, const Ids& ids) {
  std::string out;
  for (const int32_t id : ids) out += tokenizer.decode(id);
  return out;
}

// Of all pairs that have a merge, the one of the lowest rank, leftmost first, until there is none.
Ids merged_slowly(Ids ids, const std::map<std::pair<int32_t, int32_t>, std::pair<size_t, int32_t>>& merges) {
  for (;;) {
    size_t best_rank = merges.size(), best = 0;
    int32_t merged = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = merges.find({ids[i], ids[i + 1]});
      if (found == merges.end() || found->second.first >= best_rank) continue;
      best_rank = found->second.first;
      best = i;
      merged = found->second.second;
    }
    if (best_rank == merges.size()) return ids;
    ids[best] = merged;
    ids.erase(ids.begin() + long(best) + 1);
  }
}

}  // namespace

TEST_CASE("tokenizer: the ids of the tokenizers package") {
  const Tokenizer tokenizer(golden_model());
  std::ifstream file(kFolder + "tests/golden/tokenizer_cases.tsv");
  int n = 0;
  for (std::string line; std::getline(file, line); ++n) {
    const size_t tab = line.find('\t');
    REQUIRE(tab != std::string::npos);
    std::string text;
    for (size_t i = 0; i < tab; i += 2) text += char(std::stoi(line.substr(i, 2), nullptr, 16));
    std::istringstream numbers(line.substr(tab + 1));
    const Ids expected{std::istream_iterator<int32_t>(numbers), {}};
    CAPTURE(line);
    CHECK(tokenizer.encode(text) == expected);
    CHECK(decoded(tokenizer, expected) == text);
  }
  CHECK(n >= 300);
}

TEST_CASE("tokenizer: random merges against a slow reference") {
  const uint64_t seed = 11;
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> words = {"a", "b", "c"}, merges;  // the first three are tokens of bytes
    std::map<std::pair<int32_t, int32_t>, std::pair<size_t, int32_t>> ranks;
    std::map<std::string, int32_t> ids = {{"a", 1 + 'a'}, {"b", 1 + 'b'}, {"c", 1 + 'c'}};
    std::vector<std::string> added;
    for (int i = 0; i < 30; ++i) {
      const std::string left = words[random() % words.size()], right = words[random() % words.size()];
      if (ranks.count({ids[left], ids[right]}) != 0) continue;
      if (ids.count(left + right) == 0) {
        ids[left + right] = int32_t(257 + added.size());
        added.push_back(left + right);
        words.push_back(left + right);
      }
      const size_t rank = merges.size();
      ranks[{ids[left], ids[right]}] = {rank, ids[left + right]};
      merges.push_back(left + " " + right);
    }
    const Loaded loaded(RawVocabulary(added, merges).file());
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    for (int i = 0; i < 50; ++i) {
      std::string text(1 + random() % 40, 'a');
      for (char& c : text) c = char('a' + random() % 3);
      Ids bytes;
      for (const char c : text) bytes.push_back(1 + c);
      CAPTURE(text);
      REQUIRE(loaded.encode(text) == merged_slowly(bytes, ranks));
    }
  }
}

TEST_CASE("tokenizer: any bytes come back as they went in") {
  const uint64_t seed = 12;
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const Tokenizer tokenizer(golden_model());
  for (int round = 0; round < 500; ++round) {
    std::string text(random() % 200, '\0');
    for (char& c : text) c = char(random());
    const Ids ids = tokenizer.encode(text);
    REQUIRE(ids.size() <= text.size());
    REQUIRE(decoded(tokenizer, ids) == text);
  }
}

TEST_CASE("tokenizer: special tokens are ordinary text going in and nothing coming out") {
  const Tokenizer tokenizer(golden_model());
  CHECK(tokenizer.bos() == 0);
  CHECK(tokenizer.eos() == 0);
  CHECK(tokenizer.decode(0).empty());
  const std::string text = "a<|endoftext|>b";
  const Ids ids = tokenizer.encode(text);
  CHECK(std::count(ids.begin(), ids.end(), 0) == 0);
  CHECK(decoded(tokenizer, ids) == text);
}

TEST_CASE("tokenizer: the begin-of-text token as flags and file say") {
  for (const int says : {-1, 0, 1}) {  // the key tokenizer.ggml.add_bos_token: absent, false, true
    CAPTURE(says);
    RawGguf file = RawVocabulary().file();
    if (says >= 0) file.set("tokenizer.ggml.add_bos_token", kBool, {uint8_t(says)});
    if (says == 1) {
      const Loaded refused(file);
      CHECK(refused.status == PITH_E_VOCABULARY);
      CHECK(std::string(refused.error.message).find("add_bos_token") != std::string::npos);
    }
    file.set_u32("tokenizer.ggml.bos_token_id", 0);
    const Loaded loaded(file);
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    const pith_tokenizer* tokenizer = reinterpret_cast<const pith_tokenizer*>(loaded.tokenizer);
    const auto encode = [&](uint32_t flags) {
      Ids ids(4);
      uint8_t work[256];
      size_t count = 0;
      REQUIRE(pith_tokenizer_encode(tokenizer, "ab", 2, flags, ids.data(), 4, &count, work, sizeof work, nullptr) ==
              PITH_OK);
      ids.resize(count);
      return ids;
    };
    const Ids plain = {1 + 'a', 1 + 'b'}, led = {0, 1 + 'a', 1 + 'b'};
    CHECK(encode(PITH_ENCODE_DEFAULT) == (says == 1 ? led : plain));
    CHECK(encode(PITH_ENCODE_BOS) == led);
    CHECK(encode(PITH_ENCODE_NO_BOS) == plain);
    CHECK(encode(PITH_ENCODE_SPECIALS) == (says == 1 ? led : plain));
  }
  const Loaded without(RawVocabulary().file());
  const pith_tokenizer* tokenizer = reinterpret_cast<const pith_tokenizer*>(without.tokenizer);
  int32_t id = -7;
  size_t count = 0;
  CHECK(pith_tokenizer_encode(tokenizer, "", 0, PITH_ENCODE_BOS, &id, 1, &count, nullptr, 256, nullptr) ==
        PITH_E_MISSING);
  const Tokenizer golden(golden_model());
  CHECK(golden.encode("", PITH_ENCODE_BOS) == Ids{0});
  for (const size_t capacity : {0, 1}) {  // the token in front counts too
    uint8_t work[256];
    CHECK(pith_tokenizer_encode(golden.get(), "a", 1, PITH_ENCODE_BOS, &id, capacity, &count, work, sizeof work,
                                nullptr) == PITH_E_CAPACITY);
    CHECK(count == 2);
    CHECK(id == (capacity == 0 ? -7 : 0));
  }
}

TEST_CASE("tokenizer: names of special tokens become tokens where the program says so") {
  RawVocabulary vocabulary;
  const std::vector<std::string> names = {"<|a|>", "<|a|>b", "<|", "\xe2\x96\x81x",
                                          "<|a|>"};  // one twice; a name beside GPT-2's alphabet
  for (const std::string& name : names) {
    vocabulary.tokens.push_back(name);
    vocabulary.types.push_back(3);
  }
  const Loaded loaded(vocabulary.file());
  REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
  const auto with_specials = [&](const std::string& text) {
    Ids out(text.size());
    const Block work = block_of(TextTokenizer::work_bytes(text.size()));
    out.resize(loaded.tokenizer->encode(text, out.data(), out.size(), work.get(), {Specials::are_found}));
    return out;
  };
  const auto plain = [](const std::string& text) {
    Ids out;
    for (const char c : text) out.push_back(1 + uint8_t(c));
    return out;
  };
  const int32_t end = 0, a = 257, ab = 258, open = 259, x = 260;
  CHECK(with_specials("<|end|>") == Ids{end});
  CHECK(with_specials("<|a|>") == Ids{a});
  CHECK(with_specials("<|a|>b<|a|>c") == Ids{ab, a, 1 + 'c'});  // the longest name
  CHECK(with_specials("<|a|") == Ids{open, 1 + 'a', 1 + '|'});
  CHECK(with_specials("1<2\xe2\x96\x81x") == Ids{1 + '1', 1 + '<', 1 + '2', x});
  CHECK(with_specials("<<<") == plain("<<<"));
  CHECK(with_specials("") == Ids{});
  for (const char* text : {"<|end|>", "<|a|>b", "<|"}) CHECK(loaded.encode(text) == plain(text));
  for (size_t i = 0; i < 4; ++i) CHECK(loaded.tokenizer->token_id(names[i]) == 257 + int32_t(i));
  CHECK(loaded.tokenizer->token_id("<|end|>") == end);
  CHECK(loaded.tokenizer->token_id("a") == 1 + 'a');
  CHECK(loaded.tokenizer->token_id("\xff") == 1 + 255);
  for (const char* text : {"", "<", "<|a", "<|a|>bc", "ab"}) {
    CAPTURE(text);
    CHECK(loaded.tokenizer->token_id(text) == (text[0] == '<' && text[1] == 0 ? 1 + '<' : -1));
  }
  // A long text of beginnings of names, and one of names alone.
  std::string beginnings, whole;
  for (int i = 0; i < 100000; ++i) beginnings += "<|a|";
  for (int i = 0; i < 100000; ++i) whole += "<|a|>b";
  CHECK(with_specials(beginnings).size() == 300000);
  CHECK(with_specials(whole) == Ids(100000, ab));
  const Tokenizer golden(golden_model());
  CHECK(golden.token_id("<|endoftext|>") == 0);
  CHECK(golden.encode("a<|endoftext|>", PITH_ENCODE_SPECIALS).back() == 0);
  CHECK(pith_tokenizer_token_id(nullptr, "a", 1) == -1);
  CHECK(pith_tokenizer_token_id(golden.get(), nullptr, 1) == -1);
}

TEST_CASE("tokenizer: buffers are exact, and misuse is answered with a status") {
  size_t bytes = 0;
  REQUIRE(pith_tokenizer_bytes(golden_model().get(), &bytes, nullptr) == PITH_OK);
  const Block memory = block_of(bytes), larger = block_of(bytes + 64);
  pith_tokenizer* tokenizer = nullptr;
  const pith_model* model = golden_model().get();
  CHECK(pith_tokenizer_init(model, memory.get(), bytes - 1, &tokenizer, nullptr) == PITH_E_MEMORY);
  CHECK(pith_tokenizer_init(model, larger.get() + 8, bytes, &tokenizer, nullptr) == PITH_E_ALIGNMENT);
  CHECK(pith_tokenizer_init(model, nullptr, bytes, &tokenizer, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_init(nullptr, memory.get(), bytes, &tokenizer, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_init(model, memory.get(), bytes, nullptr, nullptr) == PITH_E_ARGUMENT);
  REQUIRE(pith_tokenizer_init(model, memory.get(), bytes, &tokenizer, nullptr) == PITH_OK);

  const std::string text = "The lantern's light, 42 times: caf\xc3\xa9!";
  const Ids expected = Tokenizer(golden_model()).encode(text);
  const size_t work_bytes = pith_tokenizer_work_bytes(text.size());
  const auto encode = [&](size_t capacity, Ids* ids, size_t* count, size_t shift, size_t work_given) {
    const Block work = block_of(work_given + shift);  // AddressSanitizer sees every byte beyond
    ids->assign(capacity, -7);
    return pith_tokenizer_encode(tokenizer, text.data(), text.size(), 0, ids->data(), capacity, count,
                                 work.get() + shift, work_given, nullptr);
  };
  Ids ids;
  size_t count = 0;
  for (const size_t shift : {0, 1, 2, 3, 7}) {  // work memory at any address
    CHECK(encode(expected.size(), &ids, &count, shift, work_bytes) == PITH_OK);
    CHECK(count == expected.size());
    CHECK(ids == expected);
  }
  for (const size_t capacity : {size_t(0), size_t(1), expected.size() - 1}) {
    CHECK(encode(capacity, &ids, &count, 0, work_bytes) == PITH_E_CAPACITY);
    CHECK(count == expected.size());
    CHECK(ids == Ids(expected.begin(), expected.begin() + long(capacity)));
  }
  CHECK(encode(expected.size(), &ids, &count, 0, work_bytes - 1) == PITH_E_MEMORY);
  CHECK(pith_tokenizer_encode(tokenizer, nullptr, 0, 0, nullptr, 0, &count, nullptr, work_bytes, nullptr) == PITH_OK);
  CHECK(count == 0);
  CHECK(pith_tokenizer_encode(tokenizer, nullptr, 1, 0, ids.data(), 1, &count, ids.data(), work_bytes, nullptr) ==
        PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_encode(tokenizer, "a", 1, 0, ids.data(), 1, &count, nullptr, work_bytes, nullptr) ==
        PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_encode(tokenizer, "a", 1, 0, nullptr, 1, &count, ids.data(), work_bytes, nullptr) ==
        PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_encode(tokenizer, "a", size_t(2) << 30, 0, ids.data(), 1, &count, ids.data(), SIZE_MAX,
                              nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_work_bytes(SIZE_MAX) == SIZE_MAX);

  const char* piece = nullptr;
  size_t n = 0;
  for (const int32_t bad : {-1, 2048, 2147483647, -2147483647 - 1})
    CHECK(pith_tokenizer_decode(tokenizer, bad, &piece, &n, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_decode(tokenizer, 2047, &piece, &n, nullptr) == PITH_OK);
  CHECK(pith_tokenizer_decode(tokenizer, 1, nullptr, &n, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_decode(nullptr, 1, &piece, &n, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_bos(nullptr) == -1);
}

namespace {

struct LongTexts {
  const Tokenizer* tokenizer;
  std::vector<std::string> texts;
  std::vector<Ids> ids;
};

void* encode_long_texts(void* context) {
  LongTexts& work = *static_cast<LongTexts*>(context);
  for (const std::string& text : work.texts) work.ids.push_back(work.tokenizer->encode(text));
  return nullptr;
}

}  // namespace

TEST_CASE("tokenizer: a piece of 1 MiB in O(n log n), on a stack of 128 KiB") {
  constexpr size_t kMiB = 1 << 20;
  std::string vowels;
  while (vowels.size() < kMiB) vowels += "aeiou"[vowels.size() * 7919 % 5];
  const Tokenizer tokenizer(golden_model());
  LongTexts work{&tokenizer,
                 {std::string(kMiB, 'A'), std::string(kMiB, ' '), std::string(kMiB, '\n'), std::string(kMiB, '\xff'),
                  vowels, std::string(kMiB, 'e')},
                 {}};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, 128 << 10) == 0);
  pthread_t thread;
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(pthread_create(&thread, &attributes, encode_long_texts, &work) == 0);
  pthread_join(thread, nullptr);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  REQUIRE(work.ids.size() == work.texts.size());
  for (size_t i = 0; i < work.texts.size(); ++i) {
    REQUIRE(pieces_of(work.texts[i]).size() == 1);
    CHECK(decoded(tokenizer, work.ids[i]) == work.texts[i]);
  }
  // n^2 / 2 pair look-ups of 1 ns would take 550 s a text; this also leaves room for sanitizers and emulators.
  CHECK(seconds < 120);
  MESSAGE("6 MiB in ", seconds, " s");
}

TEST_CASE("tokenizer: the evaluation texts come back as they were") {
  for (const char* name : {"tales.val.txt", "wikitext2.test.txt"}) {
    const std::string path = kFolder + "../shared/data/" + name;
    if (!std::filesystem::exists(path)) {
      MESSAGE("skipped: no ../shared/data/", std::string(name));
      continue;
    }
    const std::string text = read_text(path);
    const Tokenizer tokenizer(golden_model());
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = tokenizer.encode(text);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CHECK(decoded(tokenizer, ids) == text);
    CHECK(ids.size() * 2 < text.size());  // the merges are at work
    MESSAGE(std::string(name), ": ", ids.size(), " tokens, ", double(text.size()) / seconds / 1e6, " MB/s");
  }
}
