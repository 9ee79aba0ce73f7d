// The tokenizer's files of a folder: what becomes of each, and that a malformed one costs the vocabulary alone.
#include "hf_vocabulary.h"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "open_file.h"
#include "pack.h"
#include "pre_tokenizer_names.h"
#include "runtime.h"
#include "sentence_piece.h"
#include "synth.h"

using namespace pith;
using namespace pith::quantize;
using namespace pith::test;

namespace {

constexpr uint32_t kVocabSize = 264;

// A tokenizer of the 256 bytes, "ab", "abc", and two added tokens at 258 and 259; 260 to 263 are nobody's.
json::Document byte_tokenizer(bool merges_are_pairs = false) {
  json::Document vocabulary = json::Document::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[byte_token(byte)] = byte;
  vocabulary["ab"] = 256;
  vocabulary["abc"] = 257;
  json::Document out = json::Document::parse(R"({"normalizer": null, "decoder": {"type": "ByteLevel"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                               {"Sequence": {"id": "A", "type_id": 0}}]},
    "added_tokens": [{"id": 258, "content": "<s>", "special": true}, {"id": 259, "content": "<think>", "special": false}],
    "model": {"type": "BPE", "dropout": null, "byte_fallback": false, "ignore_merges": false}})");
  out["model"]["vocab"] = vocabulary;
  out["model"]["merges"] =
      json::Document::parse(merges_are_pairs ? R"([["a", "b"], ["ab", "c"]])" : R"(["a b", "ab c"])");
  return out;
}

// As files have it: through text.
HfTextFiles files_of(const json::Document& tokenizer) {
  HfTextFiles files;
  files.tokenizer = json::Document::parse(tokenizer.dump());
  files.tokenizer_config = json::Document::parse(R"({"bos_token": "<s>", "eos_token": {"content": "<s>"}})");
  files.config = json::Document::parse(R"({"pad_token_id": 261})");
  return files;
}

// A packed model with this vocabulary: the keys copied from a file that has nothing else.
Bytes with_vocabulary(const HfVocabulary& vocabulary) {
  SynthSpec spec;
  spec.config = tiny_config();
  spec.config.vocab_size = int32_t(vocabulary.tokens.size());
  const Bytes floats = synth_float(spec);
  const Block aligned = block_of(floats.data(), floats.size());
  const OpenFile in(aligned.get(), floats.size());
  GgufWriter out;
  for (size_t i = 0; i < in.file.n_meta(); ++i) {
    if (!in.file.meta(i).key.starts_with("tokenizer.")) out.add_entry(in.file.meta(i));
  }
  vocabulary.write(&out);
  for (size_t i = 0; i < in.file.n_tensors(); ++i) {
    const TensorEntry& t = in.file.tensor(i);
    out.add_tensor(t.name, t.type, {t.dims, t.dims + t.n_dims}, {t.data, t.bytes});
  }
  const Bytes bytes = out.bytes();
  const Block again = block_of(bytes.data(), bytes.size());
  return pack_model(again.get(), bytes.size(), pack_options("f32"));
}

// tokenizer.model in the wire format, by hand.
struct Wire {
  std::string bytes;
  Wire& varint(uint64_t value) {
    for (; value >= 128; value >>= 7) bytes += char(value | 128);
    bytes += char(value);
    return *this;
  }
  Wire& number(uint64_t field, uint64_t value) { return varint(field << 3).varint(value); }
  Wire& real(uint64_t field, float value) {
    varint(field << 3 | 5);
    char raw[4];
    std::memcpy(raw, &value, 4);
    bytes.append(raw, 4);
    return *this;
  }
  Wire& text(uint64_t field, const std::string& value) {
    varint(field << 3 | 2).varint(value.size());
    bytes += value;
    return *this;
  }
};

std::string piece(const std::string& text, float score, uint64_t type) {
  return Wire().text(1, text).real(2, score).number(3, type).bytes;
}

std::string small_sentence_piece(uint64_t model_type = 2) {
  Wire out;
  out.text(1, piece("<unk>", 0, 2)).text(1, piece("<s>", 0, 3)).text(1, piece("<0x41>", 0, 6));
  out.text(1, piece("\xe2\x96\x81"
                    "a",
                    -1.5f, 1))
      .text(2, Wire().number(3, model_type).number(40, 0).bytes);
  return out.text(3, Wire().text(1, "identity").number(3, 0).number(4, 0).bytes).bytes;
}

}  // namespace

