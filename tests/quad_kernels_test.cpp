// The kernels of attention that are products of matrices of 8 bits, on every usable tier: to the bits that their contracts
// say, with inaccessible pages right before and after every array.

#include "kernel_testing.h"
#include "quick.h"
#include "row_values.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

size_t rounded_up(int32_t n, int32_t to) { return size_t((n + to - 1) / to * to); }

// Rows that lie a little apart, and which of them to take; the last row is always among them.
struct RowsOfBytes {
  static constexpr int32_t kRows = 7;
  size_t stride;
  std::vector<int8_t> bytes;   // [kRows], stride apart
  std::vector<int32_t> index;  // [n]

  RowsOfBytes(int32_t width, int32_t n, Values values, Random* random) : stride(size_t(width) + random->engine() % 40) {
    for (size_t i = 0; i < stride * (kRows - 1) + size_t(width); ++i)
      bytes.push_back(value_of(values, false, i % stride, random));
    for (int32_t i = 0; i < n; ++i) index.push_back(int32_t(random->engine() % kRows));
    index[random->engine() % size_t(n)] = kRows - 1;
  }
  int32_t at(int32_t i, int32_t j) const { return bytes[stride * size_t(index[size_t(i)]) + size_t(j)]; }
};

Floats any_floats(size_t n, float largest, Random* random) {
  Floats x;
  for (size_t i = 0; i < n; ++i) x.push_back(random->any(largest));
  return x;
}

}  // namespace

TEST_CASE("products of quads: scores of heads in lanes with rows of several blocks, on every tier") {
  Random random;
  CAPTURE(random.seed);
  int32_t counter = 0;
  for (const int32_t lanes : {16, 32, 48, 144}) {
    for (const int32_t block : {32, 64, 96, 256}) {
      for (const int32_t n_blocks : {1, 2, 3, 16, 17}) {
        if (block * n_blocks > (is_quick() ? 300 : 1100) || (is_quick() && lanes > 48)) continue;
        const int32_t n = 1 + counter++ % 19;
        const Values values = Values(counter % 5);
        CAPTURE(lanes);
        CAPTURE(block);
        CAPTURE(n_blocks);
        CAPTURE(n);
        const RowsOfBytes rows(block * n_blocks, n, values, &random);
        std::vector<int8_t> q;
        std::vector<int32_t> sums(size_t(n_blocks * lanes));
        for (size_t i = 0; i < size_t(n_blocks * block * lanes); ++i) {
          q.push_back(value_of(values, true, i % 4, &random));
          sums[i / 4 / size_t(block / 4 * lanes) * size_t(lanes) + i / 4 % size_t(lanes)] += q.back();
        }
        const Floats d = any_floats(size_t(n_blocks * lanes), 2, &random);
        const size_t row_stride = size_t(n_blocks) + random.engine() % 5;
        const Floats row_d = any_floats(row_stride * size_t(n - 1) + size_t(n_blocks), 2, &random);
        const Floats x = any_floats(size_t(n * lanes), 1e6f, &random);
        Floats expected = x;
        for (int32_t i = 0; i < n; ++i) {
          for (int32_t h = 0; h < lanes; ++h) {
            float& score = expected[size_t(i * lanes + h)];
            for (int32_t b = 0; b < n_blocks; ++b) {
              int32_t dot = 0;
              for (int32_t j = 0; j < block; ++j)
                dot += q[size_t((((b * block + j) / 4) * lanes + h) * 4 + j % 4)] * rows.at(i, b * block + j);
              score = std::fma(float(dot), d[size_t(b * lanes + h)] * row_d[row_stride * size_t(i) + size_t(b)], score);
            }
          }
        }
        for (const bool at_end : {false, true}) {
          CAPTURE(at_end);
          Guarded<int8_t> query(q, at_end), bytes(rows.bytes, at_end);
          Guarded<int32_t> query_sums(sums, at_end), index(rows.index, at_end);
          Guarded<float> query_d(d, at_end), rows_d(row_d, at_end);
          for_each_tier([&](const Kernels& k) {
            Guarded<float> out(x, at_end);
            k.add_quad_scores({query.data(), query_sums.data(), query_d.data(), n_blocks, block, lanes},
                              {bytes.data(), rows.stride, index.data()}, rows_d.data(), row_stride, n, out.data());
            CHECK(same(out.get(), expected));
          });
        }
      }
    }
  }
}

