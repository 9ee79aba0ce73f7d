// The products of plain integers with many columns, unpacked like weights. A tier whose vectors are of one column includes this
// file, in its anonymous namespace, behind generic/unpacked_products.h and after defining
//   int kIntegerTileColumns    columns that are multiplied at once: 2, 4 or 8
//   VectorTotals less(VectorTotals, int32_t); void store_totals(VectorTotals, int32_t*)
//   template <int n> void add_unpacked(const UnpackedBlock&, const int8_t* q, size_t cols, VectorTotals (&total)[n][kVectors])
//   as add_i8, of weights unpacked as q8
//   int32_t kIntegersUnpackedFrom    with how many columns this begins to pay
// No include guard: one inclusion per tier.

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