TEST_CASE("a byte-level tokenizer.json becomes a vocabulary that the library reads") {
  for (const bool are_pairs : {false, true}) {
    const HfVocabulary v = read_hf_vocabulary(files_of(byte_tokenizer(are_pairs)), kVocabSize);
    CHECK(v.notices.empty());
    CHECK(v.model == "gpt2");
    CHECK(v.pre == "gpt-2");
    CHECK(v.merges == std::vector<std::string>{"a b", "ab c"});
    REQUIRE(v.tokens.size() == kVocabSize);
    CHECK(v.tokens[257] == "abc");
    CHECK(v.tokens[263] == "[PAD263]");
    CHECK(v.types[257] == TokenType::normal);
    CHECK(v.types[258] == TokenType::control);
    CHECK(v.types[259] == TokenType::user_defined);
    CHECK(v.types[260] == TokenType::unused);
    CHECK(v.bos == 258u);
    CHECK(v.eos == 258u);
    CHECK(v.padding == 261u);
    CHECK(v.adds_bos == true);

    // In a model file: the library's tokenizer merges by it.
    const Bytes packed = with_vocabulary(v);
    const Runtime runtime(packed);
    const Tokenizer tokenizer(runtime.model);
    CHECK(tokenizer.encode("xabcab") == std::vector<int32_t>{258, 'x', 257, 256});
  }
}

TEST_CASE("ids come from the first file that says them") {
  HfTextFiles files = files_of(byte_tokenizer());
  files.tokenizer_config = json::Document::parse(R"({"bos_token": null, "add_bos_token": false})");
  files.generation_config =
      json::Document::parse(R"({"bos_token_id": 7, "eos_token_id": [258, 259], "pad_token_id": 5000})");
  files.config = json::Document::parse(R"({"bos_token_id": 9, "eos_token_id": 3, "pad_token_id": 4})");
  const HfVocabulary v = read_hf_vocabulary(files, kVocabSize);
  CHECK(v.bos == 7u);
  CHECK(v.eos == 258u);
  CHECK(v.end_of_turn == 259u);
  CHECK(v.padding == 4u);  // 5000 is no token
  CHECK(v.adds_bos == false);
}

TEST_CASE("chat templates: the file, the text, or the default of a list") {
  HfTextFiles files = files_of(byte_tokenizer());
  const auto found = [&] { return read_hf_vocabulary(files, kVocabSize).chat_template; };
  CHECK(found() == "");
  files.tokenizer_config["chat_template"] = "text";
  CHECK(found() == "text");
  files.tokenizer_config["chat_template"] =
      json::Document::parse(R"([{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}])");
  CHECK(found() == "yes");
  files.chat_template = "file";
  CHECK(found() == "file");
}

TEST_CASE("ways to split text are told apart") {
  const auto name = [](const std::string& pre, const std::string& more = "") {
    return pre_tokenizer_name(json::Document::parse(
        R"({"model": {"ignore_merges": )" + std::string(pre.find("{1,3}| ") != std::string::npos ? "true" : "false") +
        R"(}, "pre_tokenizer": )" + pre + more + "}"));
  };
  const auto split = [](const std::string& pattern, const char* behaviour = "Isolated") {
    return R"({"type": "Split", "pattern": {"Regex": ")" + pattern + R"("}, "behavior": ")" + behaviour +
           R"(", "invert": false})";
  };
  const auto sequence = [](const std::string& steps) {
    return R"({"type": "Sequence", "pretokenizers": [)" + steps + "]}";
  };
  const std::string words =
      R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";
  const std::string bytes =
      R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false})";
  const std::string digits = R"({"type": "Digits", "individual_digits": true})";
  const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|)";
  const std::string tail = R"(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";
  const std::string llama = split(head + R"(\\p{N}{1,3})" + tail), qwen = split(head + R"(\\p{N})" + tail);
  CHECK(name(words) == "gpt-2");
  CHECK(name(words, R"(, "normalizer": {"type": "Sequence", "normalizers": []})") == "gpt-2");
  CHECK(name(sequence(digits + "," + words)) == "smollm");
  CHECK(name(sequence(llama + "," + bytes)) == "llama-bpe");
  CHECK(name(sequence(qwen + "," + bytes), R"(, "normalizer": {"type": "NFC"})") == "qwen2");
  // Each of them with something else.
  CHECK(name(bytes) == "unknown");
  CHECK(name("null") == "unknown");
  CHECK(name(words, R"(, "normalizer": {"type": "NFC"})") == "unknown");
  CHECK(name(words, R"(, "normalizer": {"type": "Lowercase"})") == "unknown");
  CHECK(name(R"({"type": "ByteLevel", "add_prefix_space": true})") == "unknown");
  CHECK(name(sequence(words + "," + digits)) == "unknown");
  CHECK(name(sequence(R"({"type": "Digits", "individual_digits": false},)" + words)) == "unknown");
  CHECK(name(sequence(qwen + "," + words)) == "unknown");
  CHECK(name(sequence(split(head + R"(\\p{N})" + tail, "Removed") + "," + bytes)) == "unknown");
  CHECK(name(sequence(split("a+") + "," + bytes)) == "unknown");
}

