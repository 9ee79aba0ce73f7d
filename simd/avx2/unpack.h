// Panels unpacked for many columns, for the tiers with AVX2: octets become quads, 4 columns of each of 8 rows in natural order, so
// that the sums of a vector are those of rows. Included in a tier's anonymous namespace, behind its kTilePanels. No include guard:
// one inclusion per tier.

constexpr int kQuads = kBlockCols / 4;

struct alignas(64) UnpackedBlock {
  uint8_t w[kQuads][kTilePanels][kPanelRows * 4];
  float scales[kTilePanels * kPanelRows];
};

// An octet of a panel, as quads: lanes 0-3 hold rows 0, 1, 4, 5 and lanes 4-7 rows 2, 3, 6, 7.
PITH_INLINE void store_quads(__m256i low_lanes, __m256i high_lanes, int quad, int panel, UnpackedBlock* out) {
  const __m256 low = _mm256_castsi256_ps(low_lanes), high = _mm256_castsi256_ps(high_lanes);
  const auto store = [=](int i, __m256 rows) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out->w[quad + i][panel]), _mm256_castps_si256(rows));
  };
  store(0, _mm256_shuffle_ps(low, high, 0x88));
  store(1, _mm256_shuffle_ps(low, high, 0xdd));
}

PITH_INLINE __m256i load_lanes(const uint8_t* lanes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes));
}

PITH_INLINE void unpack_nibbles(const uint8_t* block, int panel, UnpackedBlock* out) {
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  const auto low = [=](__m256i w) { return _mm256_and_si256(w, low_nibbles); };
  PITH_UNROLL
  for (int p = 0; p < 2; ++p) {
    const __m256i w0 = load_lanes(block + 64 * p), w1 = load_lanes(block + 64 * p + 32);
    store_quads(low(w0), low(w1), 2 * p, panel, out);
    store_quads(low(_mm256_srli_epi16(w0, 4)), low(_mm256_srli_epi16(w1, 4)), 4 + 2 * p, panel, out);
  }
}

// Every byte with the bits of `flipped` flipped.
PITH_INLINE void unpack_bytes(const uint8_t* block, int panel, __m256i flipped, UnpackedBlock* out) {
  PITH_UNROLL
  for (int p = 0; p < 4; ++p)
    store_quads(_mm256_xor_si256(load_lanes(block + 64 * p), flipped),
                _mm256_xor_si256(load_lanes(block + 64 * p + 32), flipped), 2 * p, panel, out);
}
