// A model file in memory, opened: its directory, and the memory of that.
#ifndef PITH_QUANTIZE_OPEN_FILE_H
#define PITH_QUANTIZE_OPEN_FILE_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/config.h"
#include "model/model_file.h"

namespace pith::quantize {

using namespace internal;

// Throws std::runtime_error with the sentence of `error`, unless the status is PITH_OK.
void check(pith_status status, const pith_error& error);

enum class SplitFiles { refused, accepted };  // files of a model that is split over several

// Throws as check() does. The bytes must outlive it.
struct OpenFile {
  OpenFile(const void* data, size_t size, SplitFiles split = SplitFiles::refused);
  Config config() const;

  ModelFile file;
  std::vector<uint64_t> directory;
};

}  // namespace pith::quantize

#endif
