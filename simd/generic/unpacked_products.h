// The products of packed weights with many columns: a few panels are unpacked, a range of their blocks at a time, into the form
// that multiplies fastest, and stay in the first cache while all columns pass. A tier includes this file, in its anonymous
// namespace, behind generic/integer_products.h and after defining
//   int kTilePanels, kTileColumns, kIntegerTileColumns    panels and columns that are multiplied at once; columns: 4 or 8
//   struct UnpackedBlock    one block of kTilePanels panels, with float scales[kTilePanels * 8]
//   template <WeightType type> void unpack_block(const uint8_t* block, int panel, UnpackedBlock*)    the weights of one panel
//   VectorTotals, VectorRows    int32 and float, kVectorRows of them, for rows in natural order
//   VectorTotals less(VectorTotals, int32_t); void store_totals(VectorTotals, int32_t*)
//   VectorRows load_rows(const float*); void store_rows(VectorRows, float*)
//   VectorRows accumulate(VectorTotals, const float* scales, float d, VectorRows acc)    fma(float(total), scale * d, acc)
//   template <WeightType type, int n> void dot_unpacked(const UnpackedBlock&, const Columns&, VectorTotals (&total)[n][kVectors])
//   as dot_q4 and dot_q8
//   template <int n> void add_unpacked(const UnpackedBlock&, const int8_t* q, size_t cols, VectorTotals (&total)[n][kVectors])
//   as add_i8, of weights unpacked as q8
//   int32_t kUnpackedFrom, kIntegersUnpackedFrom    with how many columns this begins to pay
// No include guard: one inclusion per tier.

// What is unpacked lies on the stack, which may be small, and leaves room in a first cache of 32 KB.
constexpr int32_t kUnpackedBlocks = 28 * 1024 / int32_t(sizeof(UnpackedBlock));

constexpr int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

// Blocks [first, first + n) of kTilePanels panels.
template <WeightType type>
void unpack(const uint8_t* panel, int32_t blocks, int32_t first, int32_t n, UnpackedBlock* out) {
  for (int i = 0; i < kTilePanels; ++i, panel += panel_bytes(type, blocks)) {
    for (int32_t b = 0; b < n; ++b) {
      const BlockPlace place = block_place(first + b, blocks, Layout<type>::kBlocks, Layout<type>::kBytes);
      unpack_block<type>(panel + place.q, i, &out[b]);
      store_rows(load_scales(panel + place.d), out[b].scales + kPanelRows * i);
    }
  }
}

// n unpacked blocks times n_columns columns: a, at the first of these blocks, of columns that are `blocks` blocks long. The sums
// go on from y, unless it is the first range of blocks.
template <WeightType type, int n_columns>
void multiply_tile(const UnpackedBlock* w, int32_t n, Activation a, int32_t blocks, bool is_first, float* y,
                   size_t y_stride) {
  VectorRows acc[n_columns][kVectors];
  PITH_UNROLL
  for (size_t j = 0; j < n_columns; ++j) {
    PITH_UNROLL
    for (size_t i = 0; i < kVectors; ++i)
      acc[j][i] = is_first ? VectorRows{} : load_rows(y + y_stride * j + kVectorRows * i);
  }
  for (int32_t b = 0; b < n; ++b) {
    VectorTotals total[n_columns][kVectors];
    const Columns columns{a.q + b * kBlockCols, a.start + 4 * b, nullptr, size_t(blocks) * kBlockCols, size_t(blocks)};
    dot_unpacked<type, n_columns>(w[b], columns, total);
    PITH_UNROLL
    for (size_t j = 0; j < n_columns; ++j) {
      const float d = a.d[size_t(blocks) * j + size_t(b)];
      PITH_UNROLL
      for (size_t i = 0; i < kVectors; ++i)
        acc[j][i] = accumulate(total[j][i], w[b].scales + kVectorRows * i, d, acc[j][i]);
    }
  }
  PITH_UNROLL
  for (size_t j = 0; j < n_columns; ++j) {
    PITH_UNROLL
    for (size_t i = 0; i < kVectors; ++i) store_rows(acc[j][i], y + y_stride * j + kVectorRows * i);
  }
}

