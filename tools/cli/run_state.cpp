#include "run_state.h"

#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

namespace pith::cli {
namespace {

struct FileHeader {
  char kind[8];
  uint64_t bytes[3];
};
constexpr char kKind[9] = "PITHRUN1";

}  // namespace

void load_run_state(const std::string& path, Session* session, Sampler* sampler, TextStream* stream) {
  const MappedFile file(path);
  std::span<const uint8_t> rest(static_cast<const uint8_t*>(file.data()), file.size());
  FileHeader header{};
  const auto refuse = [] { throw std::runtime_error("state: not a whole file that --save-state or /save wrote"); };
  if (rest.size() < sizeof header) refuse();
  std::memcpy(&header, rest.data(), sizeof header);
  rest = rest.subspan(sizeof header);
  if (std::memcmp(header.kind, kKind, sizeof header.kind) != 0) refuse();
  std::span<const uint8_t> states[3];
  for (int i = 0; i < 3; ++i) {
    if (header.bytes[i] > rest.size()) refuse();
    states[i] = rest.first(size_t(header.bytes[i]));
    rest = rest.subspan(size_t(header.bytes[i]));
  }
  if (!rest.empty()) refuse();
  session->restore(states[0]);
  sampler->restore(states[1]);
  stream->restore(states[2]);
}

void save_run_state(OutputFile* file, Session* session, const Sampler& sampler, const TextStream& stream) {
  const std::vector<uint8_t> states[3] = {session->save(), sampler.save(), stream.save()};
  FileHeader header{};
  std::memcpy(header.kind, kKind, sizeof header.kind);
  for (int i = 0; i < 3; ++i) header.bytes[i] = states[i].size();
  file->write(&header, sizeof header);
  for (const std::vector<uint8_t>& state : states) file->write(state.data(), state.size());
  file->commit();
}

}  // namespace pith::cli
