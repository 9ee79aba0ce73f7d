#include "api/struct_sizes.h"

namespace pith::internal {

pith_status check_struct_size(const char* name, const void* given, const uint32_t* sizes, size_t n_sizes,
                              pith_error* error) {
  constexpr uint32_t kMax = 4096;  // larger than any struct will be: a word that nobody set
  uint32_t size = 0;
  std::memcpy(&size, given, sizeof size);
  for (size_t i = 0; i < n_sizes; ++i) {
    if (size == sizes[i]) return PITH_OK;
  }
  const uint32_t present = sizes[n_sizes - 1];
  if (size < present || size > kMax)
    return fail(error, PITH_E_ABI, name, ": struct_size is ", size, "; make the struct zeros and set it to sizeof(",
                name, ")");
  for (uint32_t i = present; i < size; ++i) {
    if (static_cast<const uint8_t*>(given)[i] != 0)
      return fail(error, PITH_E_ABI, name, ": a field beyond its first ", present,
                  " bytes is set, which this version (", PITH_VERSION_MAJOR, ".", PITH_VERSION_MINOR, ".",
                  PITH_VERSION_PATCH, ") lacks; make the struct zeros first, or use a newer library");
  }
  return PITH_OK;
}

}  // namespace pith::internal
