// Typed values of the model file's metadata, and the directory of packed tensors built on them.
#include "model/model_file.h"

#include "model/config.h"
#include "ground/status.h"

namespace pith::internal {
namespace {

// Widens a metadata integer; negative values of signed types give false.
bool widen_uint(const MetaEntry& e, uint64_t* value) {
  int64_t wide = 0;
  switch (e.type) {
    case GgufType::u8: *value = read_le<uint8_t>(e.value); return true;
    case GgufType::u16: *value = read_le<uint16_t>(e.value); return true;
    case GgufType::u32: *value = read_le<uint32_t>(e.value); return true;
    case GgufType::u64: *value = read_le<uint64_t>(e.value); return true;
    case GgufType::i8: wide = read_le<int8_t>(e.value); break;
    case GgufType::i16: wide = read_le<int16_t>(e.value); break;
    case GgufType::i32: wide = read_le<int32_t>(e.value); break;
    case GgufType::i64: wide = read_le<int64_t>(e.value); break;
    default: return false;
  }
  *value = uint64_t(wide);
  return wide >= 0;
}

bool is_integer(GgufType type) { return type <= GgufType::i32 || type == GgufType::u64 || type == GgufType::i64; }

// The arrays pith.packed.*, one element per tensor.
struct PackedArrays {
  const MetaEntry *names = nullptr, *types = nullptr, *rows = nullptr, *cols = nullptr, *hashes = nullptr;
  const MetaEntry* matrices = nullptr;  // NULL: no tensor is a stack
};

pith_status find_packed_arrays(const ModelFile& file, PackedArrays* arrays, pith_error* error) {
  uint64_t version = 0;
  bool found = false;
  PITH_TRY(file.get_uint("pith.packed.version", &version, &found, error));
  if (!found) return fail(error, PITH_E_NOT_PACKED, "key pith.packed.version: missing; run pith quantize on the model");
  if (version != 1)
    return fail(error, PITH_E_UNSUPPORTED, "key pith.packed.version: ", version, "; this version reads 1");
  struct Column {
    const char* key;
    GgufType type;
    const MetaEntry** array;
    bool is_optional = false;
  };
  const Column columns[] = {{"pith.packed.names", GgufType::string, &arrays->names},
                            {"pith.packed.types", GgufType::string, &arrays->types},
                            {"pith.packed.rows", GgufType::u32, &arrays->rows},
                            {"pith.packed.cols", GgufType::u32, &arrays->cols},
                            {"pith.packed.sha256", GgufType::string, &arrays->hashes},
                            {"pith.packed.matrices", GgufType::u32, &arrays->matrices, true}};
  for (const Column& column : columns) {
    PITH_TRY(file.get_array(column.key, column.type, column.array, error));
    if (*column.array == nullptr && column.is_optional) continue;
    if (*column.array == nullptr) return fail(error, PITH_E_MISSING, "key ", column.key, ": missing");
    if ((*column.array)->count != file.n_tensors())
      return fail(error, PITH_E_SHAPE, "key ", column.key, ": ", (*column.array)->count, " elements for ",
                  uint64_t(file.n_tensors()), " tensors");
  }
  return PITH_OK;
}

pith_status set_type(TensorEntry* tensor, std::string_view type, pith_error* error) {
  tensor->is_vector = type == "vector";
  tensor->packed_type = WeightType::f32;
  if (tensor->is_vector) return PITH_OK;
  for (const WeightType known : {WeightType::f32, WeightType::q8, WeightType::q4, WeightType::q4m}) {
    if (type != weight_type_name(known)) continue;
    tensor->packed_type = known;
    return PITH_OK;
  }
  return fail(error, PITH_E_UNSUPPORTED, "tensor ", tensor->name, ": unknown packed type \"", type, "\"");
}

// The bytes of a tensor follow from its type and logical shape.
pith_status check_packed(const TensorEntry& t, pith_error* error) {
  constexpr uint32_t kMax = 1u << 30, kMaxMatrices = kMaxExperts;
  if (t.rows == 0 || t.cols == 0 || t.rows > kMax || t.cols > kMax || (t.is_vector && t.rows != 1))
    return fail(error, PITH_E_SHAPE, "tensor ", t.name, ": ", t.rows, " rows of ", t.cols, " columns");
  const TensorType stored = t.is_vector ? TensorType::f32 : TensorType::i8;
  if (t.n_matrices == 0 || t.n_matrices > kMaxMatrices || t.rows % t.n_matrices != 0)
    return fail(error, PITH_E_SHAPE, "tensor ", t.name, ": ", t.rows, " rows are not those of ", t.n_matrices,
                " matrices");
  const uint64_t bytes = t.is_vector ? uint64_t(t.cols) * 4 : stored_bytes(t.packed_type, t.n_matrices, t.rows, t.cols);
  if (t.type != stored || t.n_dims != 1 || t.bytes != bytes)
    return fail(error, PITH_E_SHAPE, "tensor ", t.name, ": ", t.bytes, " bytes; its packed shape takes ", bytes);
  if (reinterpret_cast<uintptr_t>(t.data) % (t.is_vector ? 4 : 64) != 0)
    return fail(error, PITH_E_OFFSET, "tensor ", t.name, ": its bytes are misaligned in the file");
  return PITH_OK;
}

}  // namespace

pith_status ModelFile::get_uint(std::string_view key, uint64_t* value, bool* found, pith_error* error) const {
  const MetaEntry* e = find_meta(key);
  if (found != nullptr) *found = e != nullptr;
  if (e == nullptr) return PITH_OK;
  if (!is_integer(e->type)) return fail(error, PITH_E_TYPE, "key ", key, ": must be an integer");
  if (!widen_uint(*e, value)) return fail(error, PITH_E_HPARAM, "key ", key, ": is negative");
  return PITH_OK;
}

pith_status ModelFile::get_float(std::string_view key, double* value, bool* found, pith_error* error) const {
  const MetaEntry* e = find_meta(key);
  if (found != nullptr) *found = e != nullptr;
  if (e == nullptr) return PITH_OK;
  if (e->type == GgufType::f32) *value = double(read_le<float>(e->value));
  else if (e->type == GgufType::f64) *value = read_le<double>(e->value);
  else return fail(error, PITH_E_TYPE, "key ", key, ": must be a floating-point number");
  return PITH_OK;
}

pith_status ModelFile::get_bool(std::string_view key, bool* value, bool* found, pith_error* error) const {
  const MetaEntry* e = find_meta(key);
  if (found != nullptr) *found = e != nullptr;
  if (e == nullptr) return PITH_OK;
  if (e->type != GgufType::boolean) return fail(error, PITH_E_TYPE, "key ", key, ": must be a boolean");
  *value = *e->value != 0;
  return PITH_OK;
}

pith_status ModelFile::get_string(std::string_view key, std::string_view* value, bool* found, pith_error* error) const {
  const MetaEntry* e = find_meta(key);
  if (found != nullptr) *found = e != nullptr;
  if (e == nullptr) return PITH_OK;
  if (e->type != GgufType::string) return fail(error, PITH_E_TYPE, "key ", key, ": must be a string");
  *value = StringArray(*e).next();
  return PITH_OK;
}

pith_status ModelFile::get_array(std::string_view key, GgufType element_type, const MetaEntry** array,
                                 pith_error* error) const {
  *array = find_meta(key);
  if (*array == nullptr) return PITH_OK;
  if ((*array)->type != GgufType::array || (*array)->element_type != element_type)
    return fail(error, PITH_E_TYPE, "key ", key, ": must be an array of GGUF type ", uint32_t(element_type));
  return PITH_OK;
}

pith_status ModelFile::read_packed_directory(pith_error* error) {
  PackedArrays arrays;
  PITH_TRY(find_packed_arrays(*this, &arrays, error));
  StringArray names(*arrays.names), types(*arrays.types), hashes(*arrays.hashes);
  for (size_t i = 0; i < n_tensors_; ++i) {
    const std::string_view name = names.next();
    TensorEntry* tensor = find_tensor(name);
    if (tensor == nullptr)
      return fail(error, PITH_E_MISSING, "tensor ", name, ": named by pith.packed.names, not in the file");
    if (tensor->is_listed) return fail(error, PITH_E_DUPLICATE, "tensor ", name, ": twice in pith.packed.names");
    tensor->is_listed = true;
    tensor->rows = read_le<uint32_t>(arrays.rows->value + 4 * i);
    tensor->cols = read_le<uint32_t>(arrays.cols->value + 4 * i);
    tensor->n_matrices = arrays.matrices == nullptr ? 1 : read_le<uint32_t>(arrays.matrices->value + 4 * i);
    tensor->sha256 = hashes.next();
    PITH_TRY(set_type(tensor, types.next(), error));
    if (tensor->sha256.size() != 64)
      return fail(error, PITH_E_VALUE, "tensor ", name, ": pith.packed.sha256 is not 64 hex digits");
    PITH_TRY(check_packed(*tensor, error));
  }
  return PITH_OK;
}

}  // namespace pith::internal
