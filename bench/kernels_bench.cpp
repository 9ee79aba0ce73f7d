// Every tier's products over real shapes, from memory and from the cache, beside what the machine can do and what oneDNN does.
//   kernels_bench [--benchmark_filter=REGEX] ...     the flags of Google Benchmark; bench/kernels makes the table
// Names: memory/KIND/..., cache/KIND/TIER/ROWSxCOLS, columns/...,
//   heads/KERNEL/TIER/..., quantize/KERNEL/TIER/N, rows/KIND/TIER/COLS, float/..., peak/..., onednn/... . Counters: GB/s of weights (or of plain
// bytes), GMAC/s, and a checksum of the result (`sum`): equal over the tiers.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#ifdef PITH_ONEDNN
#include <dnnl.hpp>
#endif

#include "dispatch.h"
#include "stream.h"

using namespace pith;
using namespace pith::internal;
using benchmark::Counter;

namespace {

constexpr size_t kMemoryBytes = size_t(300) << 20;  // far beyond every cache

struct FreeAligned {
  void operator()(uint8_t* p) const { std::free(p); }
};
using Bytes = std::unique_ptr<uint8_t, FreeAligned>;

Bytes allocate(size_t bytes) {
  return Bytes(static_cast<uint8_t*>(std::aligned_alloc(1 << 21, (bytes + (1 << 21) - 1) >> 21 << 21)));
}

// Bytes that are a packed matrix of any type: as fp16 or float32 modest numbers, as codes whatever they are.
void fill(uint8_t* w, size_t bytes) {
  std::mt19937_64 random(1);
  for (size_t i = 0; i + 8 <= bytes; i += 8) {
    const uint64_t code = (random() & 0x0f0f0f0f0f0f0f0fu) | 0x2020202020202020u;
    std::memcpy(w + i, &code, 8);
  }
}

// n quantised columns of random input.
struct Input {
  std::vector<float> x, d, sums;
  std::vector<int8_t> q, octets;
  std::vector<int32_t> start;
  Input(int32_t cols, int32_t n)
      : x(size_t(cols * n)),
        d(x.size() / 32),
        sums(x.size() / 32),
        q(x.size()),
        octets(2 * x.size()),
        start(x.size() / 8) {
    std::mt19937 random(2);
    for (float& value : x) value = std::normal_distribution<float>()(random);
    choose_tier("scalar")->quantize_blocks(x.data(), cols * n, q.data(), d.data());
    choose_tier(nullptr)->spread_blocks(q.data(), d.data(), cols * n, start.data(), octets.data(),
                                        sums.data());  // octets if any tier has them
  }
  Activation activation() const { return {x.data(), q.data(), d.data(), start.data(), octets.data(), sums.data()}; }
};

double checksum(const std::vector<float>& y) {
  double sum = 0;
  for (size_t i = 0; i < y.size(); ++i) sum += double(y[i]) * double(i % 17 + 1);
  return sum;
}

void matvec(const Kernels& k, WeightType type, PanelRange range, Activation a, float* y) {
  if (type == WeightType::q4) k.matvec_q4_i8(range, a, y);
  else if (type == WeightType::q8) k.matvec_q8_i8(range, a, y);
  else if (type == WeightType::q4m) k.matvec_q4m_i8(range, a, y);
  else k.matvec_f32_f32(range, a, y);
}

void matmul(const Kernels& k, WeightType type, PanelRange range, Activation a, int32_t n, float* y, size_t y_stride) {
  if (type == WeightType::q4) k.matmul_q4_i8(range, a, n, y, y_stride);
  else if (type == WeightType::q8) k.matmul_q8_i8(range, a, n, y, y_stride);
  else k.matmul_q4m_i8(range, a, n, y, y_stride);
}

void rates(benchmark::State& state, double bytes, double macs) {
  const auto per_second = [](double n) { return Counter(n * 1e-9, Counter::kIsIterationInvariantRate); };
  if (bytes > 0) state.counters["GB/s"] = per_second(bytes);
  if (macs > 0) state.counters["GMAC/s"] = per_second(macs);
}

uint8_t* memory() {
  static const Bytes buffer = [] {
    Bytes bytes = allocate(kMemoryBytes);
    fill(bytes.get(), kMemoryBytes);
    return bytes;
  }();
  return buffer.get();
}

void read_memory(benchmark::State& state, int n_streams, int threads) {
  const uint8_t* p = memory();
  const size_t share = kMemoryBytes / size_t(threads) / 256 * 256;
  uint64_t total = 0;
  for (auto _ : state) {
#pragma omp parallel num_threads(threads) reduction(+ : total)
    total += bench::read_streams(p + share * size_t(omp_get_thread_num()), share, n_streams);
  }
  benchmark::DoNotOptimize(total);
  rates(state, double(share) * threads, 0);
}

void memory_product(benchmark::State& state, const Kernels& k, WeightType type, int32_t cols, int threads) {
  const int32_t blocks = cols / 32;
  const uint8_t* w = memory();
  const int32_t panels = int32_t(kMemoryBytes / panel_bytes(type, blocks));
  const Input input(cols, 1);
  std::vector<float> y(size_t(panels) * 8);
  for (auto _ : state) {
#pragma omp parallel num_threads(threads)
    {
      const int32_t t = omp_get_thread_num(), n = omp_get_num_threads();
      const PanelRange range{w, blocks, int32_t(int64_t(panels) * t / n), int32_t(int64_t(panels) * (t + 1) / n)};
      matvec(k, type, range, input.activation(), y.data());
    }
  }
  rates(state, double(panels) * double(panel_bytes(type, blocks)), double(panels) * 8 * cols);
  state.counters["sum"] = checksum(y);
}

void cache_product(benchmark::State& state, const Kernels& k, WeightType type, int32_t rows, int32_t cols, int32_t n) {
  const int32_t blocks = cols / 32, panels = rows / 8;
  const size_t bytes = packed_bytes(type, rows, cols);
  const Bytes w = allocate(bytes);
  fill(w.get(), bytes);
  const Input input(cols, n);
  std::vector<float> y(size_t(rows) * size_t(n));
  const PanelRange range{w.get(), blocks, 0, panels};
  for (auto _ : state) {
    if (n == 1) matvec(k, type, range, input.activation(), y.data());
    else matmul(k, type, range, input.activation(), n, y.data(), size_t(rows));
    benchmark::ClobberMemory();
  }
  rates(state, n == 1 ? double(bytes) : 0, double(rows) * cols * n);
  state.counters["sum"] = checksum(y);
}

// The products of grouped attention: rows x 64 x n.
void integer_product(benchmark::State& state, const Kernels& k, int32_t rows, int32_t n) {
  const size_t bytes = size_t(rows) * 64;
  const Bytes w = allocate(bytes);
  fill(w.get(), bytes);
  const Input input(64, n);
  std::vector<int32_t> out(size_t(rows * n));
  for (auto _ : state) {
    k.matmul_i8_i32(w.get(), 2, rows / 8, input.q.data(), n, out.data(), size_t(rows));
    benchmark::ClobberMemory();
  }
  rates(state, 0, double(bytes) * n);
  state.counters["sum"] = checksum(std::vector<float>(out.begin(), out.end()));
}

// Scores of a prompt's attention made weights: 64 queries and n rows, copied for every round.
void weigh_rows(benchmark::State& state, const Kernels& k, int32_t n) {
  constexpr int32_t kQueries = 64;
  const Input input(kQueries * n, 1);
  const std::vector<float> scale(size_t(n), 0.01f);
  std::vector<float> x, max, sum;
  for (auto _ : state) {
    x = input.x;
    max.assign(kQueries, -1e30f);
    sum.assign(kQueries, 0.0f);
    k.weigh_rows(x.data(), scale.data(), n, kQueries, max.data(), sum.data());
    benchmark::ClobberMemory();
  }
  rates(state, 8.0 * double(x.size()), 0);
  state.counters["sum"] = checksum(x) + checksum(sum);
}

// The sums of a prompt's attention: 64 queries, and n rows that all of them share, with what goes before.
void query_sums(benchmark::State& state, const Kernels& k, int32_t width, int32_t n) {
  constexpr int32_t kQueries = 64;
  const Bytes rows = allocate(size_t(width * n));
  fill(rows.get(), size_t(width * n));
  std::vector<int32_t> index;
  for (int32_t i = 0; i < n; ++i) index.push_back(i);
  const std::vector<float> weights(size_t(kQueries * n), 0.125f), halves(kQueries, 0.5f);
  std::vector<float> sums(size_t(kQueries * width)), steps(kQueries);
  std::vector<uint8_t> p(size_t(n) / 4 * kQuadBytes * kQueries), values(size_t(n) / 4 * kQuadBytes * size_t(width));
  for (auto _ : state) {
    k.round_weights(weights.data(), nullptr, 0, n, kQueries, p.data(), steps.data());
    k.interleave_rows({reinterpret_cast<const int8_t*>(rows.get()), size_t(width), index.data()}, n, values.data(),
                      width);
    k.blend_quad_sums({p.data(), steps.data(), kQueries}, kQueries, values.data(), width, n, halves.data(),
                      halves.data(), sums.data(), size_t(width));
    benchmark::ClobberMemory();
  }
  rates(state, 0, double(kQueries) * width * n);
  state.counters["sum"] = checksum(sums);
}

// Absorbed attention of a tile of 64 tokens: scores of heads with latents in blocks of 32 channels, and sums of one block.
struct Latents {
  static constexpr int32_t kRows = 64, kBlock = 32;
  int32_t n_heads, lanes, n_blocks;
  size_t stride;
  Bytes bytes;
  Input query;
  std::vector<int32_t> index, sums;
  std::vector<float> ones;