// Panels that do not fill a tile are multiplied as they are stored: the same bits. While columns pass, the panels of the next tile
// come into the second cache, some lines for each few columns.
template <WeightType type>
void matmul_unpacked(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  constexpr int kSecondCache = 2;
  constexpr size_t kLine = 64;
  UnpackedBlock unpacked[kUnpackedBlocks];
  const size_t panel_size = panel_bytes(type, w.blocks), tile_size = panel_size * kTilePanels;
  const int32_t n_sweeps = (w.blocks + kUnpackedBlocks - 1) / kUnpackedBlocks * (n / kTileColumns);
  const size_t lines_at_once = tile_size / kLine / size_t(n_sweeps) + 1;
  const uint8_t* const end = w.w + panel_size * size_t(w.last);
  int32_t p = w.first;
  for (; p + kTilePanels <= w.last; p += kTilePanels) {
    const uint8_t* panel = w.w + panel_size * size_t(p);
    const uint8_t* ahead = panel + tile_size;
    for (int32_t first = 0; first < w.blocks; first += kUnpackedBlocks) {
      const int32_t n_blocks = smaller(w.blocks - first, kUnpackedBlocks);
      unpack<type>(panel, w.blocks, first, n_blocks, unpacked);
      sweep_columns<kTileColumns>(n, [&]<int n_columns>(Width<n_columns>, int32_t j) {
        for (size_t i = 0; i < lines_at_once && ahead < end; ++i, ahead += kLine)
          __builtin_prefetch(ahead, 0, kSecondCache);
        const size_t block = size_t(w.blocks) * size_t(j) + size_t(first);
        const Activation range{a.x, a.q + block * kBlockCols, a.d + block, a.start + 4 * block, nullptr};
        multiply_tile<type, n_columns>(unpacked, n_blocks, range, w.blocks, first == 0,
                                       y + y_stride * size_t(j) + p * kPanelRows, y_stride);
      });
    }
  }
  matmul<type>({w.w, w.blocks, p, w.last}, a, n, y, y_stride);
}

template <WeightType type>
void matmul_columns(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  if (n < kUnpackedFrom) matmul<type>(w, a, n, y, y_stride);
  else matmul_unpacked<type>(w, a, n, y, y_stride);
}

// n_tiles tiles of unpacked integers times n_columns columns.
template <int n_columns>
void multiply_integers(const UnpackedBlock* w, int32_t blocks, int32_t n_tiles, const int8_t* q, int32_t* out,
                       size_t out_stride) {
  const size_t cols = size_t(blocks) * kBlockCols;
  int32_t bias[n_columns] = {};
  if constexpr (kIsBiased) column_biases<n_columns>(q, cols, bias);
  for (int32_t tile = 0; tile < n_tiles; ++tile, out += kTilePanels * kPanelRows) {
    VectorTotals total[n_columns][kVectors];
    PITH_UNROLL
    for (size_t j = 0; j < n_columns; ++j) {
      PITH_UNROLL
      for (size_t i = 0; i < kVectors; ++i) total[j][i] = VectorTotals{};
    }
    for (size_t at = 0; at < cols; at += kBlockCols, ++w) add_unpacked<n_columns>(*w, q + at, cols, total);
    PITH_UNROLL
    for (size_t j = 0; j < n_columns; ++j) {
      PITH_UNROLL
      for (size_t i = 0; i < kVectors; ++i)
        store_totals(less(total[j][i], bias[j]), out + out_stride * j + kVectorRows * i);
    }
  }
}

// As many tiles at once as there is room for. Panels that do not fill one, and wide ones, are multiplied as they are stored.
void matmul_integer_columns(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                            size_t out_stride) {
  UnpackedBlock unpacked[kUnpackedBlocks];
  const int32_t room = n < kIntegersUnpackedFrom ? 0 : kUnpackedBlocks / blocks;
  int32_t p = 0;
  for (int32_t n_tiles; (n_tiles = smaller((panels - p) / kTilePanels, room)) > 0; p += n_tiles * kTilePanels) {
    for (int32_t i = 0; i < n_tiles * kTilePanels; ++i) {
      for (int32_t b = 0; b < blocks; ++b)
        unpack_block<WeightType::q8>(w + kQ8BlockBytes * size_t((p + i) * blocks + b), i % kTilePanels,
                                     &unpacked[i / kTilePanels * blocks + b]);
    }
    sweep_columns<kIntegerTileColumns>(n, [&]<int n_columns>(Width<n_columns>, int32_t j) {
      multiply_integers<n_columns>(unpacked, blocks, n_tiles, q + size_t(blocks * kBlockCols) * size_t(j),
                                   out + out_stride * size_t(j) + p * kPanelRows, out_stride);
    });
  }
  if (p == panels) return;
  matmul_integers(w + kQ8BlockBytes * size_t(p * blocks), blocks, panels - p, q, n, out + p * kPanelRows, out_stride);
}
