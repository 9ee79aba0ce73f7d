#include "model/model_file.h"

#include <algorithm>

#include "ground/status.h"

namespace pith::internal {
namespace {

constexpr uint64_t kMaxEntries = 65536;  // keys, and tensors
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxNameBytes = 64;
constexpr uint64_t kMaxStringBytes = 16u << 20;
constexpr uint64_t kMaxArrayCount = 4u << 20;
constexpr uint64_t kMaxDim = 1ull << 40;
constexpr uint64_t kMinMetaBytes = 8 + 1 + 4 + 1;            // the shortest key-value entry
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;  // the shortest tensor entry

constexpr size_t kHeaderBytes = 24;

// Bytes of a metadata scalar; 0 for strings, arrays and unknown types.
size_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean: return 1;
    case GgufType::u16:
    case GgufType::i16: return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32: return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64: return 8;
    case GgufType::string:
    case GgufType::array: break;
  }
  return 0;
}

bool is_known(uint32_t type) { return type <= uint32_t(GgufType::f64); }

uint64_t hash_of(std::string_view text) {  // FNV-1a
  uint64_t h = 0xcbf29ce484222325ull;
  for (const char c : text) h = (h ^ uint8_t(c)) * 0x100000001b3ull;
  return h ^ (h >> 29);
}

size_t table_size(size_t n) {  // a power of two, at most half full
  size_t size = 8;
  while (size < 2 * n) size *= 2;
  return size;
}

// How far from its place a table puts an entry. Tables that are at most half full need some 40 slots for 2^16 names;
// names that were made to fall into one place are refused, for they would cost quadratic time.
constexpr size_t kMaxProbes = 256;

// Finds `name` in a hash table of index + 1 over entries; returns the slot where it is or belongs, or null: none is
// near enough.
template <typename Entry, typename Name>
uint32_t* find_slot(uint32_t* slots, size_t mask, const Entry* entries, std::string_view name, Name name_of) {
  const size_t first = size_t(hash_of(name));
  for (size_t i = 0; i < kMaxProbes; ++i) {
    uint32_t* slot = &slots[(first + i) & mask];
    if (*slot == 0 || name_of(entries[*slot - 1]) == name) return slot;
  }
  return nullptr;
}

// The entry of a name, or null.
template <typename Entry, typename Name>
Entry* find_entry(uint32_t* slots, size_t mask, Entry* entries, std::string_view name, Name name_of) {
  const uint32_t* slot = find_slot(slots, mask, entries, name, name_of);
  return slot == nullptr || *slot == 0 ? nullptr : &entries[*slot - 1];
}

constexpr auto key_of = [](const MetaEntry& e) { return e.key; };
constexpr auto name_of = [](const TensorEntry& e) { return e.name; };

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 32 && c < 127; });
}

// Sizes of the arrays that ModelFile::open places into its memory, in this order.
struct Directory {
  size_t meta_slots, tensor_slots;  // entries of the hash tables
  size_t bytes;
};

Directory directory_of(size_t n_meta, size_t n_tensors) {
  Directory d{table_size(n_meta), table_size(n_tensors), 0};
  d.bytes = n_meta * sizeof(MetaEntry) + n_tensors * sizeof(TensorEntry) +
            (d.meta_slots + d.tensor_slots + n_tensors) * sizeof(uint32_t);
  d.bytes = (d.bytes + 63) / 64 * 64;
  return d;
}

// Reads forward through the bytes; every read is checked against the end.
struct Cursor {
  const uint8_t* at;
  const uint8_t* end;

  size_t left() const { return size_t(end - at); }
  template <typename T>
  bool read(T* value) {
    if (left() < sizeof(T)) return false;
    *value = read_le<T>(at);
    at += sizeof(T);
    return true;
  }
  bool skip(uint64_t n) {
    if (n > left()) return false;
    at += n;
    return true;
  }
};

struct Header {
  uint64_t n_tensors, n_meta;
};

