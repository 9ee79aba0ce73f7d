// Trace files: what is written is read, damage is refused; and what a comparison makes of two traces.
#include "forward_trace.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "comparison.h"

using namespace pith::parity;

namespace {

ForwardTrace small_trace() {
  ForwardTrace trace;
  trace.tokens = {1, 0, 2};
  trace.provenance = {{"writer", "test"}};
  for (const auto& [name, width] : {std::pair{"embedding", 2}, {"layer.0.k", 4}, {"layer.1.k", 4}, {"logits", 3}}) {
    TraceTensor& t = trace.make(name, {width});
    for (size_t i = 0; i < t.x.size(); ++i) t.x[i] = 0.5 + double(i % 5);
  }
  return trace;
}

// The file with its header replaced.
std::string with_header(std::string header, const std::string& data) {
  const uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), sizeof n) + header + data;
}

const std::string kMetadata = R"("__metadata__":{"format":"pith-trace 1"})";
const std::string kTokens = R"("tokens":{"dtype":"I32","shape":[1],"data_offsets":[0,4]})";

}  // namespace

TEST_CASE("a trace file holds what was written") {
  const ForwardTrace trace = small_trace();
  const ForwardTrace back = parse_trace(trace_bytes(trace), "it");
  CHECK(back.tokens == trace.tokens);
  CHECK(back.provenance.at("writer") == "test");
  REQUIRE(back.tensors.size() == trace.tensors.size());
  for (const auto& [name, tensor] : trace.tensors) {
    CHECK(back.find(name)->shape == tensor.shape);
    CHECK(back.find(name)->x == tensor.x);
  }
  CHECK(back.n_layers() == 2);
}

TEST_CASE("a trace file cut at any length is refused") {
  const std::string bytes = trace_bytes(small_trace());
  CHECK_NOTHROW(parse_trace(bytes, "it"));
  for (size_t n = 0; n < bytes.size(); ++n) CHECK_THROWS_AS(parse_trace(bytes.substr(0, n), "it"), std::runtime_error);
}

TEST_CASE("a trace file that lies is refused") {
  const std::string data(16, '\0');
  CHECK_NOTHROW(parse_trace(with_header("{" + kMetadata + "," + kTokens + "}", data), "it"));
  const std::string tensors[] = {R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,400]})",
                                 R"("a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]})",
                                 R"("a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]})",  // not a row a token
                                 R"("a":{"dtype":"F16","shape":[1],"data_offsets":[4,6]})",
                                 R"("a":{"dtype":"F32","shape":[-1],"data_offsets":[4,8]})",
                                 R"("a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[4,8]})",
                                 R"("a":{"dtype":"F32","shape":[1]})",
                                 R"("a":7)",
                                 R"("tokens":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})"};
  for (const std::string& tensor : tensors) {
    CAPTURE(tensor);
    const std::string header = "{" + kMetadata + "," + kTokens + "," + tensor + "}";
    CHECK_THROWS_AS(parse_trace(with_header(header, data), "it"), std::runtime_error);
  }
  CHECK_THROWS_AS(parse_trace(with_header("{" + kTokens + "}", data), "it"), std::runtime_error);    // no format
  CHECK_THROWS_AS(parse_trace(with_header("{" + kMetadata + "}", data), "it"), std::runtime_error);  // no tokens
  CHECK_THROWS_AS(parse_trace(with_header("[1", data), "it"), std::runtime_error);
  ForwardTrace trace = small_trace();
  trace.tensors["embedding"].x[1] = NAN;
  CHECK_THROWS_AS(parse_trace(trace_bytes(trace), "it"), std::runtime_error);
  for (const char* const layer : {"layer.1024.k", "layer.2000000000.k", "layer.99999999999999999999.k"}) {
    trace = small_trace();
    trace.make(layer, {1});
    CHECK_THROWS_AS(parse_trace(trace_bytes(trace), "it"), std::runtime_error);
  }
}

TEST_CASE("errors of tensors, by hand") {
  const ForwardTrace b = small_trace();
  ForwardTrace a = b;
  a.tensors["layer.1.k"].x[4] += 3;  // token 1
  const std::vector<TensorError> errors = compare_tensors(a, b);
  REQUIRE(errors.size() == 4);
  CHECK(find_error(errors, "layer.0.k")->max_relative == 0);
  CHECK(find_error(errors, "layer.0.k")->cosine == doctest::Approx(1));
  const TensorError& e = *find_error(errors, "layer.1.k");
  const double* row = b.find("layer.1.k")->row(1);
  const double size = std::sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2] + row[3] * row[3]);
  CHECK(e.max_absolute == 3);
  CHECK(e.mean_absolute == doctest::Approx(3.0 / 12));
  CHECK(e.worst_token == 1);
  CHECK(e.max_relative == doctest::Approx(3 / size));
  CHECK(e.mean_relative == doctest::Approx(1 / size));
  CHECK(e.cosine < 1);
  const Verdict verdict = judge(errors, {}, 1e-5, 3);
  CHECK(errors[size_t(verdict.first)].name == "layer.1.k");
  CHECK(judge(errors, {errors}, 1e-5, 3).first == -1);  // explained by itself
  CHECK(judge(errors, {errors}, 1e-5, 0.5).first >= 0);
  a.tensors["embedding"].x[0] = NAN;  // is never near
  CHECK(std::isinf(compare_tensors(a, b)[0].max_relative));
  CHECK(judge(compare_tensors(a, b), {errors}, 1e-5, 3).first == 0);
  ForwardTrace other = b;
  other.tokens[0] = 2;
  CHECK_THROWS_AS(compare_tensors(other, b), std::runtime_error);
  other = b;
  other.tensors["embedding"].shape = {3, 2, 1};
  CHECK_THROWS_AS(compare_tensors(other, b), std::runtime_error);
}

TEST_CASE("errors of logits, by hand") {
  ForwardTrace a = small_trace(), b = small_trace();
  const double p[] = {0.2, 0.3, 0.5}, q[] = {0.5, 0.3, 0.2};
  for (size_t t = 0; t < 3; ++t) {
    for (size_t i = 0; i < 3; ++i) {
      b.tensors["logits"].x[3 * t + i] = std::log(p[i]) + 7;
      a.tensors["logits"].x[3 * t + i] = std::log(t == 2 ? q[i] : p[i]) - 2;
    }
  }
  const LogitsError e = compare_logits(a, b);
  const double kl = 0.2 * std::log(0.2 / 0.5) + 0.5 * std::log(0.5 / 0.2);
  CHECK(e.kl_max == doctest::Approx(kl));
  CHECK(e.kl_mean == doctest::Approx(kl / 3));
  CHECK(e.kl[0] == doctest::Approx(0));
  CHECK(e.top1 == doctest::Approx(2.0 / 3));
  CHECK(e.top5 == doctest::Approx(1));  // a vocabulary of three
  CHECK(e.first_other_token == 2);
  CHECK(e.perplexity == doctest::Approx(std::exp(-(std::log(0.2) + std::log(0.5)) / 2)));  // of tokens 0 and 2
  CHECK(e.perplexity_of_trace == doctest::Approx(e.perplexity));
}
