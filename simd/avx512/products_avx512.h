// Integer products of the AVX-512 tier.
#ifndef PITH_SIMD_AVX512_PRODUCTS_AVX512_H
#define PITH_SIMD_AVX512_PRODUCTS_AVX512_H

#include "kernels.h"

namespace pith::internal::avx512 {

void matvec_q4_i8(PanelRange w, Activation a, float* y);
void matvec_q8_i8(PanelRange w, Activation a, float* y);
void matvec_q4m_i8(PanelRange w, Activation a, float* y);
void matmul_q4_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride);
void matmul_q8_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride);
void matmul_q4m_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride);
void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride);
void head_dots_i8(const int8_t* q, int32_t n_heads, int32_t heads_per_kv, int32_t width, GatheredRows rows, int32_t n,
                  int32_t* out, size_t out_stride);

}  // namespace pith::internal::avx512

#endif
