// What the float kernels of a NEON tier stand on. Included in the tier's anonymous namespace. No include guard: one inclusion per
// tier.

using Batch = xsimd::batch<float, xsimd::neon64>;
using Batch8 = Batch;
Batch fused(Batch a, Batch b, Batch c) { return vfmaq_f32(c, a, b); }
Batch quotient(Batch a, Batch b) { return vdivq_f32(a, b); }
