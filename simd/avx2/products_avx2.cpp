#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx2 -mfma -mf16c"
#endif
#include "avx2/products_avx2.h"

#include <immintrin.h>

#include "fragment.h"
#include "generic/columns.h"

namespace pith::internal::avx2 {
namespace {

// Bytes, measured on Zen 4: shorter ones lose up to half of the bandwidth, longer ones of int8 a fifth
// (bench/results/kernels.md).
constexpr size_t kPrefetchQ4 = 12288, kPrefetchQ8 = 5888;

#include "avx2/rows_avx2.inc"
#include "avx2/panel_lanes.inc"

// How 8 products of a lane become its two partial sums:
//
//   bytes w, q   w0 w1 w2 w3 w4 w5 w6 w7     each times q0 .. q7
//   maddubs      01    23    45    67        int16: sums of two
//   madd, ones   0123        4567            int32: sums of four

// One octet of a column against low and high nibbles of 4 lanes. u <= 15 and |q| <= 127, so that a maddubs is at most
// 3,810 and four of them fit into int16.
PITH_INLINE __m256i pairs_q4(__m256i low, __m256i high, const int8_t* q) {
  return _mm256_add_epi16(_mm256_maddubs_epi16(low, broadcast_i8x8(q)),
                          _mm256_maddubs_epi16(high, broadcast_i8x8(q + 16)));
}

template <WeightType type, int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const __m256i low_nibbles = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256i low[4], high[4];  // [p][half]
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const __m256i w = load_i8x32(block + 32 * i);
    low[i] = _mm256_and_si256(w, low_nibbles);
    high[i] = _mm256_and_si256(_mm256_srli_epi16(w, 4), low_nibbles);
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    const int8_t* q = a.q + a.cols * size_t(j);
    const __m256i sum0 = _mm256_add_epi16(pairs_q4(low[0], high[0], q), pairs_q4(low[2], high[2], q + 8));
    const __m256i sum1 = _mm256_add_epi16(pairs_q4(low[1], high[1], q), pairs_q4(low[3], high[3], q + 8));
    total[j] = join_lanes(_mm256_madd_epi16(sum0, ones), _mm256_madd_epi16(sum1, ones));
    if constexpr (!has_minima(type))
      total[j] = _mm256_add_epi32(total[j], _mm256_set1_epi32(a.start[4 * a.blocks * size_t(j)]));
  }
}

// Four lanes of one octet. q_w q = |q_w| (sign(q_w) q): a pair is at most 2 * 127^2 = 32,258 and fits into int16, two
// do not.
PITH_INLINE __m256i quads_q8(__m256i w, __m256i q) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

PITH_INLINE __m256i load_weights(const uint8_t* p) { return load_i8x32(p); }
PITH_INLINE __m256i add_quads(__m256i sum, __m256i w, __m256i q) { return _mm256_add_epi32(sum, quads_q8(w, q)); }
PITH_INLINE __m256i start_q8(const Columns&, size_t) { return _mm256_setzero_si256(); }

#include "avx2/stored_bytes.inc"

constexpr int kStoredColumns = 8, kIntegerColumns = 4;

template <int n>
PITH_INLINE void join(const LaneSums<n>& sums, const int32_t (&)[n], Totals (&total)[n]) {
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_lanes(sums.halves_i32x8[j][0], sums.halves_i32x8[j][1]);
}

#include "avx2/head_sums.inc"

// 32 bytes of a row and their magnitudes, which are unsigned: -128 too.
struct Step {
  __m256i w, magnitudes;
};
constexpr bool kIsBiased = false;
PITH_INLINE Step load_step(const int8_t* row) {
  const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
  return {w, _mm256_abs_epi8(w)};
}
// As quads_q8.
PITH_INLINE HeadSums add_step(const Step& step, const int8_t* q, HeadSums sums) {
  const __m256i q_i8x32 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
  const __m256i pairs = _mm256_maddubs_epi16(step.magnitudes, _mm256_sign_epi8(q_i8x32, step.w));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "generic/integer_products.inc"
#include "generic/head_dots.inc"

// Two vectors of weights and four columns: six loads for eight products, where one and eight take nine.
constexpr int kTilePanels = 2, kTileColumns = 4, kIntegerTileColumns = 4;
// Measured on Zen 5 (bench/results/kernels.md).
constexpr int32_t kUnpackedFrom = 8, kIntegersUnpackedFrom = 8;

#include "avx2/vector_rows.inc"

#include "avx2/unpack_avx2.inc"

template <WeightType type>
PITH_INLINE void unpack_block(const uint8_t* block, int panel, UnpackedBlock* out) {
  if constexpr (type == WeightType::q8) unpack_bytes(block, panel, _mm256_setzero_si256(), out);
  else unpack_nibbles(block, panel, out);
}

// A quad of every row times a quad of a column, in every lane:
//
//   w       0 1 2 3 | 4 5 6 7     the quads of the rows
//   column  a a a a | a a a a
//   sum     0 1 2 3 | 4 5 6 7     int16 [2] or int32
template <int n, typename F>
PITH_INLINE void sum_quads(const UnpackedBlock& block, const int8_t* q, size_t cols, __m256i (&sum)[n][kVectors],
                           const F& add) {
  PITH_UNROLL
  for (size_t quad = 0; quad < kQuads; ++quad) {
    __m256i w[kVectors];
    PITH_UNROLL
    for (size_t i = 0; i < kVectors; ++i) w[i] = load_i8x32(block.w[quad][i]);
    PITH_UNROLL
    for (size_t j = 0; j < n; ++j) {
      int32_t bytes;
      __builtin_memcpy(&bytes, q + cols * j + 4 * quad, sizeof bytes);
      PITH_UNROLL
      for (size_t i = 0; i < kVectors; ++i) {
        __m256i next = add(sum[j][i], w[i], _mm256_set1_epi32(bytes));
        __asm__ volatile("" : "+x"(next));  // now: g++ puts sums off, and runs out of registers for the products
        sum[j][i] = next;
      }
    }
  }
}

template <int n>
PITH_INLINE void add_unpacked(const UnpackedBlock& block, const int8_t* q, size_t cols,
                              VectorTotals (&total)[n][kVectors]) {
  sum_quads<n>(block, q, cols, total, [](__m256i sum, __m256i w, __m256i column) { return add_quads(sum, w, column); });
}

// u <= 15 and |q| <= 127: eight maddubs of at most 3,810 fit into int16.
template <WeightType type, int n>
PITH_INLINE void dot_unpacked(const UnpackedBlock& block, const Columns& a, VectorTotals (&total)[n][kVectors]) {
  PITH_UNROLL
  for (size_t j = 0; j < n; ++j) {
    PITH_UNROLL
    for (VectorTotals& sum : total[j]) sum = _mm256_setzero_si256();
  }
  if constexpr (type == WeightType::q8) {
    add_unpacked<n>(block, a.q, a.cols, total);
  } else {
    sum_quads<n>(block, a.q, a.cols, total, [](__m256i sum, __m256i w, __m256i column) {
      return _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, column));
    });
    PITH_UNROLL
    for (size_t j = 0; j < n; ++j) {
      const int32_t start = has_minima(type) ? 0 : a.start[4 * a.blocks * j];
      PITH_UNROLL
      for (VectorTotals& sum : total[j])
        sum = _mm256_add_epi32(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)), _mm256_set1_epi32(start));
    }
  }
}

