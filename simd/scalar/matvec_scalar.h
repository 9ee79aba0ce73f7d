// Integer matrix-vector products of the scalar tier.
#ifndef PITH_SIMD_SCALAR_MATVEC_SCALAR_H
#define PITH_SIMD_SCALAR_MATVEC_SCALAR_H

#include "kernels.h"

namespace pith::scalar {

void matvec_q4_i8(PanelRange w, Activation a, float* y);
void matvec_q8_i8(PanelRange w, Activation a, float* y);

}  // namespace pith::scalar

#endif