pith_status read_header(Cursor* in, Header* header, pith_error* error) {
  const size_t size = in->left();
  if (in->at == nullptr || size < kHeaderBytes)
    return fail(error, PITH_E_TRUNCATED, "header: the file has ", size, " bytes, a GGUF header has 24");
  if (std::string_view(reinterpret_cast<const char*>(in->at), 4) != "GGUF")
    return fail(error, PITH_E_MAGIC, "magic: the file begins with \"",
                std::string_view(reinterpret_cast<const char*>(in->at), 4), "\", not with \"GGUF\"");
  uint32_t magic = 0, version = 0;
  in->read(&magic);
  in->read(&version);
  if (version == 0x03000000u) return fail(error, PITH_E_ENDIAN, "version: a big-endian GGUF file; convert it");
  if (version != 3) return fail(error, PITH_E_VERSION, "version: GGUF ", version, "; only GGUF 3 is read");
  in->read(&header->n_tensors);
  in->read(&header->n_meta);
  if (header->n_tensors > kMaxEntries || header->n_tensors > in->left() / kMinTensorBytes)
    return fail(error, PITH_E_LIMIT, "tensor count: ", header->n_tensors, " is impossible in a file of ", size,
                " bytes");
  if (header->n_meta > kMaxEntries || header->n_meta > in->left() / kMinMetaBytes)
    return fail(error, PITH_E_LIMIT, "metadata count: ", header->n_meta, " is impossible in a file of ", size,
                " bytes");
  return PITH_OK;
}

// Reads a length-prefixed string of at most `limit` bytes.
pith_status read_string(Cursor* in, uint64_t limit, const char* what, std::string_view of, std::string_view* text,
                        pith_error* error) {
  uint64_t n = 0;
  if (!in->read(&n)) return fail(error, PITH_E_TRUNCATED, what, of, ": the file ends inside its length");
  if (n > limit) return fail(error, PITH_E_LIMIT, what, of, ": ", n, " bytes, the limit is ", limit);
  const char* begin = reinterpret_cast<const char*>(in->at);
  if (!in->skip(n)) return fail(error, PITH_E_TRUNCATED, what, of, ": the file ends inside its ", n, " bytes");
  *text = std::string_view(begin, size_t(n));
  return PITH_OK;
}

pith_status check_bool(const MetaEntry& entry, pith_error* error) {
  for (uint64_t i = 0; i < entry.count; ++i) {
    if (entry.value[i] > 1)
      return fail(error, PITH_E_VALUE, "key ", entry.key, ": a boolean of ", uint32_t(entry.value[i]),
                  "; only 0 and 1 are valid");
  }
  return PITH_OK;
}

pith_status read_array(Cursor* in, MetaEntry* entry, pith_error* error) {
  uint32_t type = 0;
  if (!in->read(&type) || !in->read(&entry->count))
    return fail(error, PITH_E_TRUNCATED, "key ", entry->key, ": the file ends inside its array header");
  if (!is_known(type)) return fail(error, PITH_E_TYPE, "key ", entry->key, ": unknown array element type ", type);
  entry->element_type = GgufType(type);
  if (entry->element_type == GgufType::array)
    return fail(error, PITH_E_UNSUPPORTED, "key ", entry->key, ": arrays of arrays are not supported");
  const size_t element = scalar_bytes(entry->element_type);
  const size_t shortest = element != 0 ? element : 8;  // a string has its length
  if (entry->count > kMaxArrayCount || entry->count > in->left() / shortest)
    return fail(error, PITH_E_LIMIT, "key ", entry->key, ": an array of ", entry->count,
                " elements is impossible here");
  entry->value = in->at;
  if (element != 0) {
    in->skip(entry->count * element);
  } else {
    std::string_view text;
    for (uint64_t i = 0; i < entry->count; ++i) {
      PITH_TRY(read_string(in, kMaxStringBytes, "array of key ", entry->key, &text, error));
    }
  }
  entry->value_bytes = size_t(in->at - entry->value);
  return entry->element_type == GgufType::boolean ? check_bool(*entry, error) : PITH_OK;
}

