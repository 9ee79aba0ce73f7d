#include "state_file.h"

#include <cstring>
#include <stdexcept>

#include <fmt/core.h>

namespace pith::cli {

StateFile::StateFile(const std::string& path, const StateFileKind& kind) : file_(path) {
  std::span<const uint8_t> rest(static_cast<const uint8_t*>(file_.data()), file_.size());
  const auto require = [&](bool is_whole) {
    if (!is_whole) throw std::runtime_error(fmt::format("state: not a whole file that {} wrote", kind.writer));
  };
  constexpr size_t kLetters = sizeof kind.letters - 1;
  const size_t header = kLetters + kind.n_states * sizeof(uint64_t);
  require(rest.size() >= header && std::memcmp(rest.data(), kind.letters, kLetters) == 0);
  const uint8_t* lengths = rest.data() + kLetters;
  rest = rest.subspan(header);
  for (size_t i = 0; i < kind.n_states; ++i) {
    uint64_t bytes;
    std::memcpy(&bytes, lengths + i * sizeof bytes, sizeof bytes);
    require(bytes <= rest.size());
    states_.push_back(rest.first(size_t(bytes)));
    rest = rest.subspan(size_t(bytes));
  }
  require(rest.empty());
}

void write_states(OutputFile* file, const StateFileKind& kind, const std::vector<std::vector<uint8_t>>& states) {
  file->write(kind.letters, sizeof kind.letters - 1);
  for (const std::vector<uint8_t>& state : states) {
    const uint64_t bytes = state.size();
    file->write(&bytes, sizeof bytes);
  }
  for (const std::vector<uint8_t>& state : states) file->write(state.data(), state.size());
  file->commit();
}

}  // namespace pith::cli
