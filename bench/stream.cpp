#include "stream.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace pith::bench {
namespace {

template <typename T>
void keep(T& value) {  // the compiler may not drop what leads here
#ifdef __x86_64__
  asm volatile("" : "+x"(value));
#else
  asm volatile("" : "+w"(value));
#endif
}

#ifdef __x86_64__
using Vector = __m256i;
[[gnu::target("avx2")]] Vector load(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
[[gnu::target("avx2")]] Vector add(Vector a, Vector b) { return _mm256_add_epi64(a, b); }
#define PITH_READ_TARGET [[gnu::target("avx2")]]
#else
typedef uint64_t Vector __attribute__((vector_size(16)));
Vector load(const uint8_t* p) { return *reinterpret_cast<const Vector*>(p); }
Vector add(Vector a, Vector b) { return a + b; }
#define PITH_READ_TARGET
#endif

template <int n_streams>
PITH_READ_TARGET uint64_t read_parts(const uint8_t* p, size_t bytes) {
  const size_t part = bytes / n_streams;
  constexpr int kLoads = 64 / sizeof(Vector);
  Vector sums[n_streams][kLoads] = {};
  for (size_t i = 0; i < part; i += 64) {
    for (int s = 0; s < n_streams; ++s) {
      for (int k = 0; k < kLoads; ++k)
        sums[s][k] = add(sums[s][k], load(p + part * size_t(s) + i + sizeof(Vector) * size_t(k)));
    }
  }
  Vector total = {};
  for (auto& stream : sums) {
    for (const Vector& sum : stream) total = add(total, sum);
  }
  uint64_t words[sizeof(Vector) / 8], result = 0;
  __builtin_memcpy(words, &total, sizeof words);
  for (const uint64_t word : words) result += word;
  return result;
}

#ifdef __x86_64__

constexpr int kChains = 8;

// Unsigned 4-bit times signed 8-bit: eight products of pairs fit into int16, then one madd. 8 accumulators.
[[gnu::target("avx2")]] int64_t u4_maddubs(int64_t rounds) {
  __m256i sum[kChains] = {}, u = _mm256_set1_epi8(7), q = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t r = 0; r < rounds; ++r) {
    for (auto& s : sum) {
      __m256i pairs = _mm256_maddubs_epi16(u, q);
      for (int i = 1; i < 8; ++i) {
        keep(q);
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(u, q));
      }
      s = _mm256_add_epi32(s, _mm256_madd_epi16(pairs, ones));
    }
  }
  for (auto& s : sum) keep(s);
  return rounds * kChains * 8 * 32;
}

// 8 bits times 8 bits: maddubs, madd, add for every 32 products.
[[gnu::target("avx2")]] int64_t i8_maddubs(int64_t rounds) {
  __m256i sum[kChains] = {}, u = _mm256_set1_epi8(7), q = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t r = 0; r < rounds; ++r) {
    for (auto& s : sum) {
      keep(q);
      s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(u, q), ones));
    }
  }
  for (auto& s : sum) keep(s);
  return rounds * kChains * 32;
}

[[gnu::target("avx512f,avx512vnni")]] int64_t dpbusd(int64_t rounds) {
  if (!__builtin_cpu_supports("avx512vnni")) return 0;
  __m512i sum[kChains] = {}, u = _mm512_set1_epi8(7), q = _mm512_set1_epi8(3);
  for (int64_t r = 0; r < rounds; ++r) {
    for (auto& s : sum) asm volatile("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(u), "v"(q));
  }
  for (auto& s : sum) asm volatile("" : "+v"(s));
  return rounds * kChains * 64;
}

[[gnu::target("avx2,fma")]] int64_t f32_fma(int64_t rounds) {
  __m256 sum[10] = {}, x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(0.25f);
  for (int64_t r = 0; r < rounds; ++r) {
    for (auto& s : sum) {
      s = _mm256_fmadd_ps(x, y, s);
      keep(s);
    }
  }
  return rounds * 10 * 8;
}

[[gnu::target("avx512f")]] int64_t f32_fma_512(int64_t rounds) {
  if (!__builtin_cpu_supports("avx512f")) return 0;
  __m512 sum[10] = {}, x = _mm512_set1_ps(0.5f), y = _mm512_set1_ps(0.25f);
  for (int64_t r = 0; r < rounds; ++r) {
    for (auto& s : sum) asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s) : "v"(x), "v"(y));
  }
  for (auto& s : sum) asm volatile("" : "+v"(s));
  return rounds * 10 * 16;
}

#endif

}  // namespace

uint64_t read_streams(const uint8_t* p, size_t bytes, int n_streams) {
  if (n_streams == 1) return read_parts<1>(p, bytes);
  return n_streams == 2 ? read_parts<2>(p, bytes) : read_parts<4>(p, bytes);
}

#ifdef __x86_64__
const MultiplyPeak kMultiplyPeaks[] = {{"u4 x i8 maddubs", u4_maddubs},
                                       {"i8 x i8 maddubs", i8_maddubs},
                                       {"u8 x i8 dpbusd", dpbusd},
                                       {"f32 fma", f32_fma},
                                       {"f32 fma 512", f32_fma_512}};
const size_t kMultiplyPeakCount = 5;
#else
const MultiplyPeak kMultiplyPeaks[] = {{"none", nullptr}};
const size_t kMultiplyPeakCount = 0;
#endif

}  // namespace pith::bench
