// pith synth: a packed model of random weights, for benchmarks.
#include "synth.h"

#include <fmt/format.h>

#include "options.h"
#include "output_file.h"
#include "pack.h"

namespace pith::cli {

using namespace quantize;
namespace {

struct SynthOptions {
  std::string shape, output, type = "q4";
  uint64_t seed = 1;
};

void synth(const SynthOptions& options) {
  SynthSpec spec = synth_spec(options.shape);
  spec.seed = options.seed;
  PackOptions pack = pack_options(options.type);
  pack.progress = progress_bar("writing");
  OutputFile output(options.output);
  synth_packed(spec, pack, [&](const void* data, size_t bytes) { output.write(data, bytes); });
  output.commit();
  fmt::print(stderr, "{}: {}, {}\n", options.output, spec.name, options.type);
}

}  // namespace

void add_synth(CLI::App* app, int*) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App* command = app->add_subcommand("synth", "Write a packed model of random weights");
  command
      ->add_option("shape", options->shape,
                   fmt::format("{}, or a JSON file of metadata keys", fmt::join(synth_shape_names(), ", ")))
      ->required();
  command->add_option("out", options->output, "Packed model to write")->required();
  command->add_option("--type", options->type, "Type of the matrices")
      ->check(CLI::IsMember({"q4", "q8", "f32"}))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the weights")->capture_default_str();
  command->callback([options] { synth(*options); });
}

}  // namespace pith::cli
