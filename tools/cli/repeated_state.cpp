#include "repeated_state.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "session/session_state.h"

namespace pith::cli {
namespace {

// rows [n, row_bytes], as often as they fit into out [depth, row_bytes].
void repeat_rows(const uint8_t* rows, uint64_t n, uint64_t row_bytes, uint64_t depth, uint8_t* out) {
  for (uint64_t done = 0; done < depth; done += n)
    std::memcpy(out + done * row_bytes, rows, size_t(std::min(n, depth - done) * row_bytes));
}

}  // namespace

std::vector<uint8_t> repeated_state(const Model& model, std::span<const uint8_t> state, uint64_t depth) {
  const pith_model_info info = model.info();
  internal::SessionStateHeader h;
  if (info.gate_kind == PITH_GATE_UP)
    throw std::runtime_error("option --fill: a gated model's cache is grouped by token ids, and takes a prompt alone");
  if (state.size() < sizeof h) throw std::runtime_error("state: not of a session");
  std::memcpy(&h, state.data(), sizeof h);
  if (h.saved.version != internal::kSessionState.version || h.position == 0 ||
      h.cache_bytes % (info.n_layers * h.position) != 0 || h.cache_bytes > state.size() - sizeof h)
    throw std::runtime_error("state: not of a session that holds tokens");

  const uint64_t n = h.position, row_bytes = h.cache_bytes / (info.n_layers * n);
  const uint8_t* rows = state.data() + sizeof h;
  const std::span<const uint8_t> logits = state.subspan(sizeof h + size_t(h.cache_bytes));
  h.position = depth;
  h.cache_bytes = info.n_layers * depth * row_bytes;
  std::vector<uint8_t> out(sizeof h + size_t(h.cache_bytes) + logits.size());
  for (uint64_t layer = 0; layer < info.n_layers; ++layer)
    repeat_rows(rows + layer * n * row_bytes, n, row_bytes, depth, out.data() + sizeof h + layer * depth * row_bytes);
  std::copy(logits.begin(), logits.end(), out.end() - ptrdiff_t(logits.size()));
  std::memcpy(out.data(), &h, sizeof h);
  internal::seal_state(internal::kSessionState, h.saved.owner, out.data(), out.size());
  return out;
}

}  // namespace pith::cli
