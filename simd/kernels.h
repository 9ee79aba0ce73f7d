// The kernels: stateless arithmetic over ranges, one list, one contract each. No allocation, threads, globals or
// feature tests inside. Every tier has all of them, and each gives the same bits on every tier:
//   - integer dots are exact; an output row accumulates its 32-column blocks in order, one fma each (with minima two);
//   - a float sum over n elements uses 16 lanes (element i in lane i mod 16, tails padded with zeros) and then the
//     fixed tree 16 -> 8 -> 4 -> 2 -> 1 that adds the upper half to the lower;
//   - everything else is elementwise, with fma where the contract says fma and never elsewhere;
//   - exp, sin, cos and erf are our own polynomials (simd/generic/float_kernels.inc states their errors).
//
// Units: n, widths, lanes and strides count elements, unless in bytes as said; a block is 32 columns. n may be 0 where
// the contract gives no other range.
// Memory: arrays begin at any address that their type allows, packed matrices of integers at any, of f32 at multiples
// of 4. Kernels read and write what the contract states and not a byte more; what they prefetch may be anywhere. An
// output overlaps no input but the one that it may be, by the contract.
#ifndef PITH_SIMD_KERNELS_H
#define PITH_SIMD_KERNELS_H

#include <cstddef>
#include <cstdint>

#include "packed.h"

