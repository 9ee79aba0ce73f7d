// Structs that begin with struct_size, from programs that were compiled with other versions of pith.h.
//
// A struct grows at its end alone, and every new field means nothing while it is zero. So one of an older program is
// read as if zeros followed, and of one of a newer program what is unknown must be zeros.
#ifndef PITH_API_STRUCT_SIZES_H
#define PITH_API_STRUCT_SIZES_H

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ground/status.h"

namespace pith::internal {

// Name and sizes of a struct: one for every version that made it larger, from 0.2.0 on, rising; the last is its sizeof.
template <typename Struct>
struct StructSizes;

#define PITH_END_OF(Struct, field) uint32_t(offsetof(Struct, field) + sizeof(Struct::field))
#define PITH_STRUCT_SIZES(Struct, ...)                                                                                 \
  template <>                                                                                                          \
  struct StructSizes<Struct> {                                                                                         \
    static constexpr const char* kName = #Struct;                                                                      \
    static constexpr uint32_t kSizes[] = {__VA_ARGS__};                                                                \
    static constexpr size_t kCount = sizeof kSizes / sizeof kSizes[0];                                                 \
    static_assert(kSizes[kCount - 1] == sizeof(Struct), "no padding at the end: it would be a field that nobody set"); \
  }

// The last field of every version; a version that adds fields adds its last one.
PITH_STRUCT_SIZES(pith_model_info, PITH_END_OF(pith_model_info, step_weight_bytes),
                  PITH_END_OF(pith_model_info, step_expert_bytes));
PITH_STRUCT_SIZES(pith_metadata, PITH_END_OF(pith_metadata, array_count));
#if UINTPTR_MAX == UINT32_MAX
PITH_STRUCT_SIZES(pith_tensor, PITH_END_OF(pith_tensor, reserved_end));
#else
PITH_STRUCT_SIZES(pith_tensor, PITH_END_OF(pith_tensor, sha256));
#endif
PITH_STRUCT_SIZES(pith_session_options, PITH_END_OF(pith_session_options, clock_context));
PITH_STRUCT_SIZES(pith_session_plan, PITH_END_OF(pith_session_plan, pool_bytes));
PITH_STRUCT_SIZES(pith_sampler_options, PITH_END_OF(pith_sampler_options, seed));
PITH_STRUCT_SIZES(pith_chat_options, PITH_END_OF(pith_chat_options, date));
PITH_STRUCT_SIZES(pith_grammar_source, PITH_END_OF(pith_grammar_source, reserved));
PITH_STRUCT_SIZES(pith_stream, PITH_END_OF(pith_stream, held));

// `given` has the size that its first word says: one of `sizes` [n_sizes], or a larger one with zeros beyond.
pith_status check_struct_size(const char* name, const void* given, const uint32_t* sizes, size_t n_sizes,
                              pith_error* error);

template <typename Struct>
pith_status check_struct(const Struct* given, pith_error* error) {
  using Sizes = StructSizes<Struct>;
  return check_struct_size(Sizes::kName, given, Sizes::kSizes, Sizes::kCount, error);
}

// The bytes that a program's struct and this version's have in common.
template <typename Struct>
size_t common_bytes(const Struct* given) {
  return given->struct_size < sizeof(Struct) ? given->struct_size : sizeof(Struct);
}

// *out: what the program's struct says, with zeros in the fields that its version lacks.
template <typename Struct>
pith_status read_struct(const Struct* given, Struct* out, pith_error* error) {
  PITH_TRY(check_struct(given, error));
  *out = Struct{};
  std::memcpy(out, given, common_bytes(given));
  return PITH_OK;
}

// Gives the program what its struct has room for. `out` passed check_struct, and keeps its struct_size.
template <typename Struct>
void write_struct(Struct value, Struct* out) {
  value.struct_size = out->struct_size;
  std::memcpy(out, &value, common_bytes(out));
}

// The body of every pith_X_options_init: zeros, of which the program says how many.
inline void init_struct(void* out, uint32_t struct_size) {
  if (out == nullptr || struct_size < sizeof struct_size) return;
  std::memset(out, 0, struct_size);
  std::memcpy(out, &struct_size, sizeof struct_size);
}

}  // namespace pith::internal

#endif
