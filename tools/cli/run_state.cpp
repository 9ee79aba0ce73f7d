#include "run_state.h"

#include "state_file.h"

namespace pith::cli {
namespace {

constexpr StateFileKind kKind{"PITHRUN1", 3, "--save-state or /save"};

}  // namespace

void load_run_state(const std::string& path, Session* session, Sampler* sampler, TextStream* stream) {
  const StateFile file(path, kKind);
  session->restore(file[0]);
  sampler->restore(file[1]);
  stream->restore(file[2]);
}

void save_run_state(OutputFile* file, Session* session, const Sampler& sampler, const TextStream& stream) {
  write_states(file, kKind, {session->save(), sampler.save(), stream.save()});
}

}  // namespace pith::cli
