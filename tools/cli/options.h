// What the commands share: the model argument, session and sampling options (main.cpp says what they are called), and
// how results leave the program.
#ifndef PITH_CLI_OPTIONS_H
#define PITH_CLI_OPTIONS_H

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "document.h"
#include "pith/pith.hpp"
#include "sampling_options.h"

namespace pith::cli {

// The bytes of a model file, mapped, or of the built-in model.
class ModelBytes {
 public:
  explicit ModelBytes(const std::string& path);  // empty: the built-in model
  const void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  MappedFile file_;
  const void* data_;
  size_t size_;
};

struct ModelOption {
  std::string path;       // empty: the built-in model
  bool verifies = false;  // before it is used, as `pith verify` does

  Model load() const;
  Model load_ahead() const;  // for evaluating: what every token needs is read in the background
  std::string name() const { return path.empty() ? "built-in" : path; }
};

struct SessionOptions {
  uint32_t threads = 0;  // 0: all cores
  std::string tier;      // empty: the best
  uint32_t context = 0, keep = 0, chunk = 0;
  std::string cache = "i8", activations = "i8", attention = "grouped";
  std::optional<uint64_t> pool;  // bytes

  uint32_t n_threads() const;
  pith_session_options resolve() const;  // refers to `tier`: keep this object alive
  // The same with a capacity: unless --context asks, the model's context as far as a session of 1 GiB, and at least 4,096
  // tokens, hold it; of less the user is told.
  pith_session_options resolve_for(const Model& model) const;
};

// Reads a whole regular file.
std::string read_file(const std::string& path);

// One JSON document on standard output, as Document::dump has it.
void print_json(const json::Document& document);

// FNV-1a of the bytes of the logits, as 16 hex digits: equal on every machine for equal calls.
std::string logits_hash(std::span<const float> logits);

// Seconds on a monotonic clock.
double seconds();

}  // namespace pith::cli

#endif
