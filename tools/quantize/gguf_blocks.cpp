#include "gguf_blocks.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "half.h"

namespace pith::quantize {
namespace {

constexpr uint16_t kInfiniteHalf = 0x7c00;

// 32 neighbouring weights of a row: w = (d scale) q + m. Each half of them has a scale and a minimum of its own.
struct Group {
  float d;
  int scale[2];
  float m[2];  // of types that have a minimum
  int8_t q[kBlockCols];
};

// Two halves that share everything.
void set_scale(Group* out, float d, int scale, float m = 0) {
  out->d = d;
  out->scale[0] = out->scale[1] = scale;
  out->m[0] = out->m[1] = m;
}

float half_at(const uint8_t* bytes) { return half_to_float(read_half(bytes)); }

// Bytes 0..15 hold weights 0..15 in their low nibbles and weights 16..31 in their high ones.
void split_nibbles(const uint8_t* bytes, int8_t* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = int8_t(bytes[i] & 15);
    q[16 + i] = int8_t(bytes[i] >> 4);
  }
}

// n_bits of each of 32 bytes, from bit `shift` on, added to q at bit `to`.
void add_bits(const uint8_t* bytes, int shift, int n_bits, int to, int8_t* q) {
  const int mask = (1 << n_bits) - 1;
  for (int i = 0; i < kBlockCols; ++i) q[i] = int8_t(q[i] | ((bytes[i] >> shift) & mask) << to);
}

void subtract(int offset, int8_t* q) {
  for (int i = 0; i < kBlockCols; ++i) q[i] = int8_t(q[i] - offset);
}

// Bit i of the four bytes is the fifth bit of weight i.
void add_fifth_bits(const uint8_t* bytes, int8_t* q) {
  for (int i = 0; i < kBlockCols; ++i) q[i] = int8_t(q[i] | ((bytes[i / 8] >> (i % 8)) & 1) << 4);
}

// ---- blocks of 32 ---------------------------------------------------------------------------------------------------

// fp16 d | 16 bytes of nibbles
void decode_q4_0(const uint8_t* block, int32_t, Group* out) {
  set_scale(out, half_at(block), 1);
  split_nibbles(block + 2, out->q);
  subtract(8, out->q);
}

// fp16 d | fp16 m | 16 bytes of nibbles
void decode_q4_1(const uint8_t* block, int32_t, Group* out) {
  set_scale(out, half_at(block), 1, half_at(block + 2));
  split_nibbles(block + 4, out->q);
}

// fp16 d | 4 bytes of fifth bits | 16 bytes of nibbles
void decode_q5_0(const uint8_t* block, int32_t, Group* out) {
  set_scale(out, half_at(block), 1);
  split_nibbles(block + 6, out->q);
  add_fifth_bits(block + 2, out->q);
  subtract(16, out->q);
}

// fp16 d | fp16 m | 4 bytes of fifth bits | 16 bytes of nibbles
void decode_q5_1(const uint8_t* block, int32_t, Group* out) {
  set_scale(out, half_at(block), 1, half_at(block + 2));
  split_nibbles(block + 8, out->q);
  add_fifth_bits(block + 4, out->q);
}

// fp16 d | 32 signed bytes
void decode_q8_0(const uint8_t* block, int32_t, Group* out) {
  set_scale(out, half_at(block), 1);
  std::memcpy(out->q, block + 2, sizeof out->q);
}

// The values of IQ4's codes.
constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void look_up(int8_t* q) {
  for (int i = 0; i < kBlockCols; ++i) q[i] = kIq4Values[q[i]];
}

// fp16 d | 16 bytes of nibbles
void decode_iq4_nl(const uint8_t* block, int32_t, Group* out) {
  set_scale(out, half_at(block), 1);
  split_nibbles(block + 2, out->q);
  look_up(out->q);
}

// ---- blocks of 256: eight groups g ----------------------------------------------------------------------------------

// fp16 d | 8 x 2 high bits of s | 8 x 4 low bits | 8 x 16 bytes of nibbles
void decode_iq4_xs(const uint8_t* block, int32_t g, Group* out) {
  const int high = block[2 + g / 4] >> (2 * (g % 4)), low = block[4 + g / 2] >> (4 * (g % 2));
  set_scale(out, half_at(block), ((low & 15) | (high & 3) << 4) - 32);
  split_nibbles(block + 8 + 16 * g, out->q);
  look_up(out->q);
}

// Q4_K's and Q5_K's 12 bytes of s and t, 6 bits each. Those of groups 0..3 are the low bits of bytes 0..3 and 4..7, whose
// two high bits belong to groups 4..7, as the nibbles of bytes 8..11 do.
struct ScaleAndMinimum {
  int s, t;
};
ScaleAndMinimum scale_and_minimum(const uint8_t* bytes, int32_t g) {
  if (g < 4) return {bytes[g] & 63, bytes[4 + g] & 63};
  return {(bytes[4 + g] & 15) | (bytes[g - 4] >> 6) << 4, bytes[4 + g] >> 4 | (bytes[g] >> 6) << 4};
}

// fp16 d | fp16 dmin | 12 bytes of s and t
void set_k_scales(const uint8_t* block, int32_t g, Group* out) {
  const ScaleAndMinimum of = scale_and_minimum(block + 4, g);
  set_scale(out, half_at(block), of.s, -(half_at(block + 2) * float(of.t)));
}

// 4 x 32 bytes, whose nibbles are of two groups each
void set_k_nibbles(const uint8_t* bytes, int32_t g, Group* out) {
  std::memset(out->q, 0, sizeof out->q);
  add_bits(bytes + 32 * (g / 2), 4 * (g % 2), 4, 0, out->q);
}

// d, dmin, s and t | nibbles
void decode_q4_k(const uint8_t* block, int32_t g, Group* out) {
  set_k_scales(block, g, out);
  set_k_nibbles(block + 16, g, out);
}

// d, dmin, s and t | 32 bytes, whose bit g is the fifth of group g | nibbles
void decode_q5_k(const uint8_t* block, int32_t g, Group* out) {
  set_k_scales(block, g, out);
  set_k_nibbles(block + 48, g, out);
  add_bits(block + 16, g, 1, 4, out->q);
}

// 2 x 32 bytes, of four groups each with two bits
void set_k_pairs(const uint8_t* bytes, int32_t g, Group* out) {
  std::memset(out->q, 0, sizeof out->q);
  add_bits(bytes + 32 * (g / 4), 2 * (g % 4), 2, 0, out->q);
}

// 16 bytes of s (low nibble) and t (high) | pairs of bits | fp16 d | fp16 dmin
void decode_q2_k(const uint8_t* block, int32_t g, Group* out) {
  out->d = half_at(block + 80);
  const float dmin = half_at(block + 82);
  for (int h = 0; h < 2; ++h) {
    const uint8_t both = block[2 * g + h];
    out->scale[h] = both & 15;
    out->m[h] = -(dmin * float(both >> 4));
  }
  set_k_pairs(block + 16, g, out);
}

// 32 bytes, whose bit g is the third of group g | pairs of bits | 12 bytes of s | fp16 d
// s of half n in 0..15: 4 low bits in bytes 0..7, first all low nibbles; 2 high bits in bytes 8..11, first all lowest pairs.
void decode_q3_k(const uint8_t* block, int32_t g, Group* out) {
  const uint8_t* s = block + 96;
  out->d = half_at(block + 108);
  for (int h = 0; h < 2; ++h) {
    const int n = 2 * g + h, low = s[n % 8] >> (4 * (n / 8)), high = s[8 + n % 4] >> (2 * (n / 4));
    out->scale[h] = ((low & 15) | (high & 3) << 4) - 32;
  }
  set_k_pairs(block + 32, g, out);
  add_bits(block, g, 1, 2, out->q);
  subtract(4, out->q);
}

// 2 x 64 bytes, the low nibbles of two groups and then the high ones of two | 2 x 32 bytes with pairs of high bits of four
// groups | 16 signed bytes of s | fp16 d
void decode_q6_k(const uint8_t* block, int32_t g, Group* out) {
  out->d = half_at(block + 208);
  for (int h = 0; h < 2; ++h) out->scale[h] = int8_t(block[192 + 2 * g + h]);
  std::memset(out->q, 0, sizeof out->q);
  add_bits(block + 64 * (g / 4) + 32 * (g % 2), 4 * (g % 4 / 2), 4, 0, out->q);
  add_bits(block + 128 + 32 * (g / 4), 2 * (g % 4), 2, 4, out->q);
  subtract(32, out->q);
}

// ---- the types ------------------------------------------------------------------------------------------------------

struct BlockType {
  TensorType type;
  void (*decode)(const uint8_t* block, int32_t group, Group* out);
  bool has_minimum;
  std::optional<WeightType> exact;
};

const BlockType kBlockTypes[] = {
    {TensorType::q4_0, decode_q4_0, false, WeightType::q4},
    {TensorType::q4_1, decode_q4_1, true, WeightType::q4m},
    {TensorType::q5_0, decode_q5_0, false, WeightType::q8},
    {TensorType::q5_1, decode_q5_1, true, {}},
    {TensorType::q8_0, decode_q8_0, false, WeightType::q8},
    {TensorType::q2_k, decode_q2_k, true, {}},
    {TensorType::q3_k, decode_q3_k, false, WeightType::q8},
    {TensorType::q4_k, decode_q4_k, true, WeightType::q4m},
    {TensorType::q5_k, decode_q5_k, true, {}},
    {TensorType::q6_k, decode_q6_k, false, {}},
    {TensorType::iq4_nl, decode_iq4_nl, false, WeightType::q8},
    {TensorType::iq4_xs, decode_iq4_xs, false, WeightType::q8},
};

const BlockType* find(TensorType type) {
  for (const BlockType& of : kBlockTypes) {
    if (of.type == type) return &of;
  }
  return nullptr;
}

void decode_group(const BlockType& of, const uint8_t* row, int64_t group, Group* out) {
  const int64_t groups = int64_t(block_elements(of.type)) / kBlockCols;
  of.decode(row + group / groups * int64_t(block_bytes(of.type)), int32_t(group % groups), out);
}

void to_floats(const Group& group, bool has_minimum, float* out) {
  for (int h = 0; h < 2; ++h) {
    const float d = group.d * float(group.scale[h]), m = group.m[h];
    const int8_t* q = group.q + 16 * h;
    float* w = out + 16 * h;
    // Adding a minimum of 0 would make 0 of -0.
    if (has_minimum)
      for (int i = 0; i < 16; ++i) w[i] = d * float(q[i]) + m;
    else
      for (int i = 0; i < 16; ++i) w[i] = d * float(q[i]);
  }
}

void read_halves(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = half_at(bytes + 2 * i);
}

void read_bfloats(const uint8_t* bytes, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_float(read_half(bytes + 2 * i));
}

bool is_finite(uint16_t half) { return (half & 0x7c00u) != 0x7c00u; }

// A scale of both halves.
BlockCodes codes_with_one_scale(const Group& group) {
  BlockCodes out{};
  std::memcpy(out.q, group.q, sizeof out.q);
  out.d = float_to_half(group.d * float(group.scale[0]));
  return out;
}

// Scales of their own become part of the integers.
BlockCodes codes_with_scales_in_them(const Group& group, bool* fits) {
  BlockCodes out{};
  out.d = float_to_half(group.d);
  for (int i = 0; i < kBlockCols; ++i) {
    const int q = group.scale[i / 16] * group.q[i];
    *fits = *fits && q >= -127 && q <= 127;
    out.q[i] = int8_t(q);
  }
  return out;
}

BlockCodes rounded_codes(const Group& group, bool has_minimum) {
  float w[kBlockCols];
  to_floats(group, has_minimum, w);
  return quantize_q8(w);
}

}  // namespace

