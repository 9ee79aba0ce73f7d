// spread_blocks of the tiers with AVX2, whose products read no octets. Included in a tier's anonymous namespace. No include guard:
// one inclusion per tier.

void spread_starts(const int8_t* q, int32_t n, int32_t* start, int8_t*) {
  const __m256i signs = _mm256_set1_epi8(-128);
  const __m128i offsets = _mm_set1_epi64x(128 * kBlockCols);
  for (int32_t b = 0; b < n / kBlockCols; ++b) {
    // Four sums of 8 of q + 128, in 64 bits each.
    const __m256i q_i8x32 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + b * kBlockCols));
    const __m256i sums = _mm256_sad_epu8(_mm256_xor_si256(q_i8x32, signs), _mm256_setzero_si256());
    const __m128i pairs = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    const __m128i sum_twice = _mm_add_epi32(pairs, _mm_shuffle_epi32(pairs, 0x4e));
    const __m128i starts = _mm_slli_epi32(_mm_sub_epi32(offsets, sum_twice), 3);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(start + 4 * b), starts);
  }
}
