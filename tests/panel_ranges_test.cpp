// Matrix products over a part of a matrix, as threads share them.
#include "kernel_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

// Threads share a product by ranges of panels: a range computes the bits of the whole, and writes nothing else.
TEST_CASE("a range of panels computes its rows of the product and touches no other") {
  Random random;
  CAPTURE(random.seed);
  constexpr int32_t kBlocks = 7, kPanels = 6, kCols = kBlocks * kBlockCols;
  Floats x(kCols), d(kBlocks), sums(kBlocks);
  std::vector<int8_t> q(kCols), octets(2 * kCols);
  std::vector<int32_t> start(4 * kBlocks);
  for (float& v : x) v = random.uniform(-1, 1);
  scalar().quantize_blocks(x.data(), kCols, q.data(), d.data());
  const Activation a{x.data(), q.data(), d.data(), start.data(), octets.data(), sums.data()};
  const auto check = [&](WeightType type, auto product) {
    std::vector<uint8_t> w(packed_bytes(type, 8 * kPanels, kCols));
    for (size_t i = 0; i + 4 <= w.size(); i += 4) {  // as float32 and as fp16 small numbers, as codes anything
      const uint32_t bits = (uint32_t(random.engine()) & 0x80ff80ffu) | 0x3c003c00u;
      std::memcpy(w.data() + i, &bits, 4);
    }
    for_each_tier([&](const Kernels& k) {
      k.spread_blocks(q.data(), d.data(), kCols, start.data(), octets.data(), sums.data());
      Floats whole(8 * kPanels, kCanary);
      product(k, PanelRange{w.data(), kBlocks, 0, kPanels}, whole.data());
      CHECK(std::find(whole.begin(), whole.end(), kCanary) == whole.end());
      for (int32_t first = 0; first <= kPanels; ++first) {
        for (int32_t last = first; last <= kPanels; ++last) {
          Floats part(8 * kPanels, kCanary), expected = part;
          std::copy(whole.begin() + 8 * first, whole.begin() + 8 * last, expected.begin() + 8 * first);
          product(k, PanelRange{w.data(), kBlocks, first, last}, part.data());
          CHECK(same(part, expected));
        }
      }
    });
  };
  check(WeightType::q4, [&](const Kernels& k, PanelRange w, float* y) { k.matvec_q4_i8(w, a, y); });
  check(WeightType::q8, [&](const Kernels& k, PanelRange w, float* y) { k.matvec_q8_i8(w, a, y); });
  check(WeightType::q4m, [&](const Kernels& k, PanelRange w, float* y) { k.matvec_q4m_i8(w, a, y); });
  check(WeightType::q4m, [&](const Kernels& k, PanelRange w, float* y) { k.matvec_q4m_f32(w, a, y); });
  check(WeightType::q4, [&](const Kernels& k, PanelRange w, float* y) { k.matvec_q4_f32(w, a, y); });
  check(WeightType::q8, [&](const Kernels& k, PanelRange w, float* y) { k.matvec_q8_f32(w, a, y); });
  check(WeightType::f32, [&](const Kernels& k, PanelRange w, float* y) { k.matvec_f32_f32(w, a, y); });
}

TEST_CASE("the transposed product of a range of panels uses the rows of the range") {
  Random random;
  CAPTURE(random.seed);
  constexpr int32_t kBlocks = 3, kPanels = 5, kCols = kBlocks * kBlockCols, kRows = 8 * kPanels;
  std::vector<uint8_t> w(packed_bytes(WeightType::f32, kRows, kCols));
  const auto at = [&](int32_t row, int32_t col) {
    return w.data() + panel_bytes(WeightType::f32, kBlocks) * size_t(row / 8) + 4 * size_t(8 * col + row % 8);
  };
  for (int32_t row = 0; row < kRows; ++row) {
    for (int32_t col = 0; col < kCols; ++col) {
      const float v = random.uniform(-1, 1);
      std::memcpy(at(row, col), &v, sizeof v);
    }
  }
  for_each_tier([&](const Kernels& k) {
    for (int32_t first = 0; first < kPanels; ++first) {
      for (int32_t last = first; last <= kPanels; ++last) {
        Floats x(size_t(8 * (last - first))), y(kCols, kCanary);
        for (float& v : x) v = random.uniform(-1, 1);
        k.transposed_f32({w.data(), kBlocks, first, last}, x.data(), y.data());
        for (int32_t col = 0; col < kCols; ++col) {
          float expected = 0;  // the contract: one fma a row, in order
          for (int32_t row = 8 * first; row < 8 * last; ++row) {
            float v;
            std::memcpy(&v, at(row, col), sizeof v);
            expected = std::fma(v, x[size_t(row - 8 * first)], expected);
          }
          CHECK(y[size_t(col)] == expected);
        }
      }
    }
  });
}
