// The largest of magnitudes, for the tiers with AVX2. Included in a tier's anonymous namespace. No include guard: one inclusion per
// tier.

// The float whose bits are the largest of 8 integers, which are not negative.
PITH_INLINE float largest_of_8(__m256i bits) {
  __m128i largest = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  largest = _mm_max_epi32(largest, _mm_shuffle_epi32(largest, 0x4e));
  largest = _mm_max_epi32(largest, _mm_shuffle_epi32(largest, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(largest));
}