#include "generic/unpacked_products.inc"
#include "generic/unpacked_integers.inc"

#include "avx2/unit_lanes.inc"

// Two int16 of every lane by one product. Signed bytes would need their signs moved first: by llvm-mca 7.0 cycles
// instead of 4.3 on Skylake and Alder Lake, about the same on Zen 3 and Haswell (bench/results/attention.md).
constexpr int kUnit = 2, kUnitLanes = 8, kScoreRows = 4, kSumVectors = 2, kSumHeads = 4;

PITH_INLINE void store_units(__m256i units, uint8_t* out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), units);
}
PITH_INLINE UnitTotals start_totals(const int32_t*) { return _mm256_setzero_si256(); }
PITH_INLINE void stage_row(const int8_t* from, uint8_t* to) {
  PITH_UNROLL
  for (int i = 0; i < 2; ++i)
    store_units(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16 * i))), to + 32 * i);
}
// Of the 4 bytes of each lane, the first two and the last two:
//
//   quads     a b c d ..
//   pshufb    _ a _ b ..    and    _ c _ d ..     in the upper halves of words
//   srai      a b ..        and    c d ..         int16
PITH_INLINE void stage_query(const int8_t* quads, uint8_t* out) {
  const __m256i first = _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13,  //
                                         -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
  const __m256i last = _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15,  //
                                        -1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15);
  PITH_UNROLL
  for (int i = 0; i < 2; ++i) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quads + 32 * i));
    store_units(_mm256_srai_epi16(_mm256_shuffle_epi8(bytes, first), 8), out + 32 * i);
    store_units(_mm256_srai_epi16(_mm256_shuffle_epi8(bytes, last), 8), out + 64 + 32 * i);
  }
}
// Of rows a and b, bytes 0 .. 15:
//
//   unpack, low and high    a0 b0 a1 b1 .. b7    a8 b8 .. b15
//   widened                 a0 b0 .. b7          a8 .. b15         int16
PITH_INLINE void interleave_16(const int8_t* const (&rows)[4], uint8_t* out, size_t stride) {
  const auto load = [](const int8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
  PITH_UNROLL
  for (size_t pair = 0; pair < 2; ++pair) {
    const __m128i a = load(rows[2 * pair]), b = load(rows[2 * pair + 1]);
    store_units(_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)), out + stride * pair);
    store_units(_mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b)), out + stride * pair + 32);
  }
}
PITH_INLINE UnitTotals add_products(UnitTotals totals, Units units, const uint8_t* column) {
  UnitTotals next = _mm256_add_epi32(totals, _mm256_madd_epi16(units, broadcast_unit(column)));
  __asm__ volatile("" : "+x"(next));  // now, as in sum_quads
  return next;
}

#include "generic/quad_products.inc"

// Of nibbles, eight products of two fit into int16, as in dot_unpacked.
struct RowTotals {
  __m256i sums[8] = {}, pairs[8] = {};  // of 4 channels each; int32, and int16 [2]
  PITH_INLINE void add_nibbles(int i, __m256i w, __m256i rows) {
    pairs[i] = _mm256_add_epi16(pairs[i], _mm256_maddubs_epi16(w, rows));
  }
  PITH_INLINE void add_bytes(int i, __m256i w, __m256i rows) { sums[i] = _mm256_add_epi32(sums[i], quads_q8(w, rows)); }
  PITH_INLINE void flush() {
    PITH_UNROLL
    for (int i = 0; i < 8; ++i) {
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs[i], _mm256_set1_epi16(1)));
      pairs[i] = _mm256_setzero_si256();
    }
  }
};

#include "avx2/row_sums.inc"

}  // namespace

#include "generic/product_functions.inc"

void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride) {
  matmul_integer_columns(w, blocks, panels, q, n, out, out_stride);
}

}  // namespace pith::internal::avx2
