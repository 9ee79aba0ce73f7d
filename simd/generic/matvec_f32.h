// The float32 matrix-vector product over batches of xsimd. A tier includes this file, in its anonymous namespace, after naming
// its `Batch8` of at most 8 floats. No include guard: one inclusion per tier.

// Panels [p, p + n_panels): their chains of fma hide each other's latency; each row still adds k in order.
template <size_t n_panels>
void matvec_f32_panels(const float* panel, size_t stride, const float* x, int32_t cols, float* y) {
  constexpr size_t kParts8 = kPanelRows / Batch8::size;
  Batch8 acc[n_panels][kParts8];
  for (auto& row : acc) {
    for (Batch8& part : row) part = Batch8(0.0f);
  }
  for (int32_t k = 0; k < cols; ++k, panel += kPanelRows) {
    const Batch8 xk(x[k]);
    for (size_t i = 0; i < n_panels; ++i) {
      for (size_t j = 0; j < kParts8; ++j)
        acc[i][j] = fused(Batch8::load_unaligned(panel + stride * i + Batch8::size * j), xk, acc[i][j]);
    }
  }
  for (size_t i = 0; i < n_panels; ++i) {
    for (size_t j = 0; j < kParts8; ++j) acc[i][j].store_unaligned(y + kPanelRows * i + Batch8::size * j);
  }
}

void matvec_f32_f32(PanelRange w, Activation a, float* y) {
  const int32_t cols = w.blocks * kBlockCols;
  const float* weights = reinterpret_cast<const float*>(w.w);
  const size_t stride = size_t(cols) * kPanelRows;
  int32_t p = w.first;
  for (; p + 4 <= w.last; p += 4)
    matvec_f32_panels<4>(weights + stride * size_t(p), stride, a.x, cols, y + p * kPanelRows);
  for (; p < w.last; ++p) matvec_f32_panels<1>(weights + stride * size_t(p), stride, a.x, cols, y + p * kPanelRows);
}
