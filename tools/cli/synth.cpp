// pith synth: a packed model of random weights, for benchmarks.
#include "synth.h"

#include <fmt/core.h>

#include "commands.h"
#include "opened_check.h"
#include "output_file.h"
#include "pack.h"
#include "standard_streams.h"

namespace pith::cli {

using namespace quantize;

std::string synth_shapes() { return synth_shape_list(); }

void synth(const SynthOptions& options) {
  SynthSpec spec = synth_spec(options.shape);
  spec.seed = options.seed;
  PackOptions pack = pack_options(options.type);
  pack.progress = progress_bar("writing");
  OutputFile output(options.output);
  synth_packed(spec, pack, into(&output));
  const std::string report = fmt::format("{}: {}, {}\n", options.output, spec.name, options.type);
  output.commit([](const std::string& path) { (void)check_model_file(path); });
  tell_text(report);
}

}  // namespace pith::cli
