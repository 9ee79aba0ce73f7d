// The list of the configuration's keys: the reader and the writer agree on it, and what is written from it is up to date.
// With PITH_WRITE_KEYS set, docs/keys.md and tools/train/config_keys.json are written instead of compared.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "gguf_writer.h"
#include "key_reference.h"
#include "metadata_writer.h"
#include "opened_file.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::quantize;
using namespace pith::test;

namespace {

void check_page(const std::string& path, const std::string& expected) {
  const std::string whole = PITH_SOURCE_DIR "/" + path;
  if (std::getenv("PITH_WRITE_KEYS") != nullptr) std::ofstream(whole) << expected;
  std::ifstream in(whole);
  const std::string found{std::istreambuf_iterator<char>(in), {}};
  CHECK_MESSAGE(found == expected, path << " is not what src/model/config_keys.cpp says: PITH_WRITE_KEYS=1 pith_tests "
                                           "-sf='*config_keys_test.cpp' writes it");
}

// A configuration, written and read.
Config through_a_file(const Config& config) {
  GgufWriter writer;
  write_config(config, &writer);
  return OpenedFile(writer.bytes(), false).config;
}

// A value that is not the default, and is within the key's range and the relations between keys.
double another(const ConfigKey& key, const Config& c) {
  const double value = key.get(c);
  if (key.kind == KeyKind::boolean) return value == 0 ? 1 : 0;
  if (key.kind == KeyKind::word) return value == 0 ? 1 : 0;
  if (key.kind == KeyKind::integer) return value == 0 ? 24 : 2 * value;
  return double(float(value * 0.5 + 1e-7 < key.low ? key.low + 1 : value * 0.5 + 1e-7));
}

}  // namespace

TEST_CASE("every key of a configuration goes into a file and comes back") {
  std::set<std::string> seen;
  for (const SynthSpec& spec : all_variants()) {
    for (const ConfigKey& key : config_keys()) {
      if (!applies(key.scope, spec.config) || key.use == KeyUse::alias || key.use == KeyUse::packed) continue;
      CAPTURE(spec.name);
      CAPTURE(key.name);
      CHECK(key.get(through_a_file(spec.config)) == key.get(spec.config));
      const bool decides = key.field == std::string("attention") || key.field == std::string("gate") ||
                           key.field == std::string("rope_scaling") ||  // other keys are required with another value
                           (key.field == std::string("n_experts") && spec.config.n_experts == 0);
      if (decides) continue;
      Config other = spec.config;
      key.set(&other, another(key, spec.config));
      const bool has_more_groups = other.n_used_expert_groups > other.n_expert_groups;
      if (has_more_groups || other.n_used_experts > other.n_used_expert_groups * other.group_experts()) continue;
      if (key.field == std::string("n_dense_layers") && other.n_dense_layers >= other.n_layers) continue;
      if (key.field == std::string("n_kv_heads") || (key.field == std::string("n_heads") && other.is_mha())) continue;
      CHECK(key.get(other) != key.get(spec.config));
      CHECK(key.get(through_a_file(other)) == key.get(other));
      seen.insert(key.name);
    }
  }
  CHECK(seen.size() + 8 >= config_keys().size());  // all but those that decide, the alias, the packer's and n_kv_heads
}

TEST_CASE("names are the ones of fields and words, and no key is listed twice") {
  std::set<std::string> names;
  for (const ConfigKey& key : config_keys()) {
    CAPTURE(key.name);
    CHECK(names.insert(key.name).second);
    CHECK(std::string(key.meaning) != "");
    CHECK((key.kind == KeyKind::word) == (*key.words != '\0'));
    if (key.kind == KeyKind::integer || key.kind == KeyKind::real) CHECK(key.low < key.high);
  }
  CHECK(word_at("none, up, latent", 0) == "none");
  CHECK(word_at("none, up, latent", 2) == "latent");
  CHECK(word_at("none, up, latent", 3).empty());
  CHECK(word_at("none", 1).empty());
}

TEST_CASE("the pages about keys are up to date") {
  check_page("docs/keys.md", keys_page());
  check_page("tools/train/config_keys.json", keys_json());
}