  Latents(int32_t heads, int32_t width)
      : n_heads(heads),
        lanes((heads + 15) / 16 * 16),
        n_blocks(width / kBlock),
        stride(size_t(width)),
        bytes(allocate(stride * kRows)),
        query(lanes * width, 1),
        sums(size_t(lanes * n_blocks)),
        ones(size_t(std::max(lanes, kRows) * n_blocks), 1.0f) {
    fill(bytes.get(), stride * kRows);
    for (int32_t i = 0; i < kRows; ++i) index.push_back(i);
    for (int32_t i = 0; i < lanes * width; ++i)
      sums[size_t(i / 4 / (kBlock / 4 * lanes) * lanes + i / 4 % lanes)] += query.q[size_t(i)];
  }
  GatheredRows rows() const { return {reinterpret_cast<const int8_t*>(bytes.get()), stride, index.data()}; }
};

void quad_scores(benchmark::State& state, const Kernels& k, int32_t n_heads, int32_t width) {
  const Latents l(n_heads, width);
  const QuadQuery query{l.query.q.data(), l.sums.data(), l.ones.data(), l.n_blocks, Latents::kBlock, l.lanes};
  std::vector<float> x(size_t(Latents::kRows * l.lanes));
  for (auto _ : state) {
    k.add_quad_scores(query, l.rows(), l.ones.data(), size_t(l.n_blocks), Latents::kRows, x.data());
    benchmark::ClobberMemory();
  }
  rates(state, 0, double(n_heads) * width * Latents::kRows);
  std::fill(x.begin(), x.end(), 0.0f);
  k.add_quad_scores(query, l.rows(), l.ones.data(), size_t(l.n_blocks), Latents::kRows, x.data());
  state.counters["sum"] = checksum(x);
}

// With what goes before: weights rounded and rows interleaved.
void quad_sums(benchmark::State& state, const Kernels& k, int32_t n_heads) {
  const Latents l(n_heads, Latents::kBlock);
  const std::vector<float> weights(size_t(Latents::kRows * l.lanes), 0.4f), scales(Latents::kRows, 127.0f);
  std::vector<float> sums(size_t(n_heads * Latents::kBlock)), steps(static_cast<size_t>(l.lanes));
  std::vector<uint8_t> p(Latents::kRows / 4 * kQuadBytes * size_t(l.lanes));
  std::vector<uint8_t> values(Latents::kRows / 4 * kQuadBytes * Latents::kBlock);
  for (auto _ : state) {
    k.round_weights(weights.data(), scales.data(), 1, Latents::kRows, l.lanes, p.data(), steps.data());
    k.interleave_rows(l.rows(), Latents::kRows, values.data(), Latents::kBlock);
    k.blend_quad_sums({p.data(), steps.data(), l.lanes}, n_heads, values.data(), Latents::kBlock, Latents::kRows,
                      l.ones.data(), l.ones.data(), sums.data(), Latents::kBlock);
    benchmark::ClobberMemory();
  }
  rates(state, 0, double(n_heads) * Latents::kBlock * Latents::kRows);
}

// The kernels of grouped attention for 12 heads, 64 wide, and 64 rows: of 4,096 rows that lie 896 bytes apart, or of 64 that
// stay in the cache. heads_per_kv 1: each head has its own part of a row; 12: all share one.
struct HeadRows {
  static constexpr int32_t kHeads = 12, kHeadLanes = 16, kWidth = 64, kRows = 64;
  static constexpr size_t kStride = 896;
  Bytes bytes = allocate(kStride * 4096);
  std::vector<int32_t> index;  // [n_batches][kRows]
  Input input{kHeads * kWidth, 1};
  std::vector<float> weights, sums = std::vector<float>(kHeads * kWidth);
  std::vector<int32_t> dots = std::vector<int32_t>(kHeadLanes * kRows);

