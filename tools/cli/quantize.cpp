// pith quantize: a float model in, the packed model that runs out.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <fmt/core.h>

#include "commands.h"
#include "output_file.h"
#include "pack.h"

namespace pith::cli {

using namespace quantize;
namespace {

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat of_a {
  }, of_b{};
  return ::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

}  // namespace

void quantize(const QuantizeOptions& options) {
  if (is_same_file(options.input, options.output))
    throw std::runtime_error("argument OUT: is the input file; name another");
  const MappedFile input(options.input);
  PackOptions pack = pack_options(options.type);
  pack.progress = progress_bar("packing");
  const std::vector<uint8_t> bytes = pack_model(input.data(), input.size(), pack);
  OutputFile output(options.output);
  output.write(bytes.data(), bytes.size());
  output.commit();
  fmt::print(stderr, "{}: {:.2f} MB, {}\n", options.output, double(bytes.size()) / 1e6, options.type);
}

}  // namespace pith::cli
