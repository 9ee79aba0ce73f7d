// What the numbers of the cache, and the activations that go into a product, are kept as.
#ifndef PITH_MODEL_PRECISION_H
#define PITH_MODEL_PRECISION_H

#include <cstddef>
#include <cstdint>

namespace pith::internal {

enum class Precision : uint8_t { f32, i8 };  // i8: with a scale per some of them

constexpr size_t number_bytes(Precision precision) { return precision == Precision::i8 ? 1 : 4; }

}  // namespace pith::internal

#endif
