// The one list of the configuration's keys in a model file. From it the reader reads, the packer writes, `pith synth`
// takes JSON, `pith info` explains, and tools/train/config_keys.json and docs/keys.md are written
// (tests/config_keys_test.cpp).
#ifndef PITH_MODEL_CONFIG_KEYS_H
#define PITH_MODEL_CONFIG_KEYS_H

#include <cstddef>
#include <span>
#include <string_view>

#include "model/config.h"

namespace pith::internal {

// What the file holds: any GGUF integer, f32 or f64, a boolean, a string that is one of the words.
PITH_WORDS(KeyKind, integer, real, boolean, word)

// The models that a key is read of and written for. The keys that decide it come first in the list.
//   gated: latent attention with a gate; scaled: a scaled rotary embedding; experts: layers with experts
PITH_WORDS(KeyScope, always, mha, latent, gated, scaled, experts)

//   required: the file must have it
//   optional: where absent, the default
//   alias:    optional, another name of the key of the same field that follows; read, never written
//   packed:   optional, written by the packer alone: no choice of a float model
PITH_WORDS(KeyUse, required, optional, alias, packed)

struct ConfigKey {
  const char* name;   // after "egmla."
  const char* field;  // member of Config, here and in tools/train/model.py
  KeyKind kind;
  KeyScope scope;
  KeyUse use;
  double low, high;   // of a number, both within; real numbers are finite
  const char* words;  // of a word, as words_of() lists them; "" otherwise
  const char* unit;   // of a number; "" where it has none
  const char* meaning;
  // The field as a number: the index of a word; 0 or 1.
  double (*get)(const Config&);
  void (*set)(Config*, double);
};

constexpr const char* kKeyPrefix = "egmla.";

std::span<const ConfigKey> config_keys();

// The key of that name, which has no "egmla."; NULL if there is none.
constexpr const ConfigKey* find_key(std::span<const ConfigKey> keys, std::string_view name) {
  for (const ConfigKey& key : keys) {
    if (name == key.name) return &key;
  }
  return nullptr;
}

constexpr bool applies(KeyScope scope, const Config& c) {
  switch (scope) {
    case KeyScope::always: return true;
    case KeyScope::mha: return c.is_mha();
    case KeyScope::latent: return !c.is_mha();
    case KeyScope::gated: return !c.is_mha() && c.gate != Gate::none;
    case KeyScope::scaled: return c.rope_scaling != RopeScaling::none;
    case KeyScope::experts: return c.n_experts > 0;
  }
  return false;
}

// A float model of this configuration has the key in its file: not where it says what its absence would.
constexpr bool is_written(const ConfigKey& key, const Config& c) {
  if (key.use == KeyUse::alias || key.use == KeyUse::packed || !applies(key.scope, c)) return false;
  return key.kind != KeyKind::integer || key.use == KeyUse::required || key.get(c) != key.get(Config{});
}

// The word of that number in a list of words_of(); empty beyond the last.
constexpr std::string_view word_at(std::string_view words, size_t index) {
  for (;; --index) {
    const size_t end = words.find(", ");
    if (index == 0) return words.substr(0, end);
    if (end == std::string_view::npos) return {};
    words.remove_prefix(end + 2);
  }
}

}  // namespace pith::internal

#endif
