// The products of packed int4 and int8 weights with int8 activations, once for all tiers with vector instructions. A tier
// includes this file, in its anonymous namespace, after defining
//   Totals        int32 [8], one for each row of a panel, in natural order
//   Rows          float [8], likewise; Scales, float [8]
//   Rows zero_rows(); Scales load_scales(const uint8_t* halves); void store_rows(Rows, float* y)
//   Rows accumulate(Totals, Scales, float d, Rows acc)     fma(float(total), scale * d, acc)
//   void store_totals(Totals, int32_t* out)
//   template <int n> void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]), and dot_q8: one block's sums for
//   n columns; sum_k (u - 8) q and sum_k q_w q
//   template <int n> struct LaneSums    the sums of n columns with the lanes of a panel, over any number of blocks; {}: none
//   template <int n> void add_i8(const uint8_t* block, const int8_t* q, size_t cols, LaneSums<n>* sums)    adds sum_k q_w q of
//   one block, column j at q + j cols; if kIsBiased (generic/head_dots.h, whose steps it may use here), 128 sum_k q too much
//   template <int n> void join(const LaneSums<n>&, const int32_t (&bias)[n], Totals (&total)[n])    less bias, where kIsBiased
//   int kStoredColumns, kIntegerColumns    how many columns at once it has registers for, of weights and of integers: 4 or 8
//   size_t kPrefetchQ4, kPrefetchQ8    how many bytes ahead of its loads a matrix-vector product prefetches; 0: it does not
// where Columns is
//   struct Columns { const int8_t* q; const int32_t* start; const int8_t* octets; size_t cols, blocks; }
// of one block: column j has q + j cols, start + 4 j blocks and octets + 2 j cols.
// No include guard: one inclusion per tier.

template <WeightType type>
struct Layout;
template <>
struct Layout<WeightType::q4> {
  static constexpr int32_t kBlocks = kQ4Blocks;
  static constexpr size_t kBytes = kQ4BlockBytes, kAhead = kPrefetchQ4;
};
template <>
struct Layout<WeightType::q8> {
  static constexpr int32_t kBlocks = kQ8Blocks;
  static constexpr size_t kBytes = kQ8BlockBytes, kAhead = kPrefetchQ8;
};

// One panel times n_columns columns: y[column y_stride + row]. A matrix-vector product fetches what it will read into the second
// cache itself, every line of it: hardware stops at pages and falls behind a loop that also computes.
template <WeightType type, int n_columns>
PITH_INLINE void product(const uint8_t* panel, int32_t blocks, Activation a, float* y, size_t y_stride) {
  constexpr int32_t kSuper = Layout<type>::kBlocks;
  constexpr size_t kBytes = Layout<type>::kBytes, kAhead = Layout<type>::kAhead;
  constexpr int kSecondCache = 2;
  constexpr bool kPrefetches = kAhead > 0 && n_columns == 1;
  const size_t cols = size_t(blocks) * kBlockCols;
  Rows acc[n_columns];
  PITH_UNROLL
  for (Rows& rows : acc) rows = zero_rows();
  const uint8_t* q = panel;
  for (int32_t first = 0; first < blocks; first += kSuper) {
    const int32_t n = blocks - first < kSuper ? blocks - first : kSuper;
    const uint8_t* d = q + size_t(n) * kBytes;
    if (kPrefetches) __builtin_prefetch(d + kAhead, 0, kSecondCache);
    for (int32_t b = first; b < first + n; ++b, q += kBytes, d += kScaleBytes) {
      PITH_UNROLL
      for (size_t line = 0; line < kBytes && kPrefetches; line += 64)
        __builtin_prefetch(q + kAhead + line, 0, kSecondCache);
      Totals total[n_columns];
      const Columns columns{a.q + b * kBlockCols, a.start + 4 * b, a.octets + 2 * b * kBlockCols, cols, size_t(blocks)};
      if constexpr (type == WeightType::q4) dot_q4<n_columns>(q, columns, total);
      else dot_q8<n_columns>(q, columns, total);
      const Scales scales = load_scales(d);
      PITH_UNROLL
      for (size_t j = 0; j < n_columns; ++j)
        acc[j] = accumulate(total[j], scales, a.d[size_t(blocks) * j + size_t(b)], acc[j]);
    }
    q = d;  // behind this superblock's scales
  }
  PITH_UNROLL
  for (size_t j = 0; j < n_columns; ++j) store_rows(acc[j], y + y_stride * j);
}

