// A model that is split over several GGUF files, as llama-gguf-split writes them: NAME-00001-of-0000N has all the metadata, and
// every file some of the tensors. Three keys in each of them say how they belong together:
//   split.no             0 .. N - 1
//   split.count          N
//   split.tensors.count  tensors of all files
#ifndef PITH_QUANTIZE_SPLIT_FILES_H
#define PITH_QUANTIZE_SPLIT_FILES_H

#include <span>
#include <string>
#include <vector>

#include "model/model_file.h"

namespace pith::quantize {

using namespace internal;

// The paths of a model's files in order, where `path` is named as the first of several; otherwise `path` alone. Whether they
// exist is not looked at. Throws std::runtime_error where `path` is named as another one than the first.
std::vector<std::string> split_paths(const std::string& path);

struct SplitPart {
  std::string path;
  const ModelFile* file;
};

// Throws std::runtime_error that names file and key, unless the parts, in the order of split_paths(), are one model: all that
// there are, each the one that its name says, without a tensor twice. A single part need not have the keys.
void check_parts(std::span<const SplitPart> parts);

}  // namespace pith::quantize

#endif
