// libFuzzer: any bytes as one of the files of a Hugging Face folder; the first byte says which. What the readers refuse they
// refuse by a std::runtime_error.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "document.h"
#include "hf_config.h"
#include "hf_vocabulary.h"
#include "safetensors.h"

using namespace pith::quantize;

namespace {

void read_tensors(std::string_view bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  for (const StoredTensor& tensor : read_safetensors(exact.data(), exact.size())) {
    if (tensor.type == StoredType::other) continue;
    std::vector<float> numbers(tensor.n);  // its bytes are there: it is no larger than the file
    tensor.read(0, tensor.n, numbers.data());
  }
}

void read_configuration(std::string_view text) {
  const HfConfig read = read_hf_config(pith::json::Document::parse(text));
  const size_t n_pairs = size_t(read.config.rope_width / 2);
  if (!read.rope_divisors.empty() && read.rope_divisors.size() != n_pairs) std::abort();
}

void write_vocabulary(const HfTextFiles& files) {
  const HfVocabulary vocabulary = read_hf_vocabulary(files, 300);
  if (!vocabulary.model.empty() && (vocabulary.tokens.size() != 300 || vocabulary.types.size() != 300)) std::abort();
  GgufWriter writer;
  vocabulary.write(&writer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  HfTextFiles files;
  try {
    switch (data[0]) {
      case 's': read_tensors(rest); break;
      case 'c': read_configuration(rest); break;
      case 't':
        files.tokenizer = pith::json::Document::parse(rest);
        files.tokenizer_config = files.generation_config = files.config = files.tokenizer;
        write_vocabulary(files);
        break;
      case 'm':
        files.sentence_piece = rest;
        write_vocabulary(files);
        break;
      default: break;
    }
  } catch (const std::runtime_error&) {
  }
  return 0;
}
