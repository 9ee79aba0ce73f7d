#include "options.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "builtin_model.h"

namespace pith::cli {
namespace {

uint32_t precision(const std::string& name) { return name == "f32" ? PITH_PRECISION_F32 : PITH_PRECISION_I8; }

}  // namespace

void ModelOption::add_to(CLI::App* app) {
  app->add_option("model", path, "Packed model (GGUF); the built-in one if left out");
}

Model ModelOption::load() const {
  return path.empty() ? Model::view(builtin_model(), builtin_model_bytes()) : Model::open(path);
}

void SessionOptions::add_to(CLI::App* app) {
  app->add_option("--threads", threads, "Threads; the fast cores if left out")->check(CLI::Range(1, 64));
  app->add_option("--tier", tier, "Instruction set: scalar, avx2, ...; the best of this CPU if left out");
  app->add_option("--context", context, "Tokens that the cache holds; the model's context if left out")
      ->check(CLI::Range(1, 1 << 24));
  app->add_option("--keep", keep, "First tokens that stay when the cache is full");
  app->add_option("--chunk", chunk, "Tokens of a prompt that are computed together; 512 if left out, 1: each alone")
      ->check(CLI::Range(1, 2048));
  app->add_option("--cache", cache, "Precision of the cache")
      ->check(CLI::IsMember({"i8", "f32"}))
      ->capture_default_str();
  app->add_option("--activations", activations, "Precision of the inputs of matrix products")
      ->check(CLI::IsMember({"i8", "f32"}))
      ->capture_default_str();
  app->add_option(
         "--attention", attention,
         "How attention reads the cache: grouped by token id (absorbed where there is no gate), or every key and "
         "value recomputed")
      ->check(CLI::IsMember({"grouped", "materialise"}))
      ->capture_default_str();
  app->add_option(
         "--pool", pool,
         "Bytes for the rows of gated models, with K, M or G; 0: none; rows for 3/8 of the context and 64 if left out")
      ->transform(CLI::AsSizeValue(false));
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

void SamplingOptions::add_to(CLI::App* app) {
  app->add_option_function<uint64_t>(
         "--seed",
         [this](uint64_t value) {
           seed = value;
           has_seed = true;
         },
         "Seed of the draws; a loaded state goes on with its own if left out")
      ->default_str(std::to_string(seed));
  app->add_option("--temp", temperature, "Temperature; 0 is greedy")->capture_default_str();
  app->add_option("--top-k", top_k, "Keep the k likeliest tokens; 0 is all")->capture_default_str();
  app->add_option("--top-p", top_p, "Keep the smallest set of tokens with this probability")->capture_default_str();
  app->add_option("--min-p", min_p, "Drop tokens less likely than this share of the likeliest")->capture_default_str();
  app->add_option("--repeat-penalty", repeat_penalty, "Penalty on recent tokens; 1 is off")->capture_default_str();
  app->add_option("--repeat-window", repeat_window, "Recent tokens that the penalty sees; 0 is none")
      ->capture_default_str();
  app->add_option("--stop", stops, "Stop before this text; may be given several times")->allow_extra_args(false);
}

pith_sampler_options SamplingOptions::resolve() const {
  // What the library would take for a default or for a name of its own.
  if (temperature < 0) throw std::runtime_error("option temperature: not a finite number >= 0");
  if (top_p == 0) throw std::runtime_error("option top_p: not within 0 (excluded) .. 1");
  if (min_p < 0) throw std::runtime_error("option min_p: not within 0 .. 1 (excluded)");
  if (repeat_penalty == 0) throw std::runtime_error("option repeat_penalty: not a finite number > 0");
  if (repeat_window == PITH_REPEAT_WINDOW_NONE) throw std::runtime_error("option repeat_window: at most 65536");
  pith_sampler_options options = sampler_options();
  options.temperature = temperature == 0 ? PITH_GREEDY : temperature;
  options.top_k = top_k == 0 ? PITH_TOP_K_ALL : top_k;
  options.top_p = top_p;
  options.min_p = min_p == 0 ? PITH_MIN_P_NONE : min_p;
  options.repeat_penalty = repeat_penalty;
  options.repeat_window = repeat_window == 0 ? PITH_REPEAT_WINDOW_NONE : repeat_window;
  options.seed = seed;
  return options;
}

std::string read_file(const std::string& path) {
  const MappedFile file(path);
  return {static_cast<const char*>(file.data()), file.size()};
}

void print_json(const nlohmann::ordered_json& document) {
  const std::string text = document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
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
