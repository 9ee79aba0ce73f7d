// The file of --save-state and --load-state, and of /save and /load in a chat: a state_file.h of the kind "PITHRUN1", with the
// states of a session, its sampler and its text stream.
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
