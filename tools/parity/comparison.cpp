#include "comparison.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include <fmt/core.h>

namespace pith::parity {
namespace {

// Softmax's logarithm. [V]
std::vector<double> log_probabilities(const double* logits, size_t n) {
  const double largest = *std::max_element(logits, logits + n);
  double total = 0;
  for (size_t i = 0; i < n; ++i) total += std::exp(logits[i] - largest);
  std::vector<double> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = logits[i] - largest - std::log(total);
  return out;
}

// Ids of the n likeliest, likeliest first; the lower id on a tie.
std::vector<size_t> likeliest(const std::vector<double>& p, size_t n) {
  std::vector<size_t> ids(p.size());
  std::iota(ids.begin(), ids.end(), size_t(0));
  n = std::min(n, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + ptrdiff_t(n), ids.end(),
                    [&](size_t a, size_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; });
  ids.resize(n);
  return ids;
}

// What is not finite is infinitely far off: no bound may take it for near.
double ratio(double error, double size) {
  if (!std::isfinite(error)) return INFINITY;
  return error == 0 ? 0 : size == 0 ? INFINITY : error / size;
}

TensorError compare(const std::string& name, const TraceTensor& a, const TraceTensor& b) {
  TensorError e;
  e.name = name;
  const size_t n_tokens = size_t(b.shape[0]), width = b.row_width();
  double error_total = 0, a_total = 0, b_total = 0, product = 0;
  for (size_t t = 0; t < n_tokens; ++t) {
    double error = 0, size = 0;
    for (size_t i = 0; i < width; ++i) {
      const double x = a.row(t)[i], y = b.row(t)[i], difference = std::fabs(x - y);
      e.max_absolute = std::max(e.max_absolute, difference);
      e.mean_absolute += difference;
      error += difference * difference;
      size += y * y;
      a_total += x * x;
      product += x * y;
    }
    error_total += error;
    b_total += size;
    const double relative = std::sqrt(ratio(error, size));
    e.mean_relative += relative / double(n_tokens);
    if (relative <= e.max_relative) continue;
    e.max_relative = relative;
    e.worst_token = t;
  }
  e.mean_absolute /= double(n_tokens * width);
  e.relative = std::sqrt(ratio(error_total, b_total));
  e.cosine = a_total == 0 && b_total == 0 ? 1 : std::min(1.0, product / std::sqrt(a_total * b_total));
  return e;
}

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dim : shape) text += (text.empty() ? "" : " x ") + std::to_string(dim);
  return text;
}

}  // namespace

std::vector<TensorError> compare_tensors(const ForwardTrace& a, const ForwardTrace& b) {
  if (a.tokens != b.tokens) throw std::runtime_error("the traces are of different tokens");
  std::vector<TensorError> errors;
  for (const std::string& name : names_in_order(b.n_layers())) {
    const TraceTensor *x = a.find(name), *y = b.find(name);
    if (x == nullptr || y == nullptr) continue;
    if (x->shape != y->shape)
      throw std::runtime_error(fmt::format("tensor {}: {} here, {} in the trace: another model", name,
                                           text_of(x->shape), text_of(y->shape)));
    errors.push_back(compare(name, *x, *y));
  }
  if (errors.empty()) throw std::runtime_error("the traces have no tensor in common");
  return errors;
}

LogitsError compare_logits(const ForwardTrace& a, const ForwardTrace& b) {
  const TraceTensor &x = *a.find("logits"), &y = *b.find("logits");
  const size_t n_tokens = a.tokens.size(), vocab = x.row_width();
  LogitsError e;
  double nats_a = 0, nats_b = 0;
  e.top1 = e.top5 = 0;
  for (size_t t = 0; t < n_tokens; ++t) {
    const std::vector<double> p = log_probabilities(x.row(t), vocab), q = log_probabilities(y.row(t), vocab);
    double kl = 0;
    for (size_t i = 0; i < vocab; ++i) kl += std::exp(q[i]) * (q[i] - p[i]);
    e.kl.push_back(kl);
    const std::vector<size_t> best_a = likeliest(p, 5), best_b = likeliest(q, 5);
    size_t common = 0;
    for (const size_t id : best_a) common += size_t(std::count(best_b.begin(), best_b.end(), id));
    e.top1 += double(best_a[0] == best_b[0]) / double(n_tokens);
    e.top5 += double(common) / double(best_a.size()) / double(n_tokens);
    if (best_a[0] != best_b[0] && e.first_other_token < 0) e.first_other_token = int64_t(t);
    if (t + 1 == n_tokens) continue;
    nats_a -= p[size_t(a.tokens[t + 1])];
    nats_b -= q[size_t(a.tokens[t + 1])];
  }
  const double n_next = double(std::max<size_t>(n_tokens - 1, 1));
  e.perplexity = std::exp(nats_a / n_next);
  e.perplexity_of_trace = std::exp(nats_b / n_next);
  for (const double kl : e.kl) {
    e.kl_mean += kl / double(n_tokens);
    e.kl_max = std::max(e.kl_max, kl);
  }
  return e;
}

const TensorError* find_error(const std::vector<TensorError>& errors, const std::string& name) {
  const auto found = std::find_if(errors.begin(), errors.end(), [&](const TensorError& e) { return e.name == name; });
  return found == errors.end() ? nullptr : &*found;
}

Verdict judge(const std::vector<TensorError>& errors, const std::vector<std::vector<TensorError>>& parts,
              double float_bound, double margin) {
  Verdict verdict;
  for (const TensorError& e : errors) {
    double squares = 0;
    for (const std::vector<TensorError>& part : parts) {
      const TensorError* explained = find_error(part, e.name);
      if (explained != nullptr) squares += explained->relative * explained->relative;
    }
    const double allowed = std::min(float_bound + margin * std::sqrt(squares), kMostExplained);
    const double error = parts.empty() ? e.max_relative : e.relative;
    if (!(error <= allowed) && verdict.first < 0) verdict.first = int64_t(verdict.allowed.size());
    verdict.allowed.push_back(allowed);
  }
  return verdict;
}

}  // namespace pith::parity
