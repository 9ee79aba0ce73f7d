// The file of --save-state and --load-state, and of /save and /load in a chat: a session, its sampler and its text stream, each with the checks of its own.
//
//   "PITHRUN1" | u64 bytes of the session's state | u64 of the sampler's | u64 of the stream's | the three states
#ifndef PITH_CLI_RUN_STATE_H
#define PITH_CLI_RUN_STATE_H

#include <string>

#include "output_file.h"
#include "pith/pith.hpp"

namespace pith::cli {

// Makes the three what they were when the file was written. What it refuses leaves objects of no use.
void load_run_state(const std::string& path, Session* session, Sampler* sampler, TextStream* stream);

// Writes the file whole or not at all.
void save_run_state(OutputFile* file, Session* session, const Sampler& sampler, const TextStream& stream);

}  // namespace pith::cli

#endif
