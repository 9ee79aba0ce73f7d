#include "pre_tokenizer_names.h"

#include <algorithm>
#include <vector>

namespace pith::quantize {
namespace {

// The steps of a pre_tokenizer, as words: "digits", "words" (GPT-2's own pattern), "bytes" (the alphabet alone), a pattern.
using Steps = std::vector<std::string>;

constexpr const char* kOther = "?";

struct Known {
  const char* name;
  bool has_nfc;       // may come after a normaliser to Unicode's form C
  bool whole_pieces;  // a piece that is a token is not merged: ignore_merges
  Steps steps;
};

// The patterns are those of the published tokenizer.json files; GLM-4 has Llama 3's. What each means is computed in
// src/text/pre_tokenizer.cpp.
const std::string kContraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

// Words whose parts have `more` at the end of their classes.
std::string words(const std::string& more) {
  const std::string head = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M})" + more + "]";
  const std::string tail = R"([\p{Ll}\p{Lm}\p{Lo}\p{M})" + more + "]", lead = R"([^\r\n\p{L}\p{N}]?)";
  return lead + head + "*" + tail + "+" + kContraction + "?|" + lead + head + "+" + tail + "*" + kContraction + "?";
}

constexpr const char* kSpace = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kWide = "[\u4e00-\u9fa5\xe0\xa0\x80-\u4e00\uac00-\xed\x9f\xbf]+";
// The letters that have a case. clang-format counts bytes, and would cut the lines.
// clang-format off
constexpr const char* kCased =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴ"
    "ᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ"
    "ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
// clang-format on

const std::vector<Known>& known() {
  static const std::vector<Known> list = {
      {"gpt-2", false, false, {"words"}},
      {"smollm", false, false, {"digits", "words"}},
      {"llama-bpe",
       false,
       true,
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        "bytes"}},
      {"qwen2",
       true,
       false,
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
        "bytes"}},
      {"deepseek-v3",
       false,
       false,
       {R"(\p{N}{1,3})", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)" +
            std::string(kSpace),
        "bytes"}},
      {"deepseek-llm",
       false,
       false,
       {R"([\r\n])", kCased, "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", "\\s+$", kWide,
        "digits", "bytes"}},
      {"deepseek-coder", false, false, {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kWide, "digits", "bytes"}},
      {"youtu",
       false,
       true,
       {"[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-"
        "\u303f\ufe30-\ufe4f]+|"
        "[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        words("") + R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kSpace, "bytes"}},
      {"kimi-k2",
       false,
       true,
       {R"([\p{Han}]+|)" + words(R"(&&[^\p{Han}])") + R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kSpace, "bytes"}},
  };
  return list;
}

bool flag(const json::Document& object, const char* name, bool otherwise) {
  const json::Document* found = object.find(name);
  return found == nullptr || found->is_null() ? otherwise : found->boolean();
}

std::string text(const json::Document& object, const char* name) {
  const json::Document* found = object.find(name);
  return found == nullptr || !found->is_string() ? std::string() : found->string();
}

// Patterns with line ends in them, with escapes instead: published files have them either way.
std::string with_escapes(const std::string& pattern) {
  std::string out;
  for (const char c : pattern) {
    if (c == '\r') out += "\\r";
    else if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

std::string step_of(const json::Document& step) {
  const std::string& type = step["type"].string();
  if (type == "ByteLevel" && !flag(step, "add_prefix_space", true))
    return flag(step, "use_regex", true) ? "words" : "bytes";
  if (type == "Digits" && flag(step, "individual_digits", false)) return "digits";
  if (type == "Split" && text(step, "behavior") == "Isolated" && !flag(step, "invert", false)) {
    const json::Document* pattern = step["pattern"].find("Regex");
    if (pattern != nullptr) return with_escapes(pattern->string());
  }
  return kOther;
}

// A sequence, one step, or none (null).
const json::Document* steps_in(const json::Document* part, const char* list) {
  return part == nullptr || text(*part, "type") != "Sequence" ? nullptr : &(*part)[std::string_view(list)];
}

Steps steps_of(const json::Document* part, const char* list) {
  if (part == nullptr || part->is_null()) return {};
  const json::Document* sequence = steps_in(part, list);
  if (sequence == nullptr) return {step_of(*part)};
  Steps steps;
  for (const json::Document& step : sequence->elements()) steps.push_back(step_of(step));
  return steps;
}

// Whether text comes as it is; `is_nfc`: or in Unicode's form C.
bool is_plain(const json::Document* normalizer, bool* is_nfc) {
  if (normalizer == nullptr || normalizer->is_null()) return true;
  *is_nfc = text(*normalizer, "type") == "NFC";
  const json::Document* sequence = steps_in(normalizer, "normalizers");
  return *is_nfc || (sequence != nullptr && sequence->elements().empty());
}

}  // namespace

std::string pre_tokenizer_name(const json::Document& tokenizer) {
  bool is_nfc = false;
  if (!is_plain(tokenizer.find("normalizer"), &is_nfc)) return "unknown";
  const Steps steps = steps_of(tokenizer.find("pre_tokenizer"), "pretokenizers");
  const bool whole_pieces = flag(tokenizer["model"], "ignore_merges", false);
  for (const Known& one : known()) {
    if (steps == one.steps && (!is_nfc || one.has_nfc) && whole_pieces == one.whole_pieces) return one.name;
  }
  return "unknown";
}

}  // namespace pith::quantize