template <WeightType type>
PITH_INLINE void matvec(PanelRange w, Activation a, float* y) {
  const size_t stride = panel_bytes(type, w.blocks);
  for (int32_t p = w.first; p < w.last; ++p)
    product<type, 1>(w.w + stride * size_t(p), w.blocks, a, y + p * kPanelRows, 0);
}

template <int n>
struct Width {};

// f(Width<n_most>, j), then with the powers of 2 below it, for columns j that make up [0, n). n_most: 2, 4 or 8.
template <int n_most, typename F>
void sweep_columns(int32_t n, const F& f) {
  int32_t j = 0;
  if constexpr (n_most >= 8) {
    for (; j + 8 <= n; j += 8) f(Width<8>(), j);
  }
  if constexpr (n_most >= 4) {
    for (; j + 4 <= n; j += 4) f(Width<4>(), j);
  }
  for (; j + 2 <= n; j += 2) f(Width<2>(), j);
  for (; j < n; ++j) f(Width<1>(), j);
}

// Column j and those behind it.
Activation columns_from(Activation a, int32_t blocks, int32_t j) {
  const size_t block = size_t(blocks) * size_t(j);
  return {a.x, a.q + block * kBlockCols, a.d + block, a.start + 4 * block, a.octets + 2 * block * kBlockCols};
}

// Column by column the same bits as matvec.
template <WeightType type>
PITH_INLINE void matmul(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  const size_t stride = panel_bytes(type, w.blocks);
  for (int32_t p = w.first; p < w.last; ++p) {
    const uint8_t* panel = w.w + stride * size_t(p);
    sweep_columns<kStoredColumns>(n, [&]<int n_columns>(Width<n_columns>, int32_t j) {
      product<type, n_columns>(panel, w.blocks, columns_from(a, w.blocks, j), y + y_stride * size_t(j) + p * kPanelRows,
                               y_stride);
    });
  }
}

// 128 times the sum of each of n columns: what a step of zeros gives.
template <int n>
PITH_INLINE void column_biases(const int8_t* q, size_t cols, int32_t (&bias)[n]) {
  constexpr size_t kStep = 32;
  const int8_t zeros[kStep] = {};
  PITH_UNROLL
  for (size_t first = 0; first < n; first += 4) {
    constexpr size_t kHeads = n < 4 ? n : 4;
    HeadSums sums[4];
    PITH_UNROLL
    for (HeadSums& sum : sums) sum = zero_sums();
    for (size_t at = 0; at < cols; at += kStep) {
      PITH_UNROLL
      for (size_t j = 0; j < kHeads; ++j) sums[j] = add_step(load_step(zeros), q + cols * (first + j) + at, sums[j]);
    }
    int32_t all[4];
    store_heads(join_heads(sums), all);
    __builtin_memcpy(bias + first, all, sizeof(int32_t) * kHeads);
  }
}

template <int n_columns>
PITH_INLINE void integer_product(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t* out,
                                 size_t out_stride) {
  const size_t cols = size_t(blocks) * kBlockCols;
  int32_t bias[n_columns] = {};
  if constexpr (kIsBiased) column_biases<n_columns>(q, cols, bias);
  for (int32_t p = 0; p < panels; ++p, out += kPanelRows) {
    LaneSums<n_columns> sums = {};
    for (size_t at = 0; at < cols; at += kBlockCols, w += kQ8BlockBytes) add_i8<n_columns>(w, q + at, cols, &sums);
    Totals total[n_columns];
    join<n_columns>(sums, bias, total);
    PITH_UNROLL
    for (size_t j = 0; j < n_columns; ++j) store_totals(total[j], out + out_stride * j);
  }
}

void matmul_integers(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                     size_t out_stride) {
  sweep_columns<kIntegerColumns>(n, [=]<int n_columns>(Width<n_columns>, int32_t j) {
    integer_product<n_columns>(w, blocks, panels, q + size_t(blocks * kBlockCols) * size_t(j),
                               out + out_stride * size_t(j), out_stride);
  });
}
