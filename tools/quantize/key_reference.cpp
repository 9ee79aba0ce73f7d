#include "key_reference.h"

#include <cmath>
#include <string_view>

#include <fmt/core.h>

namespace pith::quantize {
namespace {

const char kIntroduction[] = R"(# The keys of a configuration

What design calls data: the keys `egmla.*` of a model file, which say the shape of a model and which variant of the family it
is. `general.architecture` is `egmla`. `pith synth` takes the same keys, with or without `egmla.`, from a JSON file.
`pith info MODEL` shows those of a model.

An integer may have any integer type of GGUF and is not negative; a real is `f32` or `f64`. A number out of its range, an unknown
word or a missing required key is refused by name. An absent optional key has its default. A key that this kind of model does not
have is not looked at. A gate needs latent attention, and `layer_split` the gate `up`. `egmla.attention.sliding_window` must be
absent or 0.

This page is written from `src/model/config_keys.cpp`: see CONTRIBUTING.md, "Add a model variant".
)";

struct Section {
  KeyScope scope;
  const char* title;
};
constexpr Section kSections[] = {{KeyScope::always, "Every model"},
                                 {KeyScope::mha, "`attention.kind` is `mha`"},
                                 {KeyScope::latent, "`attention.kind` is `latent`"},
                                 {KeyScope::gated, "`attention.kind` is `latent` and `attention.gate` is not `none`"},
                                 {KeyScope::scaled, "`rope.scaling.type` is not `none`"},
                                 {KeyScope::experts, "`expert_count` is not 0"}};

// A number that is meant to be read: great and tiny ones as the powers of 2 or 10 that they are.
std::string number(double x) {
  for (int power = 16; power < 31; ++power) {
    if (x == double(1u << power)) return fmt::format("2^{}", power);
  }
  for (const int power : {-12, 6, 12}) {
    if (std::fabs(x) == std::pow(10.0, power)) return fmt::format("{}10^{}", x < 0 ? "-" : "", power);
  }
  return fmt::format("{}", x);
}

// The values that the key may have.
std::string domain(const ConfigKey& key) {
  if (key.kind == KeyKind::boolean) return "`true`, `false`";
  if (key.kind != KeyKind::word) return fmt::format("{} .. {}", number(key.low), number(key.high));
  std::string out;
  for (size_t i = 0; !word_at(key.words, i).empty(); ++i)
    out += fmt::format("{}`{}`", i == 0 ? "" : ", ", word_at(key.words, i));
  return out;
}

std::string default_text(const ConfigKey& key) {
  if (key.use == KeyUse::required) return "required";
  const double value = key.get(Config{});
  // 0 where that is no value of the key: what its absence means is in the text.
  const bool is_value = key.kind != KeyKind::integer || value >= key.low;
  return is_value ? value_text(key, value) : "absent";
}

std::string row(const ConfigKey& key) {
  const char* point = key.kind == KeyKind::real ? "real" : key.kind == KeyKind::integer ? "integer" : "";
  const std::string values = fmt::format("{}{}{}", point, *point == '\0' ? "" : " ", domain(key));
  const std::string unit = *key.unit == '\0' ? "" : fmt::format(" {}", key.unit);
  return fmt::format("| `{}` | {}{} | {} | {} |\n", key.name, values, unit, default_text(key), key.meaning);
}

std::string quoted(std::string_view text) { return fmt::format("\"{}\"", text); }

std::string json_value(const ConfigKey& key, double value) {
  return key.kind == KeyKind::word ? quoted(value_text(key, value)) : value_text(key, value);
}

std::string json_row(const ConfigKey& key) {
  std::string out = fmt::format(
      R"(  {{"key": "{}", "field": "{}", "kind": "{}", "scope": "{}", "use": "{}", "default": {})", key.name, key.field,
      word_at(words_of(key.kind), size_t(key.kind)), word_at(words_of(key.scope), size_t(key.scope)),
      word_at(words_of(key.use), size_t(key.use)), json_value(key, key.get(Config{})));
  if (key.kind == KeyKind::word) {
    out += ", \"words\": [";
    for (size_t i = 0; !word_at(key.words, i).empty(); ++i) out += (i == 0 ? "" : ", ") + quoted(word_at(key.words, i));
    out += "]";
  }
  return out + "}";
}

}  // namespace

std::string value_text(const ConfigKey& key, double value) {
  switch (key.kind) {
    case KeyKind::word: return std::string(word_at(key.words, size_t(value)));
    case KeyKind::boolean: return value != 0 ? "true" : "false";
    case KeyKind::integer: return fmt::format("{}", int64_t(value));
    case KeyKind::real: break;
  }
  return fmt::format("{}", float(value));
}

std::string keys_page() {
  std::string out = kIntroduction;
  for (const Section& section : kSections) {
    out += fmt::format("\n## {}\n\n| key, after `egmla.` | values | default | meaning |\n| --- | --- | --- | --- |\n",
                       section.title);
    for (const ConfigKey& key : config_keys()) {
      if (key.scope == section.scope) out += row(key);
    }
  }
  return out;
}

std::string keys_json() {
  std::string out;
  for (const ConfigKey& key : config_keys()) out += (out.empty() ? "[\n" : ",\n") + json_row(key);
  return out + "\n]\n";
}

}  // namespace pith::quantize
