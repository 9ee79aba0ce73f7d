// The report of a comparison: what it names, and that the page opens offline.
#include "report.h"

#include <doctest/doctest.h>

#include <string>

using namespace pith::parity;

namespace {

ForwardTrace trace_of(double k) {
  ForwardTrace trace;
  trace.tokens = {1, 0, 2};
  for (const char* const name : {"embedding", "layer.0.k", "layer.1.k", "logits"}) {
    TraceTensor& t = trace.make(name, {3});
    for (size_t i = 0; i < t.x.size(); ++i) t.x[i] = 0.5 + double(i % 5);
  }
  trace.tensors["layer.1.k"].x[4] += k;
  return trace;
}

Report report_of(double k) {
  Report report;
  const ForwardTrace a = trace_of(k), b = trace_of(0);
  report.model = "<script>";
  report.n_tokens = 3;
  report.errors = compare_tensors(a, b);
  report.verdict = judge(report.errors, {}, 1e-5, 3);
  report.logits = compare_logits(a, b);
  return report;
}

}  // namespace

TEST_CASE("the page needs nothing beside itself, and names stay text") {
  const std::string page = html_of(report_of(3));
  CHECK(page.find("<svg") != std::string::npos);
  CHECK(page.find("layer 1, k: the first step that quantisation does not explain") != std::string::npos);
  for (const char* const outside : {"<script", "http:", "https:", "<link", "src=", "@import", "url("})
    CHECK_MESSAGE(page.find(outside) == std::string::npos, std::string(outside));
}

TEST_CASE("the table and the document name the first step that is not explained, or none") {
  CHECK(text_of(report_of(3)).find("<- first unexplained") != std::string::npos);
  CHECK(json_of(report_of(3))["first_unexplained"] == "layer.1.k");
  CHECK(text_of(report_of(0)).find("<- first unexplained") == std::string::npos);
  CHECK(json_of(report_of(0))["first_unexplained"].is_null());
}
