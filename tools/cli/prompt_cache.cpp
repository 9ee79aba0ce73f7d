#include "prompt_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "ground/saved_state.h"
#include "standard_streams.h"
#include "state_file.h"

namespace pith::cli {
namespace {

constexpr StateFileKind kKind{"PITHPRM1", 2, "--prompt-cache"};
constexpr internal::SavedKind kTokens{"PITHTOKS", 1, "prompt", "of another session than the file's"};

// The hash that the session's state begins with; 0 of what is too short to be one.
uint64_t hash_of(std::span<const uint8_t> session_state) {
  internal::SavedHeader header{};
  if (session_state.size() >= sizeof header) std::memcpy(&header, session_state.data(), sizeof header);
  return header.hash;
}

std::vector<uint8_t> tokens_state(std::span<const int32_t> tokens, uint64_t owner) {
  std::vector<uint8_t> out(sizeof(internal::SavedHeader) + tokens.size_bytes());
  std::memcpy(out.data() + sizeof(internal::SavedHeader), tokens.data(), tokens.size_bytes());
  internal::seal_state(kTokens, owner, out.data(), out.size());
  return out;
}

std::vector<int32_t> tokens_of(std::span<const uint8_t> state, uint64_t owner) {
  pith_error error;
  const pith_status status =
      internal::check_state(kTokens, owner, state.data(), state.size(), sizeof(internal::SavedHeader), &error);
  if (status != PITH_OK) throw std::runtime_error(error.message);
  const std::span<const uint8_t> bytes = state.subspan(sizeof(internal::SavedHeader));
  std::vector<int32_t> out(bytes.size() / sizeof(int32_t));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(int32_t));
  return out;
}

}  // namespace

PromptCache::PromptCache(std::string path, const Model& model, const pith_session_options& options)
    : path_(std::move(path)), capacity_(options.capacity) {
  const size_t wanted = options.chunk != 0 ? options.chunk : 512;  // the default of pith.h
  chunk_ = std::min<size_t>(wanted, options.capacity - std::min(options.n_keep, options.capacity - 1));
  const pith_model_info info = model.info();
  is_cut_anyhow_ = info.attention_kind == PITH_ATTENTION_KIND_MHA || options.attention == PITH_ATTENTION_MATERIALISE;
  is_grouped_ = info.gate_kind == PITH_GATE_UP;
}

size_t PromptCache::usable(size_t n_held, size_t n_prompt) const {
  if (n_held == n_prompt) return n_held;
  if (n_prompt > capacity_) return 0;
  if (is_cut_anyhow_ || n_held % chunk_ == 0) return n_held;
  return is_grouped_ ? 0 : n_held - n_held % chunk_;
}

size_t PromptCache::restore(std::span<const int32_t> prompt, Session* session) {
  const StateFile file(path_, kKind);
  const std::vector<int32_t> held = tokens_of(file[1], hash_of(file[0]));
  if (held.empty() || held.size() > prompt.size() || !std::equal(held.begin(), held.end(), prompt.begin()))
    throw std::runtime_error(fmt::format("its {} tokens do not begin this prompt", held.size()));
  session->restore(file[0]);
  if (session->position() != held.size()) throw std::runtime_error("state: it has not as many tokens as its file says");
  const size_t n = usable(held.size(), prompt.size());
  if (n == 0)
    throw std::runtime_error(fmt::format(
        "its {} tokens begin this prompt, but going on from them would not give the same bits", held.size()));
  session->rewind(n);
  return n;
}

size_t PromptCache::load(std::span<const int32_t> prompt, Session* session) {
  if (path_.empty()) return 0;
  std::error_code ignored;
  if (std::filesystem::exists(path_, ignored)) {
    try {
      return restore(prompt, session);
    } catch (const std::exception& error) {
      session->reset();
      tell("note: option --prompt-cache: file {}: {}; the prompt is read again\n", escaped(path_),
           escaped(error.what()));
    }
  }
  try {
    file_ = std::make_unique<OutputFile>(path_, Readers::owner);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("option --prompt-cache: {}", error.what()));
  }
  return 0;
}

void PromptCache::save(std::span<const int32_t> prompt, Session* session) try {
  if (file_ == nullptr) return;
  std::vector<uint8_t> state = session->save(), tokens = tokens_state(prompt, hash_of(state));
  write_states(file_.get(), kKind, {std::move(state), std::move(tokens)});
  file_.reset();
} catch (const std::exception& error) {
  throw std::runtime_error(fmt::format("option --prompt-cache: {}", error.what()));
}

}  // namespace pith::cli
