// Vocabularies: malformed ones are refused by name, odd ones are read as documented.
#include <doctest/doctest.h>

#include <climits>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "vocabulary.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

TEST_CASE("vocabulary: begin and end of text are there or -1") {
  RawVocabulary vocabulary;
  const Loaded without(vocabulary.file());
  REQUIRE(without.status == PITH_OK);
  CHECK(without.tokenizer->bos() == -1);
  CHECK(without.tokenizer->eos() == -1);
  RawGguf file = vocabulary.file();
  file.set_u32("tokenizer.ggml.bos_token_id", 0);
  file.set_u32("tokenizer.ggml.eos_token_id", 256);
  const Loaded with(file);
  REQUIRE(with.status == PITH_OK);
  CHECK(with.tokenizer->bos() == 0);
  CHECK(with.tokenizer->eos() == 256);
}

TEST_CASE("vocabulary: of equal tokens the first counts, and a merge may be as long as a token") {
  const std::string half(2000, 'x'), whole = half + half;
  const Loaded loaded(RawVocabulary({"ab", "ab", half, whole, half}, {"a b", half + " " + half}).file());
  REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
  CHECK(loaded.encode("ab") == Ids{257});
  CHECK(loaded.tokenizer->decode(258) == "ab");
  CHECK(loaded.tokenizer->decode(260) == whole);
  CHECK(loaded.encode("x") == Ids{1 + 'x'});
}

TEST_CASE("vocabulary: a byte that it lacks is the unknown token, or refused by its place") {
  RawVocabulary vocabulary({"ab", "<unk>", "aq"}, {"a b"});  // ids 257, 258, 259
  vocabulary.types[258] = 3;
  vocabulary.tokens[1 + 'q'] = "qq";
  vocabulary.tokens[1 + 0xff] = "ff";
  const auto encode = [](const Loaded& loaded, std::string_view text, uint32_t flags, Ids* ids, pith_error* error) {
    ids->assign(text.size() + 1, -7);
    const Block work = block_of(TextTokenizer::work_bytes(text.size()));
    size_t count = 0;
    const pith_status status = pith_tokenizer_encode(reinterpret_cast<const pith_tokenizer*>(loaded.tokenizer),
                                                     text.data(), text.size(), flags, ids->data(), ids->size(), &count,
                                                     work.get(), TextTokenizer::work_bytes(text.size()), error);
    ids->resize(count);
    return status;
  };
  Ids ids;
  pith_error error;
  const Loaded without(vocabulary.file());
  REQUIRE_MESSAGE(without.status == PITH_OK, without.error.message);
  CHECK(encode(without, "ab<unk>", PITH_ENCODE_SPECIALS, &ids, &error) == PITH_OK);
  CHECK(ids == Ids{257, 258});
  CHECK(encode(without, "ab<unk>qb", PITH_ENCODE_SPECIALS, &ids, &error) == PITH_E_ARGUMENT);
  CHECK(std::string(error.message).find("byte 113, which is at 7") != std::string::npos);
  CHECK(ids == Ids{257, 258, 1 + 'b'});
  CHECK(encode(without, "x \xff q", 0, &ids, &error) == PITH_E_ARGUMENT);
  CHECK(std::string(error.message).find("byte 255, which is at 2") != std::string::npos);
  RawGguf file = vocabulary.file();
  file.set_u32("tokenizer.ggml.unknown_token_id", 258);
  const Loaded with(file);
  REQUIRE_MESSAGE(with.status == PITH_OK, with.error.message);
  CHECK(encode(with, "abqqb\xff", 0, &ids, &error) == PITH_OK);
  CHECK(ids == Ids{257, 258, 258, 1 + 'b', 258});  // one for every byte
  CHECK(with.tokenizer->decode(258).empty());
}

