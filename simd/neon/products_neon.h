// Integer products of the NEON tier.
#ifndef PITH_SIMD_NEON_PRODUCTS_NEON_H
#define PITH_SIMD_NEON_PRODUCTS_NEON_H

#include "kernels.h"

namespace pith::neon {

void matvec_q4_i8(PanelRange w, Activation a, float* y);
void matvec_q8_i8(PanelRange w, Activation a, float* y);
void matmul_q4_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride);
void matmul_q8_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride);
void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, Activation a, int32_t n, int32_t* out);

}  // namespace pith::neon

#endif
