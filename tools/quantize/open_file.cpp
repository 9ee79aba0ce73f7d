#include "open_file.h"

#include <stdexcept>

#include "model/config_reader.h"

namespace pith::quantize {

void check(pith_status status, const pith_error& error) {
  if (status != PITH_OK) throw std::runtime_error(error.message);
}

OpenFile::OpenFile(const void* data, size_t size, SplitFiles split) {
  pith_error error{};
  size_t bytes = 0;
  check(ModelFile::directory_bytes(data, size, &bytes, &error), error);
  directory.resize(bytes / sizeof(uint64_t) + 1);
  check(file.open(data, size, directory.data(), &error), error);
  if (split == SplitFiles::refused) check(file.check_not_split(&error), error);
}

Config OpenFile::config() const {
  pith_error error{};
  Config config;
  check(read_config(file, &config, &error), error);
  return config;
}

}  // namespace pith::quantize
