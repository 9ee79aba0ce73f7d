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

// The patterns are those of the published tokenizer.json files of Llama 3, Qwen 2 and DeepSeek-V3.
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
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
        " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
        "bytes"}},
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

std::string step_of(const json::Document& step) {
  const std::string& type = step["type"].string();
  if (type == "ByteLevel" && !flag(step, "add_prefix_space", true))
    return flag(step, "use_regex", true) ? "words" : "bytes";
  if (type == "Digits" && flag(step, "individual_digits", false)) return "digits";
  if (type == "Split" && text(step, "behavior") == "Isolated" && !flag(step, "invert", false)) {
    const json::Document* pattern = step["pattern"].find("Regex");
    if (pattern != nullptr) return pattern->string();
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
