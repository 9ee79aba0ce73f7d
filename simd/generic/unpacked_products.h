// The products of packed weights with many columns: a few panels are unpacked, a range of their blocks at a time, into the form
// that multiplies fastest, and stay in the first cache while all columns pass. A tier includes this file, in its anonymous
// namespace, behind generic/integer_products.h and after defining
//   int kTilePanels, kTileColumns    panels and columns that are multiplied at once; columns: 2, 4 or 8
//   VectorTotals, VectorRows    int32 and float, for kVectorRows rows in natural order and kVectorColumns columns; kVectors
//   of them for all rows of a tile
//   struct UnpackedBlock    one block of kTilePanels panels, with float scales[kTilePanels * 8 * kVectorColumns]
//   template <WeightType type> void unpack_block(const uint8_t* block, int panel, UnpackedBlock*)    the weights of one panel
//   void store_scales(Scales, float*)    those of a panel, as accumulate reads them
//   VectorRows load_rows(const float* y, size_t y_stride); void store_rows(VectorRows, float* y, size_t y_stride)
//   ColumnScales, and ColumnScales load_column_scales(const float* d, size_t stride)    of kVectorColumns columns
//   VectorRows accumulate(VectorTotals, const float* scales, ColumnScales, VectorRows acc)    fma(float(total), scale * d, acc)
//   template <WeightType type, int n> void dot_unpacked(const UnpackedBlock&, const Columns&,
//   VectorTotals (&total)[n / kVectorColumns][kVectors])    as dot_q4 and dot_q8
//   int32_t kUnpackedFrom    with how many columns this begins to pay
// Where vectors are of one column, generic/single_columns.h has what follows from that.
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
      store_scales(load_scales(panel + place.d), out[b].scales + kPanelRows * kVectorColumns * i);
    }
  }
}

// n unpacked blocks times n_columns columns: a, at the first of these blocks, of columns that are `blocks` blocks long. The sums
// go on from y, unless it is the first range of blocks.
template <WeightType type, int n_columns>
void multiply_tile(const UnpackedBlock* w, int32_t n, Activation a, int32_t blocks, bool is_first, float* y,
                   size_t y_stride) {
  constexpr int kGroups = n_columns / kVectorColumns;
  VectorRows acc[kGroups][kVectors];
  const auto rows = [=](size_t j, size_t i) { return y + y_stride * (kVectorColumns * j) + kVectorRows * i; };
  PITH_UNROLL
  for (size_t j = 0; j < kGroups; ++j) {
    PITH_UNROLL
    for (size_t i = 0; i < kVectors; ++i) acc[j][i] = is_first ? VectorRows{} : load_rows(rows(j, i), y_stride);
  }
  for (int32_t b = 0; b < n; ++b) {
    VectorTotals total[kGroups][kVectors];
    const Columns columns{a.q + b * kBlockCols, a.start + 4 * b, nullptr, size_t(blocks) * kBlockCols, size_t(blocks)};
    dot_unpacked<type, n_columns>(w[b], columns, total);
    PITH_UNROLL
    for (size_t j = 0; j < kGroups; ++j) {
      const ColumnScales d =
          load_column_scales(a.d + size_t(blocks) * (kVectorColumns * j) + size_t(b), size_t(blocks));
      PITH_UNROLL
      for (size_t i = 0; i < kVectors; ++i)
        acc[j][i] = accumulate(total[j][i], w[b].scales + kVectorRows * kVectorColumns * i, d, acc[j][i]);
    }
  }
  PITH_UNROLL
  for (size_t j = 0; j < kGroups; ++j) {
    PITH_UNROLL
    for (size_t i = 0; i < kVectors; ++i) store_rows(acc[j][i], rows(j, i), y_stride);
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
        float* rows = y + y_stride * size_t(j) + p * kPanelRows;
        if constexpr (n_columns < kVectorColumns)  // a column that is its own neighbour
          multiply_tile<type, kVectorColumns>(unpacked, n_blocks, range, 0, first == 0, rows, 0);
        else multiply_tile<type, n_columns>(unpacked, n_blocks, range, w.blocks, first == 0, rows, y_stride);
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
