#include "options.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include <fmt/core.h>

#include "builtin_model.h"

namespace pith::cli {
namespace {

uint32_t precision(const std::string& name) { return name == "f32" ? PITH_PRECISION_F32 : PITH_PRECISION_I8; }

}  // namespace

Model ModelOption::load() const {
  return path.empty() ? Model::view(builtin_model(), builtin_model_bytes()) : Model::open(path);
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
  options.pool_bytes = pool;
  options.max_threads = n_threads();
  options.tier = tier.empty() ? nullptr : tier.c_str();
  return options;
}

std::string read_file(const std::string& path) {
  const MappedFile file(path);
  return {static_cast<const char*>(file.data()), file.size()};
}

void print_json(const json::Document& document) {
  const std::string text = document.dump(2) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
}

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

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  }
  return "unknown";
}

}  // namespace pith::cli