pith_status read_meta(Cursor* in, MetaEntry* entry, pith_error* error) {
  *entry = MetaEntry{};
  PITH_TRY(read_string(in, kMaxKeyBytes, "key", "", &entry->key, error));
  if (entry->key.empty() || !is_printable(entry->key))
    return fail(error, PITH_E_KEY, "key \"", entry->key, "\": keys are printable ASCII and not empty");
  uint32_t type = 0;
  if (!in->read(&type)) return fail(error, PITH_E_TRUNCATED, "key ", entry->key, ": the file ends before its type");
  if (!is_known(type)) return fail(error, PITH_E_TYPE, "key ", entry->key, ": unknown value type ", type);
  entry->type = GgufType(type);
  entry->count = 1;
  entry->value = in->at;
  if (entry->type == GgufType::array) return read_array(in, entry, error);
  if (entry->type == GgufType::string) {
    std::string_view text;
    PITH_TRY(read_string(in, kMaxStringBytes, "key ", entry->key, &text, error));
    entry->value_bytes = size_t(in->at - entry->value);
    return PITH_OK;
  }
  entry->value_bytes = scalar_bytes(entry->type);
  if (!in->skip(entry->value_bytes))
    return fail(error, PITH_E_TRUNCATED, "key ", entry->key, ": the file ends inside its value");
  return entry->type == GgufType::boolean ? check_bool(*entry, error) : PITH_OK;
}

// Multiplies the dimensions and the element size; every factor is bounded before it enters a checked product.
pith_status read_dims(Cursor* in, TensorEntry* tensor, uint64_t* elements, pith_error* error) {
  uint32_t n_dims = 0;
  if (!in->read(&n_dims))
    return fail(error, PITH_E_TRUNCATED, "tensor ", tensor->name, ": the file ends in its dimensions");
  if (n_dims < 1 || n_dims > 4)
    return fail(error, PITH_E_DIMS, "tensor ", tensor->name, ": ", n_dims, " dimensions; 1 to 4 are valid");
  tensor->n_dims = int32_t(n_dims);
  *elements = 1;
  for (uint32_t i = 0; i < 4; ++i) {
    uint64_t dim = 1;
    if (i < n_dims && !in->read(&dim))
      return fail(error, PITH_E_TRUNCATED, "tensor ", tensor->name, ": the file ends in its dimensions");
    if (dim == 0 || int64_t(dim) < 0)
      return fail(error, PITH_E_DIMS, "tensor ", tensor->name, ": dimension ", i, " is ", int64_t(dim));
    if (dim > kMaxDim || __builtin_mul_overflow(*elements, dim, elements))
      return fail(error, PITH_E_OVERFLOW, "tensor ", tensor->name, ": dimension ", i, " of ", dim,
                  " makes it too large");
    tensor->dims[i] = dim;
  }
  return PITH_OK;
}

pith_status check_type(uint32_t type, std::string_view tensor, pith_error* error) {
  if (block_bytes(TensorType(type)) != 0) return PITH_OK;
  const char* name = tensor_type_name(type);
  if (name == nullptr) return fail(error, PITH_E_TYPE, "tensor ", tensor, ": unknown type ", type);
  return fail(error, PITH_E_UNSUPPORTED, "tensor ", tensor, ": type ", name,
              " is not read; get the model as Q4_K, Q8_0 or F16");
}

// The tensor's bytes, and with padding to the next.
pith_status check_bytes(uint64_t elements, uint64_t alignment, TensorEntry* tensor, pith_error* error) {
  const uint64_t block = block_elements(tensor->type);
  if (tensor->dims[0] % block != 0)
    return fail(error, PITH_E_DIMS, "tensor ", tensor->name, ": dimension 0 of ", tensor->dims[0],
                " is not whole blocks of ", block, ", as ", tensor_type_name(tensor->type), " has them");
  uint64_t padded = 0;
  if (__builtin_mul_overflow(elements / block, block_bytes(tensor->type), &tensor->bytes) ||
      __builtin_add_overflow(tensor->bytes, alignment - 1, &padded) || padded > (1ull << 62))
    return fail(error, PITH_E_OVERFLOW, "tensor ", tensor->name, ": its byte size overflows");
  return PITH_OK;
}

