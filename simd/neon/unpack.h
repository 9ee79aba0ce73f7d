// Panels unpacked for many columns, on the NEON tiers. Included in a tier's anonymous namespace, behind neon/rows.h, its
// UnpackedBlock, and
//   void store_octets(const int8x16_t (&octets)[kOctets][kRowPairs], int panel, UnpackedBlock*)    as load_octets gives them
// No include guard: one inclusion per tier.

// Octet p of rows 2 i and 2 i + 1 as signed bytes, u - 8 of q4: octets[p][i].
template <WeightType type>
PITH_INLINE void load_octets(const uint8_t* block, int8x16_t (&octets)[kOctets][kRowPairs]) {
  constexpr int kFirstLanes[kRowPairs] = {0, 4, 2, 6};  // of the first row of each pair
  PITH_UNROLL
  for (int i = 0; i < kRowPairs; ++i) {
    const uint8_t* lanes = block + 8 * kFirstLanes[i];
    if constexpr (type == WeightType::q4) {
      PITH_UNROLL
      for (int p = 0; p < 2; ++p) {
        const uint8x16_t w = vld1q_u8(lanes + 64 * p);
        const int8x16_t eight = vdupq_n_s8(8);
        octets[p][i] = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(w, vdupq_n_u8(15))), eight);
        octets[2 + p][i] = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(w, 4)), eight);
      }
    } else {
      PITH_UNROLL
      for (int p = 0; p < kOctets; ++p) octets[p][i] = vreinterpretq_s8_u8(vld1q_u8(lanes + 64 * p));
    }
  }
}

template <WeightType type>
PITH_INLINE void unpack_block(const uint8_t* block, int panel, UnpackedBlock* out) {
  int8x16_t octets[kOctets][kRowPairs];
  load_octets<type>(block, octets);
  store_octets(octets, panel, out);
}
