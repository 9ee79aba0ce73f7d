// Mutates a GGUF file as what it is: reads its header leniently, changes one field of one key or tensor, and writes it again with all
// lengths and counts in order, so that the change gets past the checks that a flipped byte fails at.
#ifndef PITH_TESTS_FUZZ_GGUF_MUTATOR_H
#define PITH_TESTS_FUZZ_GGUF_MUTATOR_H

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace pith::fuzz {

class GgufMutator {
 public:
  // False: the bytes are no GGUF file as far as its last tensor.
  bool read(const uint8_t* data, size_t size);
  void mutate(std::mt19937_64* random);
  // At most `capacity` bytes; the rest is cut off.
  size_t write(uint8_t* out, size_t capacity) const;

 private:
  struct Key {
    std::string name;
    uint32_t type;
    std::string value;  // as it stands in the file
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type;
    uint64_t offset;
  };
  void mutate_key(std::mt19937_64* random);
  void mutate_array(Key* key, std::mt19937_64* random);
  void mutate_tensor(std::mt19937_64* random);

  std::vector<Key> keys_;
  std::vector<Tensor> tensors_;
  std::string weights_;  // all that follows the tensors' entries
  uint64_t alignment_ = 32;
};

// A number near an edge, or `old` a little changed.
uint64_t other_number(uint64_t old, std::mt19937_64* random);

}  // namespace pith::fuzz

#endif