pith_status read_tensor(Cursor* in, uint64_t alignment, TensorEntry* tensor, pith_error* error) {
  *tensor = TensorEntry{};
  PITH_TRY(read_string(in, kMaxNameBytes, "tensor name", "", &tensor->name, error));
  if (tensor->name.empty()) return fail(error, PITH_E_LIMIT, "tensor name: empty; names have 1 to 64 bytes");
  if (!is_printable(tensor->name))
    return fail(error, PITH_E_KEY, "tensor name \"", tensor->name, "\": names are printable ASCII");
  uint64_t elements = 0;
  PITH_TRY(read_dims(in, tensor, &elements, error));
  uint32_t type = 0;
  if (!in->read(&type) || !in->read(&tensor->offset))
    return fail(error, PITH_E_TRUNCATED, "tensor ", tensor->name, ": the file ends inside its entry");
  PITH_TRY(check_type(type, tensor->name, error));
  tensor->type = TensorType(type);
  PITH_TRY(check_bytes(elements, alignment, tensor, error));
  if (tensor->offset % alignment != 0)
    return fail(error, PITH_E_OFFSET, "tensor ", tensor->name, ": offset ", tensor->offset, " is not a multiple of ",
                alignment);
  if (tensor->offset > (1ull << 62))
    return fail(error, PITH_E_OVERFLOW, "tensor ", tensor->name, ": offset ", tensor->offset, " overflows");
  return PITH_OK;
}

}  // namespace

std::string_view StringArray::next() {
  const uint64_t n = read_le<uint64_t>(next_);
  const std::string_view text(reinterpret_cast<const char*>(next_) + 8, size_t(n));
  next_ += 8 + n;
  --left_;
  return text;
}

// The steps of ModelFile::open, over the file's memory once it is laid out.
class ModelFileParser {
 public:
  ModelFileParser(ModelFile* file, Cursor in, pith_error* error)
      : file_(*file), in_(in), begin_(in.at), error_(error) {}

  pith_status parse(void* memory) {
    Header header{};
    PITH_TRY(read_header(&in_, &header, error_));
    lay_out(header, static_cast<uint8_t*>(memory));
    PITH_TRY(parse_metadata());
    PITH_TRY(parse_alignment());
    PITH_TRY(parse_tensors());
    return check_overlap();
  }

 private:
  void lay_out(const Header& header, uint8_t* at) {
    const Directory d = directory_of(size_t(header.n_meta), size_t(header.n_tensors));
    file_.n_meta_ = size_t(header.n_meta);
    file_.n_tensors_ = size_t(header.n_tensors);
    file_.meta_mask_ = d.meta_slots - 1;
    file_.tensor_mask_ = d.tensor_slots - 1;
    file_.meta_ = reinterpret_cast<MetaEntry*>(at);
    file_.tensors_ = reinterpret_cast<TensorEntry*>(file_.meta_ + file_.n_meta_);
    file_.meta_slots_ = reinterpret_cast<uint32_t*>(file_.tensors_ + file_.n_tensors_);
    file_.tensor_slots_ = file_.meta_slots_ + d.meta_slots;
    file_.order_ = file_.tensor_slots_ + d.tensor_slots;
    std::fill(file_.meta_slots_, file_.order_, 0u);
  }

  pith_status parse_metadata() {
    for (size_t i = 0; i < file_.n_meta_; ++i) {
      MetaEntry& entry = file_.meta_[i];
      PITH_TRY(read_meta(&in_, &entry, error_));
      uint32_t* slot = find_slot(file_.meta_slots_, file_.meta_mask_, file_.meta_, entry.key, key_of);
      if (slot == nullptr) return too_close("key ", entry.key);
      if (*slot != 0) return fail(error_, PITH_E_DUPLICATE, "key ", entry.key, ": occurs twice");
      *slot = uint32_t(i + 1);
    }
    return PITH_OK;
  }

  pith_status too_close(const char* what, std::string_view name) {
    return fail(error_, PITH_E_LIMIT, what, name, ": collides with ", kMaxProbes, " others in a hash table");
  }

  pith_status parse_alignment() {
    const MetaEntry* entry = file_.find_meta("general.alignment");
    if (entry == nullptr) return PITH_OK;
    if (entry->type != GgufType::u32)
      return fail(error_, PITH_E_TYPE, "key general.alignment: must be a 32-bit unsigned integer");
    alignment_ = read_le<uint32_t>(entry->value);
    if (alignment_ < 8 || alignment_ > 65536 || (alignment_ & (alignment_ - 1)) != 0)
      return fail(error_, PITH_E_OFFSET, "key general.alignment: ", alignment_,
                  "; powers of two from 8 to 65536 are valid");
    return PITH_OK;
  }