TEST_CASE("every way to split text that the library knows has its name in a tokenizer.json") {
  std::ifstream file(PITH_SOURCE_DIR "/tests/golden/pre_tokenizers.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const json::Document all = json::Document::parse(text);
  int n = 0;
  for (const auto& [name, tokenizer] : all.members()) {
    CAPTURE(name);
    CHECK(pre_tokenizer_name(tokenizer) == (name == "glm4" ? "llama-bpe" : name));  // GLM-4 splits as Llama 3 does
    ++n;
  }
  CHECK(n == 10);
}

TEST_CASE("a vocabulary of another kind, or malformed, is left out with a notice") {
  const struct {
    const char* what;
    const char* sentence;
    void (*change)(json::Document*);
  } cases[] = {
      {"no model", "model", [](json::Document* t) { t->remove("model"); }},
      {"another kind", "\"Unigram\"", [](json::Document* t) { (*t)["model"]["type"] = "Unigram"; }},
      {"SentencePiece's bytes", "not of bytes", [](json::Document* t) { (*t)["model"]["byte_fallback"] = true; }},
      {"no bytes", "not of bytes", [](json::Document* t) { (*t)["decoder"]["type"] = "WordPiece"; }},
      {"a prefix", "continuing_subword_prefix",
       [](json::Document* t) { (*t)["model"]["continuing_subword_prefix"] = "##"; }},
      {"a token beyond the model", "not below vocab_size",
       [](json::Document* t) { (*t)["model"]["vocab"]["zz"] = kVocabSize; }},
      {"an id of 2^64 - 1", "not below vocab_size",
       [](json::Document* t) { (*t)["model"]["vocab"]["zz"] = ~uint64_t(0); }},
      {"an id twice", "two tokens", [](json::Document* t) { (*t)["model"]["vocab"]["zz"] = 5; }},
      {"a negative id", "natural", [](json::Document* t) { (*t)["model"]["vocab"]["zz"] = -1; }},
      {"an id that is a text", "natural", [](json::Document* t) { (*t)["model"]["vocab"]["zz"] = "5"; }},
      {"an empty token", "empty", [](json::Document* t) { (*t)["model"]["vocab"][""] = 262; }},
      {"a merge of three", "pair",
       [](json::Document* t) { (*t)["model"]["merges"] = json::Document::parse(R"([["a", "b", "c"]])"); }},
      {"a merge with a space", "cannot be written",
       [](json::Document* t) { (*t)["model"]["merges"] = json::Document::parse(R"([["a b", "c"]])"); }},
      {"merges that are numbers", "array",
       [](json::Document* t) { (*t)["model"]["merges"] = json::Document::parse("[5]"); }},
      {"added tokens that are none", "array", [](json::Document* t) { (*t)["added_tokens"] = 5; }},
      {"an added token without text", "content",
       [](json::Document* t) { (*t)["added_tokens"] = json::Document::parse(R"([{"id": 3}])"); }},
      {"a tokenizer that is a number", "number", [](json::Document* t) { *t = 5; }},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    json::Document tokenizer = byte_tokenizer();
    c.change(&tokenizer);
    const HfVocabulary v = read_hf_vocabulary(files_of(tokenizer), kVocabSize);
    CHECK(v.model.empty());
    REQUIRE(!v.notices.empty());
    if (std::string(c.sentence) != "number")
      CHECK_MESSAGE(v.notices[0].find(c.sentence) != std::string::npos, v.notices[0]);
    GgufWriter writer;
    v.write(&writer);
    CHECK(writer.bytes() == GgufWriter().bytes());  // nothing of it
  }
  CHECK(read_hf_vocabulary({}, kVocabSize).notices.size() == 1);
  const HfVocabulary larger = read_hf_vocabulary(files_of(byte_tokenizer()), 5'000'000);
  CHECK(larger.model.empty());
}

TEST_CASE("a malformed tokenizer_config.json costs the vocabulary, never the model") {
  for (const char* text :
       {"5", "[]", R"({"bos_token": 5, "eos_token": []})", R"({"chat_template": 5})", R"({"add_bos_token": "yes"})"}) {
    HfTextFiles files = files_of(byte_tokenizer());
    files.tokenizer_config = json::Document::parse(text);
    CHECK_NOTHROW(read_hf_vocabulary(files, kVocabSize));
  }
  json::Document tokenizer = byte_tokenizer();
  tokenizer["post_processor"] = json::Document::parse(R"({"type": "TemplateProcessing", "single": 5})");
  CHECK(read_hf_vocabulary(files_of(tokenizer), kVocabSize).model.empty());
}

TEST_CASE("tokenizer.model becomes pieces with scores") {
  HfTextFiles files = files_of({});
  files.sentence_piece = small_sentence_piece();
  const HfVocabulary v = read_hf_vocabulary(files, 6);
  CHECK(v.notices.empty());
  CHECK(v.model == "llama");
  REQUIRE(v.tokens.size() == 6);
  CHECK(v.tokens[3] ==
        "\xe2\x96\x81"
        "a");
  CHECK(v.types[0] == TokenType::unknown);
  CHECK(v.types[1] == TokenType::control);
  CHECK(v.types[2] == TokenType::byte);
  CHECK(v.types[5] == TokenType::unused);
  CHECK(v.scores[3] == -1.5f);
  CHECK(v.unknown == 0u);
  CHECK(v.bos == 1u);
  CHECK(v.adds_bos == true);
  CHECK(v.adds_space == false);
  files.sentence_piece = small_sentence_piece(1);
  CHECK(read_hf_vocabulary(files, 6).model.empty());  // not BPE
}

TEST_CASE("hostile tokenizer.model: every prefix, every flipped bit, and malformed fields") {
  const std::string good = small_sentence_piece();
  REQUIRE(read_sentence_piece(good).pieces.size() == 4);
  const auto attempt = [](const std::string& bytes) {
    const Block exact = block_of(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    try {
      return int(read_sentence_piece({reinterpret_cast<const char*>(exact.get()), bytes.size()}).pieces.size());
    } catch (const std::runtime_error&) {
      return -1;
    }
  };
  for (size_t n = 0; n < good.size(); ++n) CHECK(attempt(good.substr(0, n)) <= 4);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = char(flipped[bit / 8] ^ 1 << bit % 8);
    CHECK(attempt(flipped) <= 5);
  }
  CHECK(attempt("") == -1);
  CHECK(attempt(std::string(20, char(0xff))) == -1);                           // a number without an end
  CHECK(attempt(Wire().varint(1 << 3 | 2).varint(~uint64_t(0)).bytes) == -1);  // 2^64 - 1 bytes
  CHECK(attempt(Wire().number(1, 5).bytes) == -1);                             // a piece that is a number
  CHECK(attempt(Wire().text(1, piece("a", 0, 7)).bytes) == -1);                // of an unknown type
  CHECK(attempt(Wire().text(1, piece("a", std::numeric_limits<float>::quiet_NaN(), 1)).bytes) == -1);
  CHECK(attempt(Wire().text(1, piece("", 0, 1)).bytes) == -1);
  CHECK(attempt(Wire().varint(1 << 3 | 3).bytes) == -1);  // a group
}