namespace pith::internal {

// The input of a matrix product, K = 32 blocks wide (zero-padded). Float products read x, the others the rest.
struct Activation {
  const float* x;   // [K]
  const int8_t* q;  // [K]       -127..127, or NULL: the session computes with float activations
  const float* d;   // [K / 32]  x ~= d q
  // [K / 32][4]  {-8 s, 0, -8 s, 0} for a block's sum s of q: with which the sums of two lanes of a panel begin, to
  // take the offset 8 of q4 away.
  const int32_t* start;
  const int8_t* octets;  // [K / 8][2][8]  each 8 of q twice, for two lanes of a panel: where has_octets
  // [K / 32]  d float(s), rounded once, for a block's sum s of q: what the minimum of a block of q4m is multiplied by.
  const float* sums;
};

// A range of panels of a packed matrix.
struct PanelRange {
  const uint8_t* w;     // the matrix, from its first panel
  int32_t blocks;       // 32-column blocks of a panel
  int32_t first, last;  // panels [first, last)
};

// Rows of int8 picked out of an array: row i begins at first + stride * index[i].
struct GatheredRows {
  const int8_t* first;
  size_t stride;         // bytes
  const int32_t* index;  // not negative
};

// The heads of a query as products with rows take them: heads in lanes, quads (4 channels) of a head side by side.
struct QuadQuery {
  const int8_t* q;      // [n_blocks][block / 4][lanes][4]  -127..127
  const int32_t* sums;  // [n_blocks][lanes] of a block's q
  const float* d;       // [n_blocks][lanes] x ~= d q
  int32_t n_blocks;
  int32_t block;  // channels, a multiple of 32, at most kMaxQuadBlock
  int32_t lanes;  // a multiple of 16
};

// Channels of a block of a QuadQuery.
constexpr int32_t kMaxQuadBlock = 256;

// The most that a tier takes for 4 numbers of attention's products.
constexpr size_t kQuadBytes = 8;

// Weights of heads, as round_weights gives them: y_i ~= d p_i. For heads from h on: p + 4 h and d + h.
struct QuadWeights {
  const uint8_t* p;
  const float* d;  // [lanes]
  int32_t lanes;
};

// X(name, signature)
#define PITH_KERNELS(X)                                                                                                \
  /* ---- Products of packed matrices (packed.h). i: a row of panel p, 0..7. */                                        \
                                                                                                                       \
  /* y[8 p + i] = sum_b float(sum_k (u - 8) q) (d_w d_a), p in the range, b in order, one fma each. */                 \
  /* y is the whole output vector; padding rows are written, too. */                                                   \
  X(matvec_q4_i8, void(PanelRange w, Activation a, float* y))                                                          \
  X(matvec_q8_i8, void(PanelRange w, Activation a, float* y))                                                          \
  /* For every b in order: y = fma(float(sum_k u q), d_w d_a, y), then y = fma(m_w, sums_a, y). */                     \
  X(matvec_q4m_i8, void(PanelRange w, Activation a, float* y))                                                         \
  /* The same for n columns, bit for bit: a holds n of everything, one after the other; y[j y_stride + 8 p + i]. */    \
  X(matmul_q4_i8, void(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride))                              \
  X(matmul_q8_i8, void(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride))                              \
  X(matmul_q4m_i8, void(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride))                             \
  /* out[j out_stride + 8 p + i] = sum_k w q for n columns q [n, 32 blocks], exactly. Values: -127..127; to fit, */    \
  /* blocks <= 4,160. w: as q8 without scales, [panels][blocks][4][8][8]. */                                           \
  X(matmul_i8_i32, void(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,    \
                        size_t out_stride))                                                                            \
  /* Exact dots of a query's heads with n rows; heads_per_kv neighbouring heads share a part of a row: */              \
  /* out[i out_stride + h] = sum_j q[h width + j] row_i[(h / heads_per_kv) width + j], h < n_heads. */                 \
  /* width: a multiple of 32. Values: -127..127; where q is 0, a row may hold any byte. out [n][out_stride]: what */   \
  /* comes out beyond the heads has no meaning. */                                                                     \
  X(head_dots_i8, void(const int8_t* q, int32_t n_heads, int32_t heads_per_kv, int32_t width, GatheredRows rows,       \
                       int32_t n, int32_t* out, size_t out_stride))                                                    \
  /* Scores of n rows [n_blocks block], whose scales lie row_stride apart; for every b in order, i < n, h < lanes: */  \
  /* x[i lanes + h] = fma(float(sum_j q[b][j / 4][h][j % 4] row_i[b block + j]), d[b][h] * row_d[i row_stride + b], */ \
  /* x[i lanes + h]). */                                                                                               \
  /* Values: -127..127; where q is 0, a row may hold any byte. */                                                      \
  X(add_quad_scores, void(QuadQuery q, GatheredRows rows, const float* row_d, size_t row_stride, int32_t n, float* x)) \
  /* row_i[j], i < n and j < width, in the form that this tier's blend_quad_sums reads: kQuadBytes bytes for */        \
  /* each of [n / 4 up][width]. width: a multiple of 16. */                                                            \
  X(interleave_rows, void(GatheredRows rows, int32_t n, uint8_t * out, int32_t width))                                 \
  /* Sums of n rows that are interleaved by weights of round_weights: out[h out_stride + j] = */                       \
  /* fma(weight[h], d[h] * float(sum_i p_i[h] row_i[j]), keep[h] * out[h out_stride + j]), h < n_heads. */             \
  /* width: a multiple of 16; n <= 16,384. Values: any byte. */                                                        \
  X(blend_quad_sums, void(QuadWeights w, int32_t n_heads, const uint8_t* values, int32_t width, int32_t n,             \
                          const float* keep, const float* weight, float* out, size_t out_stride))                      \
  /* The start [n / 32][4] and sums [n / 32] of an Activation whose q [n] and d [n / 32] these are, n a multiple */    \
  /* of 32; and its octets [n / 8][2][8] as far as this tier's products read them: all where has_octets, else none. */ \
  X(spread_blocks, void(const int8_t* q, const float* d, int32_t n, int32_t* start, int8_t* octets, float* sums))      \
  /* y[8 p + i] accumulates k = 0, 1, ... K-1 in order from 0 on: y = fma(w, x[k], y). */                              \
  X(matvec_f32_f32, void(PanelRange w, Activation a, float* y))                                                        \
  /* y[k] = fma(w[row][k], x[row - 8 first], y[k]) over the rows of the range, in order from 0 on; y: [32 blocks]. */  \
  X(transposed_q4, void(PanelRange w, const float* x, float* y))                                                       \
  X(transposed_q8, void(PanelRange w, const float* x, float* y))                                                       \
  X(transposed_q4m, void(PanelRange w, const float* x, float* y))                                                      \
  /* W^T x with rounded numbers. For every block, over runs of 256 rows in order: z = d x, d being the row's scale, */ \
  /* and z ~= d_z q_z as quantize_row has it; y[k] = fma(d_z, float(sum_rows u q_z), y[k]) from 0 on, u being the */   \
  /* integer weight; with minima, y[k] += sum_rows m x of 16 lanes and the tree. */                                    \
  X(transposed_q4_i8, void(PanelRange w, const float* x, float* y))                                                    \
  X(transposed_q8_i8, void(PanelRange w, const float* x, float* y))                                                    \
  X(transposed_q4m_i8, void(PanelRange w, const float* x, float* y))                                                   \
  /* Float products of the other types of weights; w = (u - 8) d, q d or u d + m, rounded to float once: u d and */    \
  /* (u - 8) d are exact. */                                                                                           \
  X(matvec_q4_f32, void(PanelRange w, Activation a, float* y))                                                         \
  X(matvec_q8_f32, void(PanelRange w, Activation a, float* y))                                                         \
  X(matvec_q4m_f32, void(PanelRange w, Activation a, float* y))                                                        \
  X(transposed_f32, void(PanelRange w, const float* x, float* y))                                                      \
  /* out[0 .. cols) = the dequantised row of a packed matrix, cols <= 32 blocks. */                                    \
  X(row_q4, void(const uint8_t* w, int32_t blocks, int32_t row, int32_t cols, float* out))                             \
  X(row_q8, void(const uint8_t* w, int32_t blocks, int32_t row, int32_t cols, float* out))                             \
  X(row_q4m, void(const uint8_t* w, int32_t blocks, int32_t row, int32_t cols, float* out))                            \
  X(row_f32, void(const uint8_t* w, int32_t blocks, int32_t row, int32_t cols, float* out))                            \
                                                                                                                       \
  /* ---- Quantisation, to -127..127. A largest magnitude below 4e-37 gives the scale 0, one that is not finite a */   \
  /* scale that is not, either; all q are 0 then. */                                                                   \
                                                                                                                       \
  /* Per block of 32 of x [n], n a multiple of 32: d = max|x| / 127, q = round(x * (127 / max|x|)) to even. */         \
  X(quantize_blocks, void(const float* x, int32_t n, int8_t* q, float* d))                                             \
  /* The same with one scale for all n elements (any n >= 1); returns it. */                                           \
  X(quantize_row, float(const float* x, int32_t n, int8_t* q))                                                         \
  /* out[i] = scale * q[i]. */                                                                                         \
  X(dequantize_row, void(const int8_t* q, float scale, int32_t n, float* out))                                         \
                                                                                                                       \
  /* ---- Vectors of n floats. Sums are those of 16 lanes and the tree. */                                             \
                                                                                                                       \
  /* Norms are NaN where the mean of squares is beyond float32. */                                                     \
  /* out = gamma x / sqrt(mean x^2 + eps). gamma NULL: 1. out may be x. n >= 1. */                                     \
  X(rmsnorm, void(const float* x, const float* gamma, float eps, int32_t n, float* out))                               \
  /* out = gamma (x - mean) / sqrt(variance + eps) + beta. gamma NULL: 1; beta NULL: 0. out may be x. n >= 1. */       \
  X(layernorm, void(const float* x, const float* gamma, const float* beta, float eps, int32_t n, float* out))          \
  /* Sum of x; sum of (x - center)^2, one fma each. */                                                                 \
  X(sum, float(const float* x, int32_t n))                                                                             \
  X(sum_squares, float(const float* x, float center, int32_t n))                                                       \
  /* Sum of a[i] b[i], one fma each. */                                                                                \
  X(dot, float(const float* a, const float* b, int32_t n))                                                             \
  /* y = fma(s, x, y). */                                                                                              \
  X(axpy, void(float s, const float* x, int32_t n, float* y))                                                          \
  /* out = a * b; out = a + b; out = (x - shift) * s. out may be an input. */                                          \
  X(multiply, void(const float* a, const float* b, int32_t n, float* out))                                             \
  X(add, void(const float* a, const float* b, int32_t n, float* out))                                                  \
  X(shift_scale, void(const float* x, float shift, float s, int32_t n, float* out))                                    \
  /* x = exp(x - max), in place; returns the sum. */                                                                   \
  X(exp_sum, float(float* x, float max, int32_t n))                                                                    \
  /* Largest element; n >= 1. A NaN counts for nothing unless it is x[0]. */                                           \
  X(max, float(const float* x, int32_t n))                                                                             \
  /* Rotary embedding of x [2 n] by n angles, in place: pairs (2i, 2i+1), or (i, n+i): */                              \
  /* (a, b) becomes (fma(a, cos, -(b sin)), fma(a, sin, b cos)). */                                                    \
  X(rope_pairs, void(const float* cosine, const float* sine, int32_t n, float* x))                                     \
  X(rope_halves, void(const float* cosine, const float* sine, int32_t n, float* x))                                    \
  /* cos and sin of n angles; an angle is position * turns[i] mod 2^64, in turns of 2^-64. */                          \
  X(rope_angles, void(const uint64_t* turns, uint64_t position, int32_t n, float* cosine, float* sine))                \
  /* Feed-forward activations: silu(gate) * up; max(x, 0)^2; GELU by tanh; GELU by erf. out may be an input. */        \
  X(silu_multiply, void(const float* gate, const float* up, int32_t n, float* out))                                    \
  X(relu2, void(const float* x, int32_t n, float* out))                                                                \
  X(gelu_tanh, void(const float* x, int32_t n, float* out))                                                            \
  X(gelu_erf, void(const float* x, int32_t n, float* out))                                                             \
  /* 1 if every element is finite, else 0. */                                                                          \
  X(all_finite, int(const float* x, int32_t n))                                                                        \
                                                                                                                       \
  /* ---- Sums of rows, for heads. */                                                                                  \
                                                                                                                       \
  /* Weighted sums of rows as head_dots_i8 takes them, added to out, for i = 0, 1, ... n-1 in order: */                \
  /* out[h out_stride + j] = fma(w[i w_stride + h], float(row_i[(h / heads_per_kv) width + j]), ...). */               \
  /* width: a multiple of 16. Values: any byte. */                                                                     \
  X(head_sums_i8, void(const float* w, size_t w_stride, int32_t n_heads, int32_t heads_per_kv, int32_t width,          \
                       GatheredRows rows, int32_t n, float* out, size_t out_stride))                                   \
                                                                                                                       \
  /* ---- Heads in lanes: x and dots are [n][lanes], row is [n] unless said otherwise, q, max and sum are [lanes]; */  \
  /* lanes is a multiple of 16, i < n and h < lanes. */                                                                \
                                                                                                                       \
  /* x[i lanes + h] = fma(float(dots[i lanes + h]), q[h] * row[i], x[i lanes + h]). */                                 \
  X(add_scores, void(const int32_t* dots, const float* q, const float* row, int32_t n, int32_t lanes, float* x))       \
  /* The same with a scale for every head of a row, row [n][lanes]: q[h] * row[i lanes + h]. */                        \
  X(add_head_scores, void(const int32_t* dots, const float* q, const float* row, int32_t n, int32_t lanes, float* x))  \
  /* add_scores without what x holds: x[i lanes + h] = float(dots[i lanes + h]) * (q[h] * row[i]). */                  \
  X(set_scores, void(const int32_t* dots, const float* q, const float* row, int32_t n, int32_t lanes, float* x))       \
  /* max[h] = the larger of max[h] and x[i lanes + h], over all i; a NaN of x counts for nothing. */                   \
  X(max_rows, void(const float* x, int32_t n, int32_t lanes, float* max))                                              \
  /* x[i lanes + h] = exp(x[i lanes + h] - max[h]), in place; sum[h] += x[i lanes + h], over i in order. */            \
  X(exp_rows, void(float* x, const float* max, int32_t n, int32_t lanes, float* sum))                                  \
  /* max_rows, then exp_rows with that maximum (a sum that is there does not shrink), then x[i lanes + h] *= */        \
  /* scale[i]. */                                                                                                      \
  X(weigh_rows, void(float* x, const float* scale, int32_t n, int32_t lanes, float* max, float* sum))                  \
  /* Weights y[i] = x[i lanes + h] * row[i row_stride] >= 0 of every head h < lanes, in 254 steps of their largest: */ \
  /* d[h] = largest / 254, and p_i[h] = round(y[i] * (254 / largest)) to even, 0..254. p: in the form that this */     \
  /* tier's blend_quad_sums reads, kQuadBytes bytes for each of [n / 4 up][lanes]; row NULL: 1. Of a largest one */    \
  /* below 1e-36, or of weights that are not finite, all p are 0; d is not finite, then, either. */                    \
  X(round_weights,                                                                                                     \
    void(const float* x, const float* row, size_t row_stride, int32_t n, int32_t lanes, uint8_t* p, float* d))         \
  /* x[i lanes + h] = q[h] * row[i]. */                                                                                \
  X(outer_rows, void(const float* q, const float* row, int32_t n, int32_t lanes, float* x))                            \
  /* sum[h] = fma(x[i lanes + h], row[i], sum[h]), over i in order. */                                                 \
  X(sum_rows, void(const float* x, const float* row, int32_t n, int32_t lanes, float* sum))                            \
  /* out[i lanes + h] = x[i lanes + h] * row[i]. out may be x. */                                                      \
  X(scale_rows, void(const float* x, const float* row, int32_t n, int32_t lanes, float* out))                          \
                                                                                                                       \
  /* ---- Rows of any kind. */                                                                                         \
                                                                                                                       \
  /* out[i out_stride + j] = fma(weight[i], part[i part_stride + j], keep[i] * out[i out_stride + j]), */              \
  /* i < n, j < width. */                                                                                              \
  X(blend_rows, void(const float* keep, const float* weight, const float* part, size_t part_stride, int32_t n,         \
                     int32_t width, float* out, size_t out_stride))                                                    \
  /* fp16 to float32, exactly; and scale_to_float. */                                                                  \
  X(widen_halves, void(const uint16_t* halves, int32_t n, float* out))                                                 \
  X(widen_scales, void(const uint16_t* scales, int32_t n, float* out))                                                 \
  /* quantize_row of m[i] * float(g[i]). */                                                                            \
  X(quantize_product, float(const float* m, const int8_t* g, int32_t n, int8_t* q))                                    \
  /* quantize_row of float(dots[i]) * d[i / 32]. */                                                                    \
  X(quantize_dots, float(const int32_t* dots, const float* d, int32_t n, int8_t* q))                                   \
  /* out[i] = fma(s * float(g[i]), y[i], out[i]). */                                                                   \
  X(gated_sum, void(const int8_t* g, const float* y, float s, int32_t n, float* out))

template <typename Signature>
struct KernelPointer;
template <typename Result, typename... Arguments>
struct KernelPointer<Result(Arguments...)> {
  using type = Result (*)(Arguments...);
};

struct Kernels {
  const char* name;
  bool has_octets;  // the products read an Activation's octets, and spread_blocks writes them
#define PITH_KERNEL_POINTER(name, ...) KernelPointer<__VA_ARGS__>::type name;
  PITH_KERNELS(PITH_KERNEL_POINTER)
#undef PITH_KERNEL_POINTER
};

// A tier's table with a missing kernel does not compile (g++'s sanitizers make addresses non-constant: not checked
// there).
constexpr bool is_full(const Kernels& table) {
  bool full = true;
#define PITH_KERNEL_CHECK(name, ...) full = full && table.name != nullptr;
  PITH_KERNELS(PITH_KERNEL_CHECK)
#undef PITH_KERNEL_CHECK
  return full;
}
#ifdef __SANITIZE_ADDRESS__
#define PITH_ASSERT_FULL(table)
#else
#define PITH_ASSERT_FULL(table) static_assert(is_full(table))
#endif

}  // namespace pith::internal

#endif
