// All kernels but the integer products, for a tier that xsimd knows. A tier includes this file, in its anonymous namespace, after naming
//   Batch     the widest batch of floats, 4 to 16
//   Batch8    the widest of at most 8, for the rows of a panel
//   fused(a, b, c)    a * b + c with one rounding, of either: xsimd's own rounds twice on some instruction sets
//   Octet, widen_nibbles, widen_bytes    as generic/transposed_xsimd.h says
//   quotient(a, b)    a / b, rounded correctly: xsimd's own is approximate on ARM
//   minimum(a, b), maximum(a, b)    the second operand where one is NaN: x86's instructions do so, ARM's do not
//   widen(const T* x, Batch (&part)[16 / Batch::size])    16 of int8, int32 or fp16 (uint16) as floats
//   Batch larger_magnitude(a, b), float largest(part), void narrow(part, int8_t* q)    of generic/quantize_kernels.h's operations
// No include guard: one inclusion per tier.
#include "generic/lanes_xsimd.h"
#include "generic/matvec_f32.h"
#include "generic/transposed_xsimd.h"
// lanes first
#include "generic/float_kernels.h"
#include "generic/attention_kernels.h"
#include "generic/quantize_kernels.h"
