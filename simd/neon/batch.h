// What the float kernels of a NEON tier stand on. Included in the tier's anonymous namespace. No include guard: one inclusion per
// tier.

using Batch = xsimd::batch<float, xsimd::neon64>;
using Batch8 = Batch;
Batch fused(Batch a, Batch b, Batch c) { return vfmaq_f32(c, a, b); }
Batch quotient(Batch a, Batch b) { return vdivq_f32(a, b); }
Batch minimum(Batch a, Batch b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
Batch maximum(Batch a, Batch b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }

struct Octet {
  Batch8 part[2];
};
PITH_INLINE Octet widen_i8x8(int8x8_t bytes) {
  const int16x8_t wide = vmovl_s8(bytes);
  return {{Batch8(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)))), Batch8(vcvtq_f32_s32(vmovl_high_s16(wide)))}};
}
PITH_INLINE void widen_nibbles(const uint8_t* bytes, Octet* low, Octet* high) {
  const uint8x8_t w = vld1_u8(bytes);
  const int8x8_t eight = vdup_n_s8(8);
  *low = widen_i8x8(vsub_s8(vreinterpret_s8_u8(vand_u8(w, vdup_n_u8(15))), eight));
  *high = widen_i8x8(vsub_s8(vreinterpret_s8_u8(vshr_n_u8(w, 4)), eight));
}
PITH_INLINE Octet widen_bytes(const uint8_t* bytes) { return widen_i8x8(vreinterpret_s8_u8(vld1_u8(bytes))); }

PITH_INLINE void widen(const int8_t* x, Batch (&part)[4]) {
  const int8x16_t bytes = vld1q_s8(x);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
  part[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  part[1] = vcvtq_f32_s32(vmovl_high_s16(low));
  part[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  part[3] = vcvtq_f32_s32(vmovl_high_s16(high));
}
PITH_INLINE void widen(const int32_t* x, Batch (&part)[4]) {
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) part[i] = vcvtq_f32_s32(vld1q_s32(x + 4 * i));
}
PITH_INLINE void widen(const uint16_t* x, Batch (&part)[4]) {
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) part[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x + 4 * i)));
}
PITH_INLINE uint32x4_t bits_of(Batch a) { return vreinterpretq_u32_f32(a); }
PITH_INLINE Batch larger_magnitude(Batch a, Batch b) {
  return vreinterpretq_f32_u32(vmaxq_u32(vreinterpretq_u32_f32(vabsq_f32(a)), bits_of(b)));
}
PITH_INLINE float largest(const Batch (&part)[4]) {
  const uint32_t bits = vmaxvq_u32(
      vmaxq_u32(vmaxq_u32(bits_of(part[0]), bits_of(part[1])), vmaxq_u32(bits_of(part[2]), bits_of(part[3]))));
  float magnitude;
  __builtin_memcpy(&magnitude, &bits, sizeof magnitude);
  return magnitude;
}
PITH_INLINE int16x8_t narrow_words(Batch low, Batch high) {
  return vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
}
PITH_INLINE void narrow(const Batch (&part)[4], int8_t* q) {
  vst1q_s8(q, vmovn_high_s16(vmovn_s16(narrow_words(part[0], part[1])), narrow_words(part[2], part[3])));
}
