#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx2 -mfma -mf16c"
#endif
#include "avx2/matvec_avx2.h"

#include <immintrin.h>

namespace pith::avx2 {
namespace {

constexpr size_t kPrefetchBytes = 1536;  // ahead of the load; about one DRAM latency at the rate of one core

__m256i load_i8x32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// 8 bytes of the activation in every 64-bit lane: one row slot each.
__m256i broadcast_i8x8(const int8_t* p) {
  int64_t bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return _mm256_set1_epi64x(bytes);
}

// acc += float(total) * (d_w * d_a), for the 8 rows of a panel.
__m256 accumulate(__m256i total_i32x8, const uint8_t* scales, float d_a, __m256 acc_f32x8) {
  const __m256 d_w = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales)));
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(total_i32x8), _mm256_mul_ps(d_w, _mm256_set1_ps(d_a)), acc_f32x8);
}

// Row slots 0-3 hold rows 0, 1, 4, 5 and slots 4-7 rows 2, 3, 6, 7: the pairwise add of the two delivers 0 .. 7.
__m256i join_slots(__m256i low_slots_i32x8, __m256i high_slots_i32x8) {
  return _mm256_hadd_epi32(low_slots_i32x8, high_slots_i32x8);
}

// sum_k u q of one block. u <= 15 and |q| <= 127, so that one maddubs is at most 3,810 and four of them fit into int16.
__m256i dot_q4(const uint8_t* block, const int8_t* q) {
  const __m256i low_nibbles = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (int p = 0; p < 2; ++p) {
    const __m256i a_low = broadcast_i8x8(q + 8 * p), a_high = broadcast_i8x8(q + 16 + 8 * p);
    for (int half = 0; half < 2; ++half) {
      const __m256i w = load_i8x32(block + 64 * p + 32 * half);
      const __m256i low = _mm256_maddubs_epi16(_mm256_and_si256(w, low_nibbles), a_low);
      const __m256i high = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(w, 4), low_nibbles), a_high);
      sum[half] = _mm256_add_epi16(sum[half], _mm256_add_epi16(low, high));
    }
  }
  return join_slots(_mm256_madd_epi16(sum[0], ones), _mm256_madd_epi16(sum[1], ones));
}

// sum_k q_w q_a = sum |q_w| (sign(q_w) q_a): a pair is at most 2 * 127^2 = 32,258 and fits into int16, two do not.
__m256i dot_q8(const uint8_t* block, const int8_t* q) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (int p = 0; p < 4; ++p) {
    const __m256i a = broadcast_i8x8(q + 8 * p);
    for (int half = 0; half < 2; ++half) {
      const __m256i w = load_i8x32(block + 64 * p + 32 * half);
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
      sum[half] = _mm256_add_epi32(sum[half], _mm256_madd_epi16(pairs, ones));
    }
  }
  return join_slots(sum[0], sum[1]);
}

}  // namespace

void matvec_q4_i8(PanelRange w, Activation a, float* y) {
  const size_t bytes = panel_bytes(WeightType::q4, w.blocks);
  for (int32_t p = w.first; p < w.last; ++p) {
    const uint8_t* panel = w.w + bytes * size_t(p);
    __m256 acc = _mm256_setzero_ps();
    for (int32_t b = 0; b < w.blocks; ++b) {
      const BlockPlace place = q4_place(b, w.blocks);
      _mm_prefetch(panel + place.q + kPrefetchBytes, _MM_HINT_T0);
      _mm_prefetch(panel + place.q + kPrefetchBytes + 64, _MM_HINT_T0);
      const __m256i total =
          _mm256_sub_epi32(dot_q4(panel + place.q, a.q + b * kBlockCols), _mm256_set1_epi32(a.sum8[b]));
      acc = accumulate(total, panel + place.d, a.d[b], acc);
    }
    _mm256_storeu_ps(y + p * kPanelRows, acc);
  }
}

void matvec_q8_i8(PanelRange w, Activation a, float* y) {
  const size_t bytes = panel_bytes(WeightType::q8, w.blocks);
  for (int32_t p = w.first; p < w.last; ++p) {
    const uint8_t* panel = w.w + bytes * size_t(p);
    __m256 acc = _mm256_setzero_ps();
    for (int32_t b = 0; b < w.blocks; ++b) {
      const BlockPlace place = q8_place(b, w.blocks);
      for (size_t line = 0; line < kQ8BlockBytes; line += 64)
        _mm_prefetch(panel + place.q + kPrefetchBytes + line, _MM_HINT_T0);
      acc = accumulate(dot_q8(panel + place.q, a.q + b * kBlockCols), panel + place.d, a.d[b], acc);
    }
    _mm256_storeu_ps(y + p * kPanelRows, acc);
  }
}

}  // namespace pith::avx2