  explicit HeadRows(int32_t n_rows) : weights(kHeadLanes * kRows, 0.125f) {
    fill(bytes.get(), kStride * 4096);
    for (int32_t i = 0; i < n_rows; ++i) index.push_back(n_rows < 4096 ? i : i * 2741 % 4096);  // odd: all of them
  }
  GatheredRows batch(size_t i) const {
    return {reinterpret_cast<const int8_t*>(bytes.get()), kStride, index.data() + i * kRows % index.size()};
  }
};

void head_dots(benchmark::State& state, const Kernels& k, int32_t heads_per_kv, int32_t n_rows) {
  HeadRows rows(n_rows);
  size_t i = 0;
  for (auto _ : state) {
    k.head_dots_i8(rows.input.q.data(), HeadRows::kHeads, heads_per_kv, HeadRows::kWidth, rows.batch(i++),
                   HeadRows::kRows, rows.dots.data(), HeadRows::kHeadLanes);
    benchmark::ClobberMemory();
  }
  k.head_dots_i8(rows.input.q.data(), HeadRows::kHeads, heads_per_kv, HeadRows::kWidth, rows.batch(0), HeadRows::kRows,
                 rows.dots.data(), HeadRows::kHeadLanes);
  rates(state, 0, double(HeadRows::kHeads) * HeadRows::kWidth * HeadRows::kRows);
  state.counters["sum"] = checksum(std::vector<float>(rows.dots.begin(), rows.dots.end()));
}

void head_sums(benchmark::State& state, const Kernels& k, int32_t heads_per_kv, int32_t n_rows) {
  HeadRows rows(n_rows);
  const auto run = [&](size_t i) {
    k.head_sums_i8(rows.weights.data(), HeadRows::kHeadLanes, HeadRows::kHeads, heads_per_kv, HeadRows::kWidth,
                   rows.batch(i), HeadRows::kRows, rows.sums.data(), HeadRows::kWidth);
  };
  size_t i = 0;
  for (auto _ : state) {
    run(i++);
    benchmark::ClobberMemory();
  }
  std::fill(rows.sums.begin(), rows.sums.end(), 0.0f);
  run(0);
  rates(state, 0, double(HeadRows::kHeads) * HeadRows::kWidth * HeadRows::kRows);
  state.counters["sum"] = checksum(rows.sums);
}

// 64 rows of 16 heads.
void exp_rows(benchmark::State& state, const Kernels& k) {
  const Input input(HeadRows::kHeadLanes * HeadRows::kRows, 1);
  std::vector<float> x, max(HeadRows::kHeadLanes, 3.0f), sum(HeadRows::kHeadLanes);
  for (auto _ : state) {
    x = input.x;
    sum.assign(sum.size(), 0.0f);
    k.exp_rows(x.data(), max.data(), HeadRows::kRows, HeadRows::kHeadLanes, sum.data());
    benchmark::ClobberMemory();
  }
  rates(state, 8.0 * double(x.size()), 0);
  state.counters["sum"] = checksum(x) + checksum(sum);
}

// A gate times a query, a product's result and plain numbers, 64 of each, as int8 again.
void quantize_product(benchmark::State& state, const Kernels& k) {
  const Input input(64, 1);
  std::vector<int8_t> q(64);
  float scale = 0;
  for (auto _ : state) {
    scale = k.quantize_product(input.x.data(), input.q.data(), 64, q.data());
    benchmark::DoNotOptimize(scale);
    benchmark::ClobberMemory();
  }
  state.counters["sum"] = double(scale) + checksum(std::vector<float>(q.begin(), q.end()));
}

void quantize_dots(benchmark::State& state, const Kernels& k) {
  const Input input(64, 1);
  std::vector<int8_t> q(64);
  std::vector<int32_t> dots(64);
  for (size_t i = 0; i < 64; ++i) dots[i] = 100 * input.q[i];
  float scale = 0;
  for (auto _ : state) {
    scale = k.quantize_dots(dots.data(), input.d.data(), 64, q.data());
    benchmark::DoNotOptimize(scale);
    benchmark::ClobberMemory();
  }
  state.counters["sum"] = double(scale) + checksum(std::vector<float>(q.begin(), q.end()));
}

// n numbers with a scale for each 32, or for all.
void quantize_blocks(benchmark::State& state, const Kernels& k, int32_t n) {
  const Input input(n, 1);
  std::vector<int8_t> q(static_cast<size_t>(n));
  std::vector<float> d(size_t(n) / 32);
  for (auto _ : state) {
    k.quantize_blocks(input.x.data(), n, q.data(), d.data());
    benchmark::ClobberMemory();
  }
  state.counters["sum"] = checksum(d) + checksum(std::vector<float>(q.begin(), q.end()));
}

void quantize_row(benchmark::State& state, const Kernels& k, int32_t n) {
  const Input input(n, 1);
  std::vector<int8_t> q(static_cast<size_t>(n));
  float scale = 0;
  for (auto _ : state) {
    scale = k.quantize_row(input.x.data(), n, q.data());
    benchmark::DoNotOptimize(scale);
    benchmark::ClobberMemory();
  }
  state.counters["sum"] = double(scale) + checksum(std::vector<float>(q.begin(), q.end()));
}

void spread_blocks(benchmark::State& state, const Kernels& k, int32_t n) {
  Input input(n, 1);
  for (auto _ : state) {
    k.spread_blocks(input.q.data(), input.d.data(), n, input.start.data(), input.octets.data(), input.sums.data());
    benchmark::ClobberMemory();
  }
  state.counters["sum"] = checksum(std::vector<float>(input.start.begin(), input.start.end()));
}

// One row of a matrix of 8, as floats.
void load_row(benchmark::State& state, const Kernels& k, WeightType type, int32_t cols) {
  const Bytes w = allocate(packed_bytes(type, 8, cols));
  fill(w.get(), packed_bytes(type, 8, cols));
  std::vector<float> out(static_cast<size_t>(cols));
  const auto kernel = type == WeightType::q4    ? k.row_q4
                      : type == WeightType::q8  ? k.row_q8
                      : type == WeightType::q4m ? k.row_q4m
                                                : k.row_f32;
  for (auto _ : state) {
    kernel(w.get(), cols / 32, 5, cols, out.data());
    benchmark::ClobberMemory();
  }
  state.counters["sum"] = checksum(out);
}

// y = W^T x, as the absorption of queries uses it: with x rounded, or in float.
void transposed(benchmark::State& state, const Kernels& k, WeightType type, bool is_rounded, int32_t rows,
                int32_t cols) {
  const size_t bytes = packed_bytes(type, rows, cols);
  const Bytes w = allocate(bytes);
  fill(w.get(), bytes);
  const Input input(rows, 1);
  std::vector<float> y(static_cast<size_t>(cols));
  const auto kernel = type == WeightType::q4   ? is_rounded ? k.transposed_q4_i8 : k.transposed_q4
                      : type == WeightType::q8 ? is_rounded ? k.transposed_q8_i8 : k.transposed_q8
                      : is_rounded             ? k.transposed_q4m_i8
                                               : k.transposed_q4m;
  for (auto _ : state) {
    kernel({w.get(), cols / 32, 0, rows / 8}, input.x.data(), y.data());
    benchmark::ClobberMemory();
  }
  rates(state, double(bytes), double(rows) * cols);
  state.counters["sum"] = checksum(y);
}

// A float kernel over n elements: GB/s of its inputs and outputs.
template <typename F>
void float_kernel(const std::string& name, int32_t n, int n_vectors, F f) {
  for (size_t i = 0; i < tier_count(); ++i) {
    if (!tier_at(i).usable) continue;
    const Kernels& k = *tier_at(i).kernels;
    benchmark::RegisterBenchmark(("float/" + name + "/" + k.name + "/" + std::to_string(n)).c_str(),
                                 [=, &k](benchmark::State& state) {
                                   const Input input(n, 2);
                                   std::vector<float> out = input.x;
                                   for (auto _ : state) {
                                     f(k, input.x.data(), input.x.data() + n, n, out.data());
                                     benchmark::ClobberMemory();
                                   }
                                   rates(state, 4.0 * n * n_vectors, 0);
                                   state.counters["sum"] = checksum(out);
                                 });
  }
}

#ifdef PITH_ONEDNN
// y [n, rows] = x [n, cols] W^T with 7-bit data (8 bits saturate on AVX2), no scales: less work than ours does.
void onednn_u8s8(benchmark::State& state, int64_t rows, int64_t cols, int64_t n) {
  std::vector<uint8_t> x(size_t(n * cols), 3);
  std::vector<int8_t> w(size_t(rows * cols), 5);
  std::vector<int32_t> y(size_t(n * rows));
  const int32_t zero = 0;
  for (auto _ : state)
    dnnl_gemm_u8s8s32('N', 'T', 'F', n, rows, cols, 1.0f, x.data(), cols, 0, w.data(), cols, 0, 0.0f, y.data(), rows,
                      &zero);
  rates(state, n == 1 ? double(rows * cols) : 0, double(rows * cols * n));
}

void onednn_f32(benchmark::State& state, int64_t rows, int64_t cols, int64_t n) {
  std::vector<float> x(size_t(n * cols), 3), w(size_t(rows * cols), 5), y(size_t(n * rows));
  for (auto _ : state) dnnl_sgemm('N', 'T', n, rows, cols, 1.0f, x.data(), cols, w.data(), cols, 0.0f, y.data(), rows);
  rates(state, n == 1 ? 4.0 * double(rows * cols) : 0, double(rows * cols * n));
}
#endif

template <typename... Arguments>
void add(const std::string& name, Arguments... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), arguments...);
}

