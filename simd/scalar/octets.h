// Octets of weights as floats in plain C++, as generic/transposed_xsimd.h names them. Included inside the tier's anonymous namespace.

struct Octet {
  float v[8];
};
void widen_nibbles(const uint8_t* bytes, Octet* low, Octet* high) {
  for (int32_t i = 0; i < 8; ++i) {
    low->v[i] = float((bytes[i] & 15) - 8);
    high->v[i] = float((bytes[i] >> 4) - 8);
  }
}
Octet widen_bytes(const uint8_t* bytes) {
  Octet out;
  for (int32_t i = 0; i < 8; ++i) out.v[i] = float(int8_t(bytes[i]));
  return out;
}
void store_scaled(const Octet& a, float d, float* out) {
  for (int32_t i = 0; i < 8; ++i) out[i] = d * a.v[i];
}
