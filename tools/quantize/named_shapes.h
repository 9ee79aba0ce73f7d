// The shapes that `pith synth` knows by name: those of the EG-MLA paper, of the built-in model, and of published models.
#ifndef PITH_QUANTIZE_NAMED_SHAPES_H
#define PITH_QUANTIZE_NAMED_SHAPES_H

#include <vector>

#include "synth.h"

namespace pith::quantize {

// With seed 1. Those of published models have their sizes and arithmetic, random weights, and a byte-level vocabulary.
std::vector<SynthSpec> named_shapes();

}  // namespace pith::quantize

#endif
