// What generic/unpacked_products.h asks of vectors of one column. A tier includes this file, in its anonymous namespace, behind its
// Scales. No include guard: one inclusion per tier.

constexpr int kVectorColumns = 1;
using ColumnScales = float;

PITH_INLINE ColumnScales load_column_scales(const float* d, size_t) { return *d; }
PITH_INLINE void store_scales(const Scales& scales, float* out) { store_rows(scales, out); }