// The forms of rounded weights and interleaved rows are the tier's own: what they are shows in the sums.
TEST_CASE("products of quads: sums of interleaved rows by weights rounded to 254 steps, on every tier") {
  Random random;
  CAPTURE(random.seed);
  int32_t counter = 0;
  for (const int32_t width : {16, 32, 48, 64, 128}) {
    for (const int32_t n_heads : {1, 2, 3, 5, 12, 16, 40, 64}) {
      const int32_t n = counter % 4 == 0 ? 128 : 1 + counter % 23, lanes = int32_t(rounded_up(n_heads, 16));
      const Values values = Values(counter++ % 5);
      CAPTURE(width);
      CAPTURE(n_heads);
      CAPTURE(n);
      const RowsOfBytes rows(width, n, values, &random);
      const size_t row_stride = 1 + random.engine() % 3;
      const bool has_scales = random.engine() % 3 != 0;
      Floats x, row;
      for (size_t i = 0; i < row_stride * size_t(n - 1) + 1; ++i)
        row.push_back(random.engine() % 5 == 0 ? 0.0f : std::fabs(random.any(1)));
      for (int32_t i = 0; i < n * lanes; ++i) {
        const bool is_dead = i % lanes % 7 == 6;  // a head without weights, or too small ones
        x.push_back(is_dead ? (i % lanes % 2 == 0 ? 0.0f : 1e-37f)
                            : (values == Values::opposite ? 1.0f : std::fabs(random.any(1))));
      }
      if (!has_scales) {  // halves, which go to even
        x[0] = 254;
        for (int32_t i = 1; i < n; ++i) x[size_t(i * lanes)] = 0.5f * float(random.engine() % 509);
      }
      // As the contract says.
      std::vector<int32_t> p(size_t(n * lanes));
      Floats d(static_cast<size_t>(lanes));
      for (int32_t h = 0; h < lanes; ++h) {
        const auto weight = [&](int32_t i) {
          return x[size_t(i * lanes + h)] * (has_scales ? row[row_stride * size_t(i)] : 1.0f);
        };
        float largest = 0;
        for (int32_t i = 0; i < n; ++i) largest = std::max(largest, weight(i));
        d[size_t(h)] = largest / 254;
        const float inverse = largest > 1e-36f ? 254 / largest : 0;
        for (int32_t i = 0; i < n; ++i)
          p[size_t(i * lanes + h)] = int32_t(std::nearbyint(std::min(weight(i) * inverse, 254.0f)));
      }
      const size_t out_stride = size_t(width) + random.engine() % 5;
      const Floats keep = any_floats(size_t(n_heads), 1, &random), weight = any_floats(size_t(n_heads), 1, &random);
      const Floats before = any_floats(out_stride * size_t(n_heads - 1) + size_t(width), 1e3f, &random);
      Floats expected = before;
      for (int32_t h = 0; h < n_heads; ++h) {
        for (int32_t j = 0; j < width; ++j) {
          int32_t sum = 0;
          for (int32_t i = 0; i < n; ++i) sum += p[size_t(i * lanes + h)] * rows.at(i, j);
          float& out = expected[out_stride * size_t(h) + size_t(j)];
          out = std::fma(weight[size_t(h)], d[size_t(h)] * float(sum), keep[size_t(h)] * out);
        }
      }
      for (const bool at_end : {false, true}) {
        CAPTURE(at_end);
        Guarded<float> weights(x, at_end), scales(row, at_end), kept(keep, at_end), shares(weight, at_end);
        Guarded<int8_t> bytes(rows.bytes, at_end);
        Guarded<int32_t> index(rows.index, at_end);
        for_each_tier([&](const Kernels& k) {
          const size_t n_quads = rounded_up(n, 4) / 4 * kQuadBytes;
          Guarded<uint8_t> rounded(n_quads * size_t(lanes), at_end), interleaved(n_quads * size_t(width), at_end);
          Guarded<float> steps(size_t(lanes), at_end), out(before, at_end);
          k.round_weights(weights.data(), has_scales ? scales.data() : nullptr, row_stride, n, lanes, rounded.data(),
                          steps.data());
          CHECK(same(steps.get(), d));
          k.interleave_rows({bytes.data(), rows.stride, index.data()}, n, interleaved.data(), width);
          k.blend_quad_sums({rounded.data(), steps.data(), lanes}, n_heads, interleaved.data(), width, n, kept.data(),
                            shares.data(), out.data(), out_stride);
          CHECK(same(out.get(), expected));
        });
      }
    }
  }
}

// What is not finite among weights makes no bits that tiers would differ in.
TEST_CASE("products of quads: weights that are not finite, on every tier") {
  Random random;
  CAPTURE(random.seed);
  constexpr int32_t kRows = 7, kLanes = 16, kWidth = 16;
  for (const float odd : {kNan, -kNan, kInf, -kInf}) {
    Floats x, out0;
    for (int32_t i = 0; i < kRows * kLanes; ++i) x.push_back(std::fabs(random.any(1)));
    for (int32_t i = 0; i < 20; ++i) x[random.below(x.size())] = odd;
    const RowsOfBytes rows(kWidth, kRows, Values::any, &random);
    const Floats ones(kLanes, 1.0f);
    for_each_tier([&](const Kernels& k) {
      std::vector<uint8_t> p(2 * kQuadBytes * kLanes), quads(2 * kQuadBytes * kWidth);
      Floats steps(kLanes), out(kLanes * kWidth);
      k.round_weights(x.data(), nullptr, 0, kRows, kLanes, p.data(), steps.data());
      k.interleave_rows({rows.bytes.data(), rows.stride, rows.index.data()}, kRows, quads.data(), kWidth);
      k.blend_quad_sums({p.data(), ones.data(), kLanes}, kLanes, quads.data(), kWidth, kRows, ones.data(), ones.data(),
                        out.data(), kWidth);
      if (out0.empty()) out0 = out;
      CHECK(same(out, out0));
      for (int32_t h = 0; h < kLanes; ++h) {
        bool is_odd = false;
        for (int32_t i = 0; i < kRows; ++i) is_odd = is_odd || !std::isfinite(x[size_t(i * kLanes + h)]);
        CHECK(std::isfinite(steps[size_t(h)]) == !is_odd);
      }
    });
  }
}
