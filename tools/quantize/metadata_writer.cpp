#include "metadata_writer.h"

#include <stdexcept>
#include <string_view>

#include <fmt/core.h>

#include "model/config_keys.h"
#include "open_file.h"

namespace pith::quantize {
namespace {

// JSON has one kind of number: 10000 is a real where the key is one.
void add_json(std::string_view name, const json::Document& value, GgufWriter* out) {
  const std::string key = fmt::format("{}{}", kKeyPrefix, name);
  const ConfigKey* known = find_key(config_keys(), name);
  if (known == nullptr || known->use == KeyUse::packed)
    throw std::runtime_error(fmt::format("key {}: not a key of a configuration", key));
  if (value.is_boolean()) out->add_bool(key, value.boolean());
  else if (value.is_real() || (known->kind == KeyKind::real && value.is_integer())) out->add_f64(key, value.number());
  else if (value.is_natural()) out->add_u64(key, value.natural());
  else if (value.is_integer()) out->add_i64(key, value.integer());
  else if (value.is_string()) out->add_string(key, value.string());
  else throw std::runtime_error(fmt::format("key {}: neither a number, a word nor true or false", key));
}

}  // namespace

void write_config(const Config& c, GgufWriter* out) {
  out->add_string("general.architecture", "egmla");
  for (const ConfigKey& key : config_keys()) {
    if (!is_written(key, c)) continue;
    const std::string name = fmt::format("{}{}", kKeyPrefix, key.name);
    const double value = key.get(c);
    switch (key.kind) {
      case KeyKind::integer: out->add_u32(name, uint32_t(value)); break;
      case KeyKind::real: out->add_f32(name, float(value)); break;
      case KeyKind::boolean: out->add_bool(name, value != 0); break;
      case KeyKind::word: out->add_string(name, word_at(key.words, size_t(value))); break;
    }
  }
}

// Through a file in memory and read_config, so that every configuration is held to the same rules.
Config checked_config(const Config& config) {
  GgufWriter writer;
  write_config(config, &writer);
  const std::vector<uint8_t> bytes = writer.bytes();
  return OpenFile(bytes.data(), bytes.size()).config();
}

// In the same way.
Config config_from_json(const json::Document& object) {
  if (!object.is_object()) throw std::runtime_error("the configuration is not a JSON object of keys");
  GgufWriter writer;
  writer.add_string("general.architecture", "egmla");
  for (const auto& [key, value] : object.members()) {
    const std::string_view name = key;
    const std::string_view prefix = kKeyPrefix;
    add_json(name.starts_with(prefix) ? name.substr(prefix.size()) : name, value, &writer);
  }
  const std::vector<uint8_t> bytes = writer.bytes();
  return OpenFile(bytes.data(), bytes.size()).config();
}

}  // namespace pith::quantize
