// A file of saved states: which kind it is, how long each of them is, and the states, each with the checks of its own.
//
//   8 bytes: kind | u64 bytes of every state | the states
#ifndef PITH_CLI_STATE_FILE_H
#define PITH_CLI_STATE_FILE_H

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "output_file.h"
#include "pith/pith.hpp"

namespace pith::cli {

struct StateFileKind {
  char letters[9];
  size_t n_states;
  const char* writer;  // for sentences: "--save-state or /save"
};

class StateFile {
 public:
  // Throws std::runtime_error unless it is a whole file of this kind. What the states hold is not looked at.
  StateFile(const std::string& path, const StateFileKind& kind);
  std::span<const uint8_t> operator[](size_t index) const { return states_[index]; }

 private:
  MappedFile file_;
  std::vector<std::span<const uint8_t>> states_;
};

// Writes the file whole or not at all.
void write_states(OutputFile* file, const StateFileKind& kind, const std::vector<std::vector<uint8_t>>& states);

}  // namespace pith::cli

#endif
