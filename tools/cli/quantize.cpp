// pith quantize: a model as it was downloaded in, the packed model that runs out.
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fmt/core.h>

#include "commands.h"
#include "gguf_source.h"
#include "hf_source.h"
#include "output_file.h"
#include "pack.h"
#include "split_files.h"

namespace pith::cli {

using namespace quantize;
namespace {

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat of_a {
  }, of_b{};
  return ::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

// The files of a GGUF model, mapped.
std::vector<MappedFile> mapped_files(const std::string& input) {
  std::vector<MappedFile> files;
  for (const std::string& path : split_paths(input)) files.emplace_back(path);
  return files;
}

std::unique_ptr<ModelSource> open_gguf(const std::string& input, const std::vector<MappedFile>& files) {
  const std::vector<std::string> paths = split_paths(input);
  std::vector<FileBytes> bytes;
  for (size_t i = 0; i < files.size(); ++i) bytes.push_back({files[i].data(), files[i].size(), paths[i]});
  return std::make_unique<GgufSource>(std::move(bytes));
}

// Pages of a file that have been read need not stay in memory: a file may be larger than that.
void drop_pages(const std::vector<MappedFile>& files) {
  for (const MappedFile& file : files) ::madvise(const_cast<void*>(file.data()), file.size(), MADV_DONTNEED);
}

const char* name_of(WeightType type) {
  constexpr const char* kNames[] = {"f32", "q8", "q4", "q4m"};
  return kNames[size_t(type)];
}

void print_report(const PackReport& report) {
  for (const PackedMatrices& m : report) {
    const double weights = double(m.n_weights);
    const std::string cost = m.is_exact                  ? "kept as they are"
                             : m.type == WeightType::f32 ? "as floats"
                                                         : fmt::format("relative error {:.2g}", m.relative_error());
    fmt::print(stderr, "  {:>4} matrices, {:>9.1f} M weights: {:>6} -> {:<3}  {:5.2f} -> {:5.2f} bits  {}\n",
               m.n_matrices, weights / 1e6, m.stored_type, name_of(m.type), double(m.stored_bits) / weights,
               double(m.packed_bits) / weights, cost);
  }
}

}  // namespace

void quantize(const QuantizeOptions& options) {
  if (is_same_file(options.input, options.output))
    throw std::runtime_error("argument OUT: is the input file; name another");
  const bool is_folder = std::filesystem::is_directory(options.input);
  const std::vector<MappedFile> files = is_folder ? std::vector<MappedFile>{} : mapped_files(options.input);
  const std::unique_ptr<ModelSource> source =
      is_folder ? open_hugging_face(options.input) : open_gguf(options.input, files);
  for (const std::string& notice : source->notices()) fmt::print(stderr, "note: {}\n", notice);
  PackOptions pack = pack_options(options.type);
  pack.progress = [&files, show = progress_bar("packing")](uint64_t done, uint64_t total) {
    drop_pages(files);
    if (show) show(done, total);
  };
  OutputFile output(options.output);
  const PackReport report = pack_model(*source, pack, into(&output));
  output.commit();
  fmt::print(stderr, "{}: {:.2f} MB\n", options.output, double(std::filesystem::file_size(options.output)) / 1e6);
  print_report(report);
}

}  // namespace pith::cli
