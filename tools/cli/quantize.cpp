// pith quantize: a model as it was downloaded in, the packed model that runs out.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include <fmt/core.h>

#include "commands.h"
#include "gguf_source.h"
#include "hf_source.h"
#include "opened_check.h"
#include "output_file.h"
#include "pack.h"
#include "split_files.h"
#include "standard_streams.h"

namespace pith::cli {

using namespace quantize;
namespace {

bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code absent;
  return std::filesystem::equivalent(a, b, absent);
}

// The files that a model is read from: those of a folder, or the parts of a GGUF.
std::vector<std::string> input_paths(const std::string& input, bool is_folder) {
  if (!is_folder) return split_paths(input);
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(input)) paths.push_back(entry.path().string());
  return paths;
}

// The output replaces none of them.
void check_output(const std::vector<std::string>& inputs, const std::string& output) {
  for (const std::string& input : inputs) {
    if (is_same_file(input, output))
      throw std::runtime_error(fmt::format("argument OUT: is an input file, {}; name another", input));
  }
}

// `files` keeps them mapped.
std::unique_ptr<ModelSource> open_gguf(const std::vector<std::string>& paths, std::vector<MappedFile>* files) {
  std::vector<FileBytes> bytes;
  for (const std::string& path : paths) {
    const MappedFile& file = files->emplace_back(path);
    bytes.push_back({file.data(), file.size(), path, true});
  }
  return std::make_unique<GgufSource>(std::move(bytes));
}

std::string shown(const PackReport& report) {
  std::string text;
  for (const PackedMatrices& m : report) {
    const double weights = double(m.n_weights);
    const std::string cost = m.is_exact                  ? "kept as they are"
                             : m.type == WeightType::f32 ? "as floats"
                                                         : fmt::format("relative error {:.2g}", m.relative_error());
    text += fmt::format("  {:>4} matrices, {:>9.1f} M weights: {:>6} -> {:<3}  {:5.2f} -> {:5.2f} bits  {}\n",
                        m.n_matrices, weights / 1e6, m.stored_type, weight_type_name(m.type),
                        double(m.stored_bits) / weights, double(m.packed_bits) / weights, cost);
  }
  return text;
}

}  // namespace

void quantize(const QuantizeOptions& options) {
  const bool is_folder = std::filesystem::is_directory(options.input);
  const std::vector<std::string> inputs = input_paths(options.input, is_folder);
  check_output(inputs, options.output);
  std::vector<MappedFile> files;
  const std::unique_ptr<ModelSource> source = is_folder ? open_hugging_face(options.input) : open_gguf(inputs, &files);
  for (const std::string& notice : source->notices()) tell("note: {}\n", notice);
  PackOptions pack = pack_options(options.type);
  pack.progress = progress_bar("packing");
  OutputFile output(options.output);
  const PackReport report = pack_model(*source, pack, into(&output));
  const std::string written =
      fmt::format("{}: {:.2f} MB\n", options.output, double(output.bytes()) / 1e6) + shown(report);
  output.commit([](const std::string& path) {
    if (const std::string notice = check_model_file(path); !notice.empty()) tell("note: {}\n", notice);
  });
  tell_text(written);
}

}  // namespace pith::cli
