#include "embedding.h"

#include <algorithm>

namespace pith::cli {
namespace {

std::vector<double> mean(Session* session, std::span<const int32_t> tokens, size_t width, size_t chunk) {
  MeanState state(width);
  std::vector<float> rows;  // [tokens of a call, width]
  for (size_t i = 0; i < tokens.size(); i += chunk) {
    const size_t n = std::min(chunk, tokens.size() - i);
    rows.resize(n * width);
    session->eval_each(tokens.subspan(i, n), {}, rows);
    state.add(rows);
  }
  return state.take();
}

}  // namespace

std::vector<float> embedding(Session* session, std::span<const int32_t> tokens, size_t width, size_t chunk,
                             Pooling pooling, bool normalises) {
  session->reset();
  std::vector<double> values;
  if (pooling == Pooling::mean) {
    values = mean(session, tokens, width, chunk);
  } else {
    session->eval(tokens);
    values.assign(session->hidden().begin(), session->hidden().end());
  }
  if (normalises) normalise(&values);
  return {values.begin(), values.end()};
}

}  // namespace pith::cli