TEST_CASE("vocabulary: tokens that end an answer, special ones, and their names") {
  RawVocabulary vocabulary;
  const auto add = [&](const std::string& text, int32_t type) {
    vocabulary.tokens.push_back(text);
    vocabulary.types.push_back(type);
    return int32_t(vocabulary.tokens.size()) - 1;
  };
  const int32_t turn = add("<|im_end|>", 3), user = add("<|end|>x", 4), eot = add("<turn>", 3), eom = add("<call>", 4);
  const int32_t unknown = add("<unk>", 2), unused = add("[PAD0]", 5), normal = add("<EOT>", 1),
                sentence = add("<|eot_id|>", 4);
  RawGguf file = vocabulary.file();
  file.set_u32("tokenizer.ggml.eos_token_id", 0);
  file.set_u32("tokenizer.ggml.eot_token_id", uint32_t(eot));
  file.set_u32("tokenizer.ggml.eom_token_id", uint32_t(eom));
  const Loaded loaded(file);
  REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
  const pith_tokenizer* tokenizer = reinterpret_cast<const pith_tokenizer*>(loaded.tokenizer);
  const int32_t n = int32_t(vocabulary.tokens.size());
  for (int32_t id = -2; id < n + 2; ++id) {
    CAPTURE(id);
    const bool ends = id == 0 || id == turn || id == eot || id == eom || id == sentence;
    CHECK(pith_tokenizer_is_end(tokenizer, id) == (ends ? 1 : 0));
    CHECK(pith_tokenizer_is_special(tokenizer, id) == (id == 0 || id == turn || id == eot || id == unknown ? 1 : 0));
  }
  CHECK(pith_tokenizer_is_end(tokenizer, INT32_MAX) == 0);
  CHECK(pith_tokenizer_is_special(tokenizer, INT32_MIN) == 0);
  CHECK(pith_tokenizer_is_end(nullptr, 0) == 0);
  CHECK(pith_tokenizer_is_special(nullptr, 0) == 0);

  const auto text_of = [&](auto function, int32_t id) {
    const char* text = nullptr;
    size_t bytes = 0;
    REQUIRE(function(tokenizer, id, &text, &bytes, nullptr) == PITH_OK);
    return std::string(text, bytes);
  };
  for (const int32_t id : {turn, eot, unknown, unused}) {
    CHECK(text_of(pith_tokenizer_token_text, id) == vocabulary.tokens[size_t(id)]);
    CHECK(text_of(pith_tokenizer_decode, id).empty());
  }
  for (const int32_t id : {user, eom, normal}) {
    CHECK(text_of(pith_tokenizer_token_text, id) == vocabulary.tokens[size_t(id)]);
    CHECK(text_of(pith_tokenizer_decode, id) == vocabulary.tokens[size_t(id)]);
  }
  CHECK(text_of(pith_tokenizer_token_text, 1 + 0xff) == "\xff");
  const char* text = nullptr;
  size_t bytes = 0;
  CHECK(pith_tokenizer_token_text(tokenizer, n, &text, &bytes, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_token_text(tokenizer, -1, &text, &bytes, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_token_text(nullptr, 0, &text, &bytes, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_tokenizer_token_text(tokenizer, 0, nullptr, &bytes, nullptr) == PITH_E_ARGUMENT);

  // A user's token is found in any text; the longest name wins, special or not, where special ones are found.
  CHECK(loaded.encode("<|end|>x<call>") == Ids{user, eom});
  CHECK(loaded.encode("<turn>").size() == 6);
  CHECK(loaded.encode("[PAD0]").size() == 6);
  CHECK(loaded.tokenizer->token_id("[PAD0]") == -1);
  CHECK(loaded.tokenizer->token_id("<unk>") == unknown);
}

TEST_CASE("vocabulary: a piece that is a token is that one, where the pattern says so") {
  const auto words = [](const char* pre) {
    RawGguf file = RawVocabulary({"abc", "ab"}, {"a b"}).file();  // which no merge makes: 257
    file.set_string("tokenizer.ggml.pre", pre);
    return file;
  };
  const Loaded llama(words("llama-bpe")), qwen(words("qwen2"));
  REQUIRE(llama.status == PITH_OK);
  REQUIRE(qwen.status == PITH_OK);
  CHECK(llama.encode("abc abc") == Ids{257, 1 + ' ', 258, 1 + 'c'});
  CHECK(qwen.encode("abc") == Ids{258, 1 + 'c'});
}

TEST_CASE("vocabulary: 2^24 tokens are refused before they are read") {
  RawGguf file = RawVocabulary().file();
  Bytes array = string_array({"a"});
  const uint64_t count = uint64_t(1) << 24;
  std::memcpy(array.data() + 4, &count, sizeof count);
  file.set("tokenizer.ggml.tokens", kArray, array);
  const Bytes content = file.build();
  const Block bytes = block_of(content.data(), content.size());
  size_t n = 0;
  pith_error error;
  REQUIRE(ModelFile::directory_bytes(bytes.get(), content.size(), &n, &error) == PITH_OK);
  std::vector<uint64_t> directory(n / 8 + 1);
  CHECK(ModelFile().open(bytes.get(), content.size(), directory.data(), &error) == PITH_E_LIMIT);
}

TEST_CASE("vocabulary: smollm's pattern makes every digit a token") {
  const auto words = [](const char* pre) {
    RawGguf file = RawVocabulary({"\xc4\xa0"
                                  "1",
                                  "12", "a1", "\xc4\xa0\xc4\xa0"},
                                 {"\xc4\xa0 1", "1 2", "a 1", "\xc4\xa0 \xc4\xa0"})
                       .file();
    file.set_string("tokenizer.ggml.pre", pre);
    return file;
  };
  const Loaded gpt2(words("gpt-2")), smollm(words("smollm"));
  REQUIRE(gpt2.status == PITH_OK);
  REQUIRE_MESSAGE(smollm.status == PITH_OK, smollm.error.message);
  const int32_t space = 1 + ' ', one = 1 + '1', two = 1 + '2', a = 1 + 'a';
  CHECK(gpt2.encode("a 12  1") == Ids{a, 257, two, space, 257});
  CHECK(smollm.encode("a 12  1") == Ids{a, space, one, two, 260, one});  // white space does not see the digit behind it
  CHECK(smollm.encode("a1") == Ids{a, one});
}

TEST_CASE("vocabulary: malformed ones are refused by the name of the key") {
  using Change = std::function<void(RawGguf*)>;
  struct Case {
    const char *name, *field;
    pith_status status;
    Change change;
  };
  const auto tokens_with = [](int32_t id, const std::string& text) -> Change {
    return [=](RawGguf* f) {
      RawVocabulary v;
      v.tokens[size_t(id)] = text;
      f->set("tokenizer.ggml.tokens", kArray, string_array(v.tokens));
    };
  };
  const auto merge = [](const std::string& line) -> Change {
    return [=](RawGguf* f) { f->set("tokenizer.ggml.merges", kArray, string_array({line})); };
  };
  const char *kTokens = "tokenizer.ggml.tokens", *kTypes = "tokenizer.ggml.token_type",
             *kMerges = "tokenizer.ggml.merges";
  const Case cases[] = {
      {"another model", "tokenizer.ggml.model", PITH_E_UNSUPPORTED,
       [](RawGguf* f) { f->set_string("tokenizer.ggml.model", "bert"); }},
      {"no model", "tokenizer.ggml.model", PITH_E_UNSUPPORTED, [](RawGguf* f) { f->remove("tokenizer.ggml.model"); }},
      {"model is a number", "tokenizer.ggml.model", PITH_E_TYPE,
       [](RawGguf* f) { f->set_u32("tokenizer.ggml.model", 1); }},
      {"another pattern", "tokenizer.ggml.pre", PITH_E_UNSUPPORTED,
       [](RawGguf* f) { f->set_string("tokenizer.ggml.pre", "llama-bpe2"); }},
      {"no tokens", kTokens, PITH_E_VOCABULARY, [=](RawGguf* f) { f->remove(kTokens); }},
      {"empty tokens", kTokens, PITH_E_VOCABULARY, [=](RawGguf* f) { f->set(kTokens, kArray, string_array({})); }},
      {"tokens are numbers", kTokens, PITH_E_TYPE,
       [=](RawGguf* f) {
         f->set(kTokens, kArray, number_array<uint32_t>(kU32, {1, 2}));
       }},
      {"tokens are one string", kTokens, PITH_E_TYPE, [=](RawGguf* f) { f->set_string(kTokens, "abc"); }},
      {"an empty token", kTokens, PITH_E_VOCABULARY, tokens_with(5, "")},
      {"an empty special token", kTokens, PITH_E_VOCABULARY, tokens_with(0, "")},
      {"a token with a plain space", kTokens, PITH_E_VOCABULARY, tokens_with(5, "a b")},
      {"a token beyond the alphabet", kTokens, PITH_E_VOCABULARY, tokens_with(5, "\xc5\xbf")},
      {"a token of a lone lead byte", kTokens, PITH_E_VOCABULARY, tokens_with(5, "a\xc4")},
      {"a lead byte before a letter", kTokens, PITH_E_VOCABULARY,
       tokens_with(5,
                   "\xc4"
                   "A")},
      {"an overlong character", kTokens, PITH_E_VOCABULARY, tokens_with(5, "\xc1\x81")},
      {"types shorter than tokens", kTypes, PITH_E_VOCABULARY,
       [=](RawGguf* f) {
         f->set(kTypes, kArray, number_array<int32_t>(kI32, {3, 1}));
       }},
      {"types are bytes", kTypes, PITH_E_TYPE,
       [=](RawGguf* f) { f->set(kTypes, kArray, number_array<uint8_t>(kU8, std::vector<uint8_t>(257, 1))); }},
      {"merges are numbers", kMerges, PITH_E_TYPE,
       [=](RawGguf* f) { f->set(kMerges, kArray, number_array<uint32_t>(kU32, {1})); }},
      {"merge without a space", kMerges, PITH_E_VOCABULARY, merge("ab")},
      {"merge with two spaces", kMerges, PITH_E_VOCABULARY, merge("a b c")},
      {"merge without left", kMerges, PITH_E_VOCABULARY, merge(" b")},
      {"merge without right", kMerges, PITH_E_VOCABULARY, merge("a ")},
      {"empty merge", kMerges, PITH_E_VOCABULARY, merge("")},
      {"bos beyond the tokens", "tokenizer.ggml.bos_token_id", PITH_E_VOCABULARY,
       [](RawGguf* f) { f->set_u32("tokenizer.ggml.bos_token_id", 257); }},
      {"eos beyond the tokens", "tokenizer.ggml.eos_token_id", PITH_E_VOCABULARY,
       [](RawGguf* f) { f->set_u32("tokenizer.ggml.eos_token_id", ~0u); }},
      {"unknown beyond the tokens", "tokenizer.ggml.unknown_token_id", PITH_E_VOCABULARY,
       [](RawGguf* f) { f->set_u32("tokenizer.ggml.unknown_token_id", 257); }},
      {"end of turn beyond the tokens", "tokenizer.ggml.eot_token_id", PITH_E_VOCABULARY,
       [](RawGguf* f) { f->set_u32("tokenizer.ggml.eot_token_id", 257); }},
      {"end of message beyond the tokens", "tokenizer.ggml.eom_token_id", PITH_E_VOCABULARY,
       [](RawGguf* f) { f->set_u32("tokenizer.ggml.eom_token_id", 257); }},
      {"bos is a string", "tokenizer.ggml.bos_token_id", PITH_E_TYPE,
       [](RawGguf* f) { f->set_string("tokenizer.ggml.bos_token_id", "0"); }},
  };
  for (const Case& c : cases) {
    RawGguf file = RawVocabulary().file();
    c.change(&file);
    const Loaded loaded(file);
    INFO(std::string(c.name), ": ", std::string(loaded.error.message));
    CHECK(loaded.status == c.status);
    CHECK(std::string(loaded.error.message).find(c.field) != std::string::npos);
  }
  const Change good[] = {[](RawGguf*) {},
                         [](RawGguf* f) { f->remove("tokenizer.ggml.pre"); },
                         [=](RawGguf* f) { f->remove(kTypes); },
                         [=](RawGguf* f) { f->remove(kMerges); },
                         tokens_with(0, "\xe4\xb8\xad is special, so it may be any text"),
                         tokens_with(1 + 'q', "qq"),  // bytes that the text does not have
                         merge("hi c"),               // merges of tokens, or to tokens, that it lacks
                         merge("h bc"),
                         merge("h i"),
                         merge(std::string(5000, 'h') + " i"),
                         merge("\xe4\xb8\xad i"),
                         [=](RawGguf* f) {
                           std::vector<int32_t> t(257, 1);
                           t[256] = 3;
                           f->set(kTypes, kArray, number_array<int32_t>(kI32, t));
                         }};
  for (const Change& change : good) {
    RawGguf file = RawVocabulary().file();
    change(&file);
    const Loaded loaded(file);
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    CHECK(loaded.encode("hi") == Ids{1 + 'h', 1 + 'i'});
  }
}
