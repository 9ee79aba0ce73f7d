#include "options.h"

#include <chrono>
#include <cstdio>
#include <thread>

#include <fmt/core.h>

#include "builtin_model.h"
#include "integrity.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

uint32_t precision(const std::string& name) { return name == "f32" ? PITH_PRECISION_F32 : PITH_PRECISION_I8; }

}  // namespace

ModelBytes::ModelBytes(const std::string& path)
    : file_(path.empty() ? MappedFile() : MappedFile(path)),
      data_(path.empty() ? builtin_model() : file_.data()),
      size_(path.empty() ? builtin_model_bytes() : file_.size()) {}

Model ModelOption::load() const {
  Model model = path.empty() ? Model::view(builtin_model(), builtin_model_bytes()) : Model::open(path);
  if (!verifies) return model;
  const ModelBytes bytes(path);
  const Model checked = Model::view(bytes.data(), bytes.size());
  if (const Integrity found = integrity_of(checked, bytes); !found.different.empty())
    throw std::runtime_error(fmt::format(
        "option --verify: {}: its bytes do not have the stored SHA-256; get the file again", found.different.front()));
  return model;
}

Model ModelOption::load_ahead() const {
  Model model = load();
  model.read_ahead();
  return model;
}

uint32_t SessionOptions::n_threads() const { return threads != 0 ? threads : count_fast_cpus(); }

pith_session_options SessionOptions::resolve() const {
  pith_session_options options = session_options();
  options.capacity = context;
  options.n_keep = keep;
  options.chunk = chunk;
  options.cache = precision(cache);
  options.activations = precision(activations);
  options.attention = attention == "materialise" ? PITH_ATTENTION_MATERIALISE : PITH_ATTENTION_DEFAULT;
  if (pool) options.pool_bytes = *pool == 0 ? PITH_POOL_NONE : *pool;
  options.max_threads = n_threads();
  options.tier = tier.empty() ? nullptr : tier.c_str();
  return options;
}

pith_session_options SessionOptions::resolve_for(const Model& model) const {
  constexpr uint64_t kMaxBytes = uint64_t(1) << 30;
  constexpr uint32_t kLeast = 4096;
  pith_session_options options = resolve();
  if (options.capacity != 0) return options;
  const uint32_t whole = model.info().context_length;
  for (options.capacity = whole; options.capacity > kLeast; options.capacity = std::max(options.capacity / 2, kLeast)) {
    if (Session::plan(model, options).session_bytes <= kMaxBytes) break;
  }
  if (options.capacity < whole)
    tell("note: a context of {} of the model's {} tokens, for the sake of memory; --context takes another\n",
         options.capacity, whole);
  return options;
}

std::string read_file(const std::string& path) {
  const MappedFile file(path);
  return {static_cast<const char*>(file.data()), file.size()};
}

void print_json(const json::Document& document) { write_output(document.dump(2) + "\n"); }

std::string logits_hash(std::span<const float> logits) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const float value : logits) {
    uint8_t bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3ull;
  }
  return fmt::format("{:016x}", hash);
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace pith::cli