void add_all() {
  struct Shape {
    int32_t rows, cols;
  };
  const Shape shapes[] = {{192, 192}, {1536, 64}, {768, 768}, {2048, 768}, {768, 2048}, {2048, 2048}, {5632, 2048}};
  for (const int threads : {1, 2}) {
    const std::string t = "/threads:" + std::to_string(threads);
    for (const int streams : {1, 2, 4})
      add("memory/read/streams:" + std::to_string(streams) + t, read_memory, streams, threads);
  }
  for (size_t i = 0; i < tier_count(); ++i) {
    if (!tier_at(i).usable) continue;
    const Kernels& k = *tier_at(i).kernels;
    for (const int32_t rows : {32, 64}) {
      for (const int32_t n : {1, 4, 8, 16, 32, 64, 128})
        add(std::string("columns/i32/") + k.name + "/" + std::to_string(rows) + "x64x" + std::to_string(n),
            [=, &k](benchmark::State& state) { integer_product(state, k, rows, n); });
    }
    for (const int32_t per_kv : {1, 12}) {
      for (const int32_t n_rows : {64, 4096}) {
        const std::string name = std::string("/") + k.name + (per_kv == 1 ? "/own" : "/shared") + "/12x64x64" +
                                 (n_rows == 64 ? "" : "of4096");
        add("heads/dots" + name, [=, &k](benchmark::State& state) { head_dots(state, k, per_kv, n_rows); });
        add("heads/sums" + name, [=, &k](benchmark::State& state) { head_sums(state, k, per_kv, n_rows); });
      }
    }
    for (const int32_t n_heads : {12, 16, 40}) {
      const std::string name = std::string(k.name) + "/" + std::to_string(n_heads) + "x";
      for (const int32_t width : {256, 512})
        add("latents/scores/" + name + std::to_string(width) + "x64",
            [=, &k](benchmark::State& state) { quad_scores(state, k, n_heads, width); });
      add("latents/sums/" + name + "32x64", [=, &k](benchmark::State& state) { quad_sums(state, k, n_heads); });
    }
    for (const int32_t width : {32, 64, 128}) {
      for (const int32_t n : {64, 128})
        add(std::string("heads/quad_sums/") + k.name + "/64x" + std::to_string(width) + "x" + std::to_string(n),
            [=, &k](benchmark::State& state) { query_sums(state, k, width, n); });
    }
    for (const int32_t n : {64, 128})
      add(std::string("heads/weigh_rows/") + k.name + "/64x" + std::to_string(n),
          [=, &k](benchmark::State& state) { weigh_rows(state, k, n); });
    add(std::string("heads/exp_rows/") + k.name + "/16x64", [&k](benchmark::State& state) { exp_rows(state, k); });
    add(std::string("quantize/product/") + k.name + "/64",
        [&k](benchmark::State& state) { quantize_product(state, k); });
    add(std::string("quantize/dots/") + k.name + "/64", [&k](benchmark::State& state) { quantize_dots(state, k); });
    for (const int32_t n : {64, 256, 768}) {
      const std::string size = std::string("/") + k.name + "/" + std::to_string(n);
      add("quantize/blocks" + size, [=, &k](benchmark::State& state) { quantize_blocks(state, k, n); });
      add("quantize/row" + size, [=, &k](benchmark::State& state) { quantize_row(state, k, n); });
      add("quantize/spread" + size, [=, &k](benchmark::State& state) { spread_blocks(state, k, n); });
    }
    for (const WeightType type : {WeightType::q4, WeightType::q4m, WeightType::q8, WeightType::f32})
      add(std::string("rows/") + weight_type_name(type) + "/" + k.name + "/768",
          [=, &k](benchmark::State& state) { load_row(state, k, type, 768); });
    for (const WeightType type : {WeightType::q4, WeightType::q4m, WeightType::q8, WeightType::f32}) {
      const std::string kind = weight_type_name(type) + std::string("/") + k.name + "/";
      for (const int32_t cols : {768, 2048, 4096}) {
        for (const int threads : {1, 2})
          add("memory/" + kind + std::to_string(cols) + "/threads:" + std::to_string(threads),
              [=, &k](benchmark::State& s) { memory_product(s, k, type, cols, threads); });
      }
      for (const Shape s : shapes) {
        const std::string shape = std::to_string(s.rows) + "x" + std::to_string(s.cols);
        add("cache/" + kind + shape,
            [=, &k](benchmark::State& state) { cache_product(state, k, type, s.rows, s.cols, 1); });
        for (const bool is_rounded : {false, true}) {
          if (type == WeightType::f32 || s.rows < 768) continue;
          add("transposed/" + kind + (is_rounded ? "i8/" : "") + shape,
              [=, &k](benchmark::State& state) { transposed(state, k, type, is_rounded, s.rows, s.cols); });
        }
        for (const int32_t n : {2, 4, 8, 12, 16, 64, 512}) {
          if (type == WeightType::f32 || s.rows < 768) continue;
          add("columns/" + kind + shape + "x" + std::to_string(n),
              [=, &k](benchmark::State& state) { cache_product(state, k, type, s.rows, s.cols, n); });
        }
      }
    }
  }
  for (const int32_t n : {192, 768, 2048}) {
    float_kernel("rmsnorm", n, 3, [](const Kernels& k, const float* x, const float* y, int32_t m, float* out) {
      k.rmsnorm(x, y, 1e-6f, m, out);
    });
    float_kernel("layernorm", n, 3, [](const Kernels& k, const float* x, const float* y, int32_t m, float* out) {
      k.layernorm(x, y, y, 1e-6f, m, out);
    });
    float_kernel("silu_multiply", n, 3, [](const Kernels& k, const float* x, const float* y, int32_t m, float* out) {
      k.silu_multiply(x, y, m, out);
    });
    float_kernel("exp_sum", n, 2, [](const Kernels& k, const float* x, const float*, int32_t m, float* out) {
      std::memcpy(out, x, size_t(m) * 4);
      k.exp_sum(out, 5, m);
    });
    float_kernel("quantize_blocks", n, 1, [](const Kernels& k, const float* x, const float*, int32_t m, float* out) {
      static int8_t q[4096];
      static int8_t octets[8192];
      static int32_t start[512];
      static float sums[128];
      k.quantize_blocks(x, m, q, out);
      k.spread_blocks(q, out, m, start, octets, sums);
    });
  }
  for (size_t i = 0; i < bench::kMultiplyPeakCount; ++i) {
    const bench::MultiplyPeak& peak = bench::kMultiplyPeaks[i];
    add(std::string("peak/") + peak.name, [&peak](benchmark::State& state) {
      double macs = 0;
      for (auto _ : state) macs = double(peak.run(20000));
      rates(state, 0, macs);
    });
  }
#ifdef PITH_ONEDNN
  for (const Shape s : shapes) {
    if (s.rows < 768 || s.cols < 768) continue;
    for (const int32_t n : {1, 8, 64, 512}) {
      const std::string shape = std::to_string(s.rows) + "x" + std::to_string(s.cols) + "x" + std::to_string(n);
      add("onednn/u8s8/" + shape, onednn_u8s8, s.rows, s.cols, n);
      add("onednn/f32/" + shape, onednn_f32, s.rows, s.cols, n);
    }
  }
#endif
}

}  // namespace

int main(int argc, char** argv) {
  add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  omp_set_num_threads(1);  // oneDNN's products
  benchmark::RunSpecifiedBenchmarks();
}