bool holds_weights(TensorType type) { return block_bytes(type) != 0 && type != TensorType::i8; }

void dequantize_blocks(TensorType type, const uint8_t* blocks, int64_t n_elements, float* out) {
  if (type == TensorType::f32) return static_cast<void>(std::memcpy(out, blocks, size_t(n_elements) * sizeof(float)));
  if (type == TensorType::f16) return read_halves(blocks, n_elements, out);
  if (type == TensorType::bf16) return read_bfloats(blocks, n_elements, out);
  const BlockType* of = find(type);
  if (of == nullptr) throw std::runtime_error("type " + std::string(tensor_type_name(type)) + " holds no weights");
  Group group{};
  for (int64_t g = 0; g < n_elements / kBlockCols; ++g) {
    decode_group(*of, blocks, g, &group);
    to_floats(group, of->has_minimum, out + kBlockCols * g);
  }
}

std::optional<WeightType> exact_type(TensorType type) {
  const BlockType* of = find(type);
  return of == nullptr ? std::nullopt : of->exact;
}

BlockCodes codes_of(TensorType type, const uint8_t* row, int32_t block32) {
  const BlockType* of = find(type);
  if (of == nullptr || !of->exact) throw std::logic_error("codes_of: a type without exact codes");
  Group group{};
  decode_group(*of, row, block32, &group);
  bool fits = *of->exact != WeightType::q8 || *std::min_element(group.q, group.q + kBlockCols) >= -127;
  BlockCodes out = type == TensorType::q3_k ? codes_with_scales_in_them(group, &fits) : codes_with_one_scale(group);
  if (!fits && is_finite(out.d)) out = rounded_codes(group, of->has_minimum);
  if (of->has_minimum) out.m = float_to_half(group.m[0]);
  if (is_finite(out.d) && is_finite(out.m)) return out;
  BlockCodes infinite{};  // its codes stay 0: those of the file may be -128, which integer products exclude
  infinite.d = kInfiniteHalf;
  return infinite;
}

}  // namespace pith::quantize
