// The report of one comparison, as a table, as JSON, and as a page that needs nothing beside itself.
#ifndef PITH_PARITY_REPORT_H
#define PITH_PARITY_REPORT_H

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comparison.h"
#include "document.h"

namespace pith::parity {

// One way to run the model, and how far it is from the trace.
struct Contribution {
  std::string what;               // "weights int4"
  double logits_relative = 0;     // of all tokens together
  double attention_relative = 0;  // of the last layer's attn_out
  LogitsError logits;
};

struct Report {
  std::string model, mode, tier;                  // as shown
  std::map<std::string, std::string> provenance;  // of the trace
  size_t n_tokens = 0;
  std::vector<TensorError> errors;
  Verdict verdict;
  std::optional<LogitsError> logits;
  std::vector<Contribution> contributions;  // empty unless asked for
};

// "layer 3, k: token 7 ...", or that every step is explained.
std::string sentence(const Report& report);

std::string text_of(const Report& report);
json::Document json_of(const Report& report);
std::string html_of(const Report& report);

}  // namespace pith::parity

#endif
