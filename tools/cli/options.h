// What the commands share: the model argument, session and sampling options, and how results leave the program.
#ifndef PITH_CLI_OPTIONS_H
#define PITH_CLI_OPTIONS_H

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/pith.hpp"

namespace pith::cli {

struct ModelOption {
  std::string path;  // empty: the built-in model

  void add_to(CLI::App* app);
  Model load() const;
  std::string name() const { return path.empty() ? "built-in" : path; }
};

struct SessionOptions {
  uint32_t threads = 0;  // 0: all cores
  std::string tier;      // empty: the best
  uint32_t context = 0, keep = 0, chunk = 0;
  std::string cache = "i8", activations = "i8", attention = "grouped";
  std::optional<uint64_t> pool;  // bytes

  void add_to(CLI::App* app);
  uint32_t n_threads() const;
  pith_session_options resolve() const;  // refers to `tier`: keep this object alive
};

// As people say it: 0 is greedy, all tokens, no token.
struct SamplingOptions {
  float temperature = 0.8f, top_p = 0.95f, min_p = 0.05f, repeat_penalty = 1;
  uint32_t top_k = 40, repeat_window = 64;
  uint64_t seed = 1;
  bool has_seed = false;  // it was given
  std::vector<std::string> stops;

  void add_to(CLI::App* app);
  pith_sampler_options resolve() const;
};

// Reads a whole regular file.
std::string read_file(const std::string& path);

// One JSON document on standard output; bytes that are not UTF-8 become U+FFFD.
void print_json(const nlohmann::ordered_json& document);

// FNV-1a of the bytes of the logits, as 16 hex digits: equal on every machine for equal calls.
std::string logits_hash(std::span<const float> logits);

// Seconds on a monotonic clock.
double seconds();

// The processor's name, or "unknown".
std::string cpu_name();

// Each command adds its subcommand and its callback; a callback throws pith::Error, std::runtime_error or sets *status.
void add_run(CLI::App* app, int* status);
void add_quantize(CLI::App* app, int* status);
void add_synth(CLI::App* app, int* status);
void add_info(CLI::App* app, int* status);
void add_bench(CLI::App* app, int* status);
void add_eval(CLI::App* app, int* status);
void add_verify(CLI::App* app, int* status);
void add_parity(CLI::App* app, int* status);

}  // namespace pith::cli

#endif
