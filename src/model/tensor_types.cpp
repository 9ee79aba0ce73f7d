#include "model/tensor_types.h"

namespace pith::internal {
namespace {

struct TensorTypeRow {
  const char* name;
  uint32_t elements, bytes;  // of a block; 0 where pith does not read the type
};

constexpr TensorTypeRow kRemoved = {nullptr, 0, 0};

// By the type's number. Numbers and sizes are those of the ggml project.
constexpr TensorTypeRow kTypes[] = {
    // clang-format off
    /*  0 */ {"F32", 1, 4},      {"F16", 1, 2},      {"Q4_0", 32, 18},   {"Q4_1", 32, 20},
    /*  4 */ kRemoved,           kRemoved,           {"Q5_0", 32, 22},   {"Q5_1", 32, 24},
    /*  8 */ {"Q8_0", 32, 34},   {"Q8_1", 0, 0},     {"Q2_K", 256, 84},  {"Q3_K", 256, 110},
    /* 12 */ {"Q4_K", 256, 144}, {"Q5_K", 256, 176}, {"Q6_K", 256, 210}, {"Q8_K", 0, 0},
    /* 16 */ {"IQ2_XXS", 0, 0},  {"IQ2_XS", 0, 0},   {"IQ3_XXS", 0, 0},  {"IQ1_S", 0, 0},
    /* 20 */ {"IQ4_NL", 32, 18}, {"IQ3_S", 0, 0},    {"IQ2_S", 0, 0},    {"IQ4_XS", 256, 136},
    /* 24 */ {"I8", 1, 1},       {"I16", 0, 0},      {"I32", 0, 0},      {"I64", 0, 0},
    /* 28 */ {"F64", 0, 0},      {"IQ1_M", 0, 0},    {"BF16", 1, 2},     kRemoved,
    /* 32 */ kRemoved,           kRemoved,           {"TQ1_0", 0, 0},    {"TQ2_0", 0, 0},
    /* 36 */ kRemoved,           kRemoved,           kRemoved,           {"MXFP4", 0, 0},
    /* 40 */ {"NVFP4", 0, 0},    {"Q1_0", 0, 0},
    // clang-format on
};
static_assert(sizeof kTypes / sizeof *kTypes == 42);

const TensorTypeRow& row_of(uint32_t type) { return type < sizeof kTypes / sizeof *kTypes ? kTypes[type] : kRemoved; }

}  // namespace

const char* tensor_type_name(uint32_t type) { return row_of(type).name; }
uint64_t block_elements(TensorType type) { return row_of(uint32_t(type)).elements; }
uint64_t block_bytes(TensorType type) { return row_of(uint32_t(type)).bytes; }

}  // namespace pith::internal
