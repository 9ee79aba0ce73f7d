// The file of --prompt-cache: a session that has read a prompt, and the tokens that it has read. A state_file.h of the
// kind "PITHPRM1" with two states: the session's, and
//
//   what all states begin with (src/ground/saved_state.h), "PITHTOKS", version 1; the owner is the hash in the session's state
//   i32 tokens [n], all that the session has read
//
// A text is the same with the file and without, to the bit. So of a file whose tokens begin the prompt as much is used
// as a session that reads the whole prompt would have computed in the same way:
//   * all, where it has all of the prompt, or where every way to cut a prompt gives the same bits (MHA, --attention
//     materialise), or where its tokens are whole chunks;
//   * otherwise its whole chunks; of models with a gate `up`, whose groups have an order that going back does not restore, nothing.
// A prompt that is longer than the context is used whole or not at all.
#ifndef PITH_CLI_PROMPT_CACHE_H
#define PITH_CLI_PROMPT_CACHE_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "output_file.h"
#include "pith/pith.hpp"

namespace pith::cli {

class PromptCache {
 public:
  // "": there is none. `options`: of the session, with its capacity.
  PromptCache(std::string path, const Model& model, const pith_session_options& options);

  // Makes a session that holds nothing hold the first tokens of `prompt`, and returns how many. Of a file that is
  // damaged, of another model or prompt, or made with other options, it tells that, and the session holds nothing. A
  // file of which nothing is used will be written over: that it can be is found here.
  size_t load(std::span<const int32_t> prompt, Session* session);

  // Writes what the session has read, unless a file was used: that stays for the next prompt.
  void save(std::span<const int32_t> prompt, Session* session);

 private:
  size_t restore(std::span<const int32_t> prompt, Session* session);
  size_t usable(size_t n_held, size_t n_prompt) const;

  std::string path_;
  size_t capacity_, chunk_;  // tokens
  bool is_cut_anyhow_;       // every way to cut a prompt gives the same bits
  bool is_grouped_;          // the cache has groups, which depend on what was forgotten
  std::unique_ptr<OutputFile> file_;
};

}  // namespace pith::cli

#endif