  pith_status parse_tensors() {
    for (size_t i = 0; i < file_.n_tensors_; ++i) {
      TensorEntry& tensor = file_.tensors_[i];
      PITH_TRY(read_tensor(&in_, alignment_, &tensor, error_));
      uint32_t* slot = find_slot(file_.tensor_slots_, file_.tensor_mask_, file_.tensors_, tensor.name, name_of);
      if (slot == nullptr) return too_close("tensor ", tensor.name);
      if (*slot != 0) return fail(error_, PITH_E_DUPLICATE, "tensor ", tensor.name, ": occurs twice");
      *slot = uint32_t(i + 1);
    }
    const uint64_t start = (uint64_t(in_.at - begin_) + alignment_ - 1) / alignment_ * alignment_;
    const uint64_t size = uint64_t(in_.end - begin_);
    for (size_t i = 0; i < file_.n_tensors_; ++i) {
      TensorEntry& tensor = file_.tensors_[i];
      if (start > size || tensor.offset > size - start || tensor.bytes > size - start - tensor.offset)
        return fail(error_, PITH_E_TRUNCATED, "tensor ", tensor.name, ": the file ends before its last byte");
      tensor.data = begin_ + start + tensor.offset;
    }
    return PITH_OK;
  }

  pith_status check_overlap() {
    uint32_t* order = file_.order_;
    const TensorEntry* tensors = file_.tensors_;
    for (size_t i = 0; i < file_.n_tensors_; ++i) order[i] = uint32_t(i);
    std::sort(order, order + file_.n_tensors_,
              [=](uint32_t a, uint32_t b) { return tensors[a].data < tensors[b].data; });
    for (size_t i = 1; i < file_.n_tensors_; ++i) {
      const TensorEntry& before = tensors[order[i - 1]];
      if (before.data + before.bytes > tensors[order[i]].data)
        return fail(error_, PITH_E_OVERLAP, "tensor ", tensors[order[i]].name, ": shares bytes with ", before.name);
    }
    return PITH_OK;
  }

  ModelFile& file_;
  Cursor in_;
  const uint8_t* begin_;
  uint64_t alignment_ = 32;
  pith_error* error_;
};

pith_status ModelFile::directory_bytes(const void* data, size_t size, size_t* out_bytes, pith_error* error) {
  const uint8_t* begin = static_cast<const uint8_t*>(data);
  Cursor in{begin, begin + size};
  Header header{};
  PITH_TRY(read_header(&in, &header, error));
  *out_bytes = directory_of(size_t(header.n_meta), size_t(header.n_tensors)).bytes;
  return PITH_OK;
}

pith_status ModelFile::open(const void* data, size_t size, void* memory, pith_error* error) {
  const uint8_t* begin = static_cast<const uint8_t*>(data);
  return ModelFileParser(this, Cursor{begin, begin + size}, error).parse(memory);
}

pith_status ModelFile::check_not_split(pith_error* error) const {
  uint64_t parts = 1;
  PITH_TRY(get_uint("split.count", &parts, nullptr, error));
  if (parts <= 1) return PITH_OK;
  char name[] = "-00001-of-00000.gguf";  // of the first: the number has five digits, or more than any model's
  for (uint64_t i = 14, rest = parts; i > 9; --i, rest /= 10) name[i] = char('0' + rest % 10);
  return fail(error, PITH_E_SPLIT, "key split.count: one of ", parts, " files; make one of them: pith quantize ...",
              static_cast<const char*>(name), " MODEL.gguf");
}

const MetaEntry* ModelFile::find_meta(std::string_view key) const {
  return find_entry(meta_slots_, meta_mask_, meta_, key, key_of);
}

TensorEntry* ModelFile::find_tensor(std::string_view name) {
  return find_entry(tensor_slots_, tensor_mask_, tensors_, name, name_of);
}

const TensorEntry* ModelFile::find_tensor(std::string_view name) const {
  return const_cast<ModelFile*>(this)->find_tensor(name);
}

}  // namespace pith::internal
