#include "embedding.h"

#include <algorithm>
#include <cmath>

namespace pith::cli {
namespace {

std::vector<double> mean(Session* session, std::span<const int32_t> tokens, size_t width, size_t chunk) {
  std::vector<double> sums(width);
  std::vector<float> rows;  // [tokens of a call, width]
  for (size_t i = 0; i < tokens.size(); i += chunk) {
    const size_t n = std::min(chunk, tokens.size() - i);
    rows.resize(n * width);
    session->eval_each(tokens.subspan(i, n), {}, rows);
    for (size_t k = 0; k < rows.size(); ++k) sums[k % width] += double(rows[k]);
  }
  for (double& sum : sums) sum /= double(tokens.size());
  return sums;
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
  double squares = 0;
  for (const double value : values) squares += value * value;
  const double scale = normalises && squares > 0 ? 1 / std::sqrt(squares) : 1;
  std::vector<float> out;
  for (const double value : values) out.push_back(float(value * scale));
  return out;
}

}  // namespace pith::cli
