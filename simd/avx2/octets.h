// Octets of weights as floats, for the tiers with AVX2. Included in a tier's anonymous namespace, behind its Batch8. No include guard:
// one inclusion per tier.

struct Octet {
  Batch8 part[1];
};
PITH_INLINE __m256i load_octet(const uint8_t* bytes) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}
PITH_INLINE void widen_nibbles(const uint8_t* bytes, Octet* low, Octet* high) {
  const __m256i w = load_octet(bytes), eight = _mm256_set1_epi32(8);
  low->part[0] = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_and_si256(w, _mm256_set1_epi32(15)), eight));
  high->part[0] = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(w, 4), eight));
}
PITH_INLINE Octet widen_bytes(const uint8_t* bytes) {
  return {{_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))))}};
}
