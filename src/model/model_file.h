// The model file: a bounds-checked directory of a GGUF v3 file over (data, size), without I/O.
//
// Bytes, little-endian:
//   "GGUF" | u32 version = 3 | u64 n_tensors | u64 n_kv
//   n_kv times:       string key | u32 type | value           string = u64 bytes, then the bytes
//                     (type 9: u32 element type | u64 count | elements; no arrays of arrays)
//   n_tensors times:  string name | u32 n_dims | u64 dims[n_dims] (fastest first) | u32 type | u64 offset
//   padding to general.alignment (8 .. 65,536, a power of two; 32 where absent), then the tensors' bytes, each tensor's
//   from a multiple of the alignment on
//
// A model may be split over several files (split.count): each is opened by itself, and holds some of the tensors.
//
// Tensors have the types of tensor_types.h; dimension 0 is a whole number of blocks. A float model holds its tensors as
// F32, F16 or BF16 under the names of the ecosystem (weights.h lists them). A packed model, written by `pith quantize`,
// holds matrices as GGUF type I8 of shape {bytes}, so that every other reader can list it, and vectors as F32. These
// keys say what the bytes are, one array element per tensor of the file, in any order:
//   pith.packed.version u32 = 1
//   pith.packed.names   [string]   tensor names
//   pith.packed.types   [string]   "q4", "q4m", "q8", "f32" (layouts of simd/packed.h) or "vector" (F32)
//   pith.packed.rows    [u32]      logical rows (1 for a vector)
//   pith.packed.cols    [u32]      logical columns
//   pith.packed.sha256  [string]   of the tensor's bytes, 64 hex digits
//   pith.packed.matrices [u32]     of a stack (simd/packed.h), how many it has; where absent, 1 of every tensor
//   pith.rope.frequencies [u64]    turns per position, unsigned 0.64 fixed point, one per rotated pair
// Packed tensors are 64-byte aligned in the file (general.alignment = 64; with stacks 4,096).
//
// Limits: keys and values 65,535 bytes a key, 16 MiB a string; 65,536 keys and tensors; names 1 .. 64 bytes; 1 .. 4
// dimensions of 1 .. 2^40; arrays 4 Mi elements. Bytes after the last tensor are allowed.
#ifndef PITH_MODEL_MODEL_FILE_H
#define PITH_MODEL_MODEL_FILE_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/tensor_types.h"
#include "packed.h"
#include "pith/pith.h"

namespace pith::internal {

enum class GgufType : uint32_t {  // of a metadata value
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12
};

struct MetaEntry {
  std::string_view key;
  GgufType type;
  GgufType element_type;  // arrays
  uint64_t count;         // arrays: elements; otherwise 1
  const uint8_t* value;   // first byte of the value or of the first element; a string starts with its u64 length
  size_t value_bytes;
};

struct TensorEntry {
  std::string_view name;
  TensorType type;
  int32_t n_dims;
  uint64_t dims[4];  // fastest first, 1 beyond n_dims
  uint64_t offset;   // into the data section
  const uint8_t* data;
  uint64_t bytes;
  // From pith.packed.*, once read_packed_directory ran:
  bool is_listed;           // named by pith.packed.names
  bool is_vector;           // plain float32
  WeightType packed_type;   // of a listed matrix
  uint32_t rows, cols;      // logical; rows of all matrices of a stack
  uint32_t n_matrices;      // of a stack; else 1
  std::string_view sha256;  // 64 hex digits
  bool is_bound;            // a weight of the model points at it
};

// Walks the elements of a metadata array of strings.
class StringArray {
 public:
  StringArray() = default;
  explicit StringArray(const MetaEntry& entry) : next_(entry.value), left_(entry.count) {}
  uint64_t left() const { return left_; }
  std::string_view next();  // left() > 0

 private:
  const uint8_t* next_ = nullptr;
  uint64_t left_ = 0;
};

class ModelFile {
 public:
  // Memory for open(), from the header's counts alone. 8-byte aligned.
  static pith_status directory_bytes(const void* data, size_t size, size_t* out_bytes, pith_error* error);

  // Checks the whole structure, for any architecture. `memory` [directory_bytes] must outlive the object.
  pith_status open(const void* data, size_t size, void* memory, pith_error* error);

  // PITH_E_SPLIT for one of the files that a model is split over: `pith quantize` makes one of them.
  pith_status check_not_split(pith_error* error) const;

  // Reads pith.packed.*: afterwards every tensor is listed. PITH_E_NOT_PACKED for a float model.
  pith_status read_packed_directory(pith_error* error);

  size_t n_meta() const { return n_meta_; }
  size_t n_tensors() const { return n_tensors_; }
  const MetaEntry& meta(size_t index) const { return meta_[index]; }
  const TensorEntry& tensor(size_t index) const { return tensors_[index]; }
  const MetaEntry* find_meta(std::string_view key) const;       // NULL: absent
  const TensorEntry* find_tensor(std::string_view name) const;  // NULL: absent
  TensorEntry* find_tensor(std::string_view name);

  // Typed values. An absent key leaves *value alone and sets *found (if given) to false; a wrong type is PITH_E_TYPE.
  pith_status get_uint(std::string_view key, uint64_t* value, bool* found, pith_error* error) const;
  pith_status get_float(std::string_view key, double* value, bool* found, pith_error* error) const;
  pith_status get_bool(std::string_view key, bool* value, bool* found, pith_error* error) const;
  pith_status get_string(std::string_view key, std::string_view* value, bool* found, pith_error* error) const;
  // An array with the given element type; *array is NULL where the key is absent.
  pith_status get_array(std::string_view key, GgufType element_type, const MetaEntry** array, pith_error* error) const;

 private:
  MetaEntry* meta_ = nullptr;       // [n_meta]
  TensorEntry* tensors_ = nullptr;  // [n_tensors]
  uint32_t* meta_slots_ = nullptr;  // hash tables: index + 1, 0 = empty
  uint32_t* tensor_slots_ = nullptr;
  uint32_t* order_ = nullptr;  // [n_tensors] by offset, for the overlap check
  size_t n_meta_ = 0, n_tensors_ = 0, meta_mask_ = 0, tensor_mask_ = 0;

  friend class ModelFileParser;
};

// Reads a little-endian number at any alignment.
template <typename T>
T read_le(const uint8_t* bytes) {
  T value;
  __builtin_memcpy(&value, bytes, sizeof value);  // pith builds for little-endian machines only
  return value;
}

}  // namespace pith::internal

#endif
