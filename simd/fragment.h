// What a tier's file includes before its namespaces, for its fragments (simd/README.md), which include no header.
#ifndef PITH_SIMD_FRAGMENT_H
#define PITH_SIMD_FRAGMENT_H

#include <concepts>

#include "half.h"
#include "hints.h"
#include "wide_scale.h"
#include "kernels.h"
#include "unroll.h"

#endif
