// pith parity: the runtime, step by step, against a trace of the same tokens: PyTorch's, the reference's, another run's.
//
// Without --trace the reference runs here, on the host or a GPU. A float MODEL is packed in memory, as --weights says. What
// quantisation explains is measured: activations and cache by a second run in float32, weights by the reference with its
// rounded weights moved by up to half a step.
#include <algorithm>
#include <cstdio>

#include <fmt/core.h>

#include "commands.h"
#include "standard_streams.h"
#include "output_file.h"
#include "pack.h"
#include "reference.h"
#include "report.h"
#include "runtime_trace.h"
#include "text_tokens.h"

namespace pith::cli {

using namespace quantize;
namespace {

using namespace pith::parity;

// A model's bytes: the built-in ones, a mapped file, or packed here from a float file.
struct RunBytes {
  ModelBytes stored;
  Memory memory;
  const void* data;
  size_t size;

  explicit RunBytes(const std::string& path) : stored(path), data(stored.data()), size(stored.size()) {}
  bool is_packed() const { return read_plain_config(data, size).folded; }
  void pack(const std::string& type) {
    const std::vector<uint8_t> packed = pack_model(stored.data(), stored.size(), pack_options(type));
    memory = Memory(packed.size());
    std::memcpy(memory.data(), packed.data(), packed.size());
    data = memory.data();
    size = packed.size();
  }
};

void write_file(const std::string& path, const std::string& bytes) {
  OutputFile out(path);
  out.write(bytes.data(), bytes.size());
  out.commit();
}

// Writes a trace, or --save-layers of it.
void save(const ParityOptions& o, ForwardTrace trace, const std::string& path) {
  std::erase_if(trace.tensors, [&](const auto& entry) {
    const bool is_kept = std::any_of(o.save_layers.begin(), o.save_layers.end(),
                                     [&](int32_t layer) { return entry.first.starts_with(layer_name(layer, "")); });
    return !o.save_layers.empty() && entry.first.starts_with("layer.") && !is_kept;
  });
#ifdef PITH_COMMIT
  trace.provenance["commit"] = PITH_COMMIT;
#endif
  trace.provenance.insert(o.notes.begin(), o.notes.end());
  write_file(path, trace_bytes(trace));
}

uint32_t precision_of(const std::string& name) { return name == "f32" ? PITH_PRECISION_F32 : PITH_PRECISION_I8; }

pith_session_options session_of(const ParityOptions& o, const std::string& activations, const std::string& cache,
                                const std::string& attention) {
  pith_session_options options = session_options();
  options.activations = precision_of(activations);
  options.cache = precision_of(cache);
  options.attention = attention == "materialise" ? PITH_ATTENTION_MATERIALISE : PITH_ATTENTION_DEFAULT;
  options.pool_bytes = PITH_POOL_NONE;  // rows of a pool would make grouped attention exact, as far as they go
  options.chunk = o.chunk;
  options.tier = o.tier.empty() ? nullptr : o.tier.c_str();
  return options;
}

std::vector<int32_t> tokens_of(const ParityOptions& o, const Model& model) {
  std::vector<int32_t> tokens = o.ids;
  if (!o.text.empty()) {
    const Tokenizer tokenizer(model);
    tokens = text_tokens(o.text, tokenizer).ids;
    if (tokenizer.bos() >= 0) tokens.insert(tokens.begin(), tokenizer.bos());
    if (tokens.size() > o.limit) tokens.resize(o.limit);
  }
  if (!o.tokens_of.empty()) tokens = read_trace(o.tokens_of).tokens;
  if (tokens.empty()) throw std::runtime_error("option --trace, --text, --ids or --tokens-of: one is needed");
  return tokens;
}

ForwardTrace trace_of(const ParityOptions& o, const Model& model, const RunBytes& bytes) {
  if (!o.trace.empty()) return read_trace(o.trace);
  const RunBytes base(o.base);
  const RunBytes& source = o.base.empty() ? bytes : base;
  // A float model as its file has it, not as it was packed for the runtime.
  const PlainModel plain = load_plain_model(source.stored.data(), source.stored.size());
  const std::vector<int32_t> tokens = tokens_of(o, model);
  ForwardTrace trace = o.reference == "cuda" ? run_cuda_reference(plain, tokens) : run_host_reference(plain, tokens);
  trace.provenance["model"] = !o.base.empty() ? o.base : o.model.empty() ? "built-in" : o.model;
  if (!o.save_reference.empty()) save(o, trace, o.save_reference);
  return trace;
}

// What each rounded part does to this run on its own.
std::vector<std::vector<TensorError>> explanations(const ParityOptions& o, const Model& model, const RunBytes& bytes,
                                                   const ForwardTrace& run, const std::vector<int32_t>& tokens) {
  std::vector<std::vector<TensorError>> parts;
  const ForwardTrace exact = trace_runtime(model, session_of(o, "f32", "f32", "materialise"), tokens);
  if (o.activations == "i8" || o.cache == "i8") parts.push_back(compare_tensors(run, exact));
  const PlainModel moved = load_plain_model(bytes.data, bytes.size, 1);
  if (moved.is_rounded) parts.push_back(compare_tensors(run_host_reference(moved, tokens), exact));
  return parts;
}

double relative_of(const std::vector<TensorError>& errors, const std::string& name) {
  const TensorError* e = find_error(errors, name);
  return e == nullptr ? 0 : e->relative;
}

Contribution contribution(const std::string& what, const Model& model, const pith_session_options& options,
                          const ForwardTrace& trace) {
  const ForwardTrace run = trace_runtime(model, options, trace.tokens);
  const std::vector<TensorError> errors = compare_tensors(run, trace);
  std::string last;
  for (const TensorError& e : errors) {
    if (e.name.ends_with(".attn_out")) last = e.name;
  }
  return {what, relative_of(errors, "logits"), relative_of(errors, last), compare_logits(run, trace)};
}

// The model with one part rounded at a time, then all of them.
std::vector<Contribution> contributions(const ParityOptions& o, const Model& model, const ForwardTrace& trace,
                                        bool has_floats) {
  std::vector<Contribution> rows;
  const auto add = [&](const std::string& what, const Model& m, const char* activations, const char* cache,
                       const char* attention) {
    rows.push_back(contribution(what, m, session_of(o, activations, cache, attention), trace));
  };
  const auto add_parts = [&](const Model& m) {
    add("activations int8", m, "i8", "f32", "materialise");
    add("cache int8", m, "f32", "i8", "materialise");
    add("attention grouped", m, "f32", "f32", "grouped");
    add("activations, cache int8", m, "i8", "i8", "materialise");
    add("the same, grouped", m, "i8", "i8", "grouped");
  };
  if (!has_floats) {
    add("the file's weights alone", model, "f32", "f32", "materialise");
    add_parts(model);
    return rows;
  }
  const auto packed = [&](const char* type) {
    RunBytes bytes(o.model);
    bytes.pack(type);
    return bytes;
  };
  const RunBytes f32 = packed("f32"), q8 = packed("q8"), q4 = packed("q4");
  const Model floats = Model::view(f32.data, f32.size), int8 = Model::view(q8.data, q8.size),
              int4 = Model::view(q4.data, q4.size);
  add("nothing (float32)", floats, "f32", "f32", "materialise");
  add("weights int8", int8, "f32", "f32", "materialise");
  add("weights int4", int4, "f32", "f32", "materialise");
  add_parts(floats);
  add("all, weights int8", int8, "i8", "i8", "grouped");
  add("all, weights int4", int4, "i8", "i8", "grouped");
  return rows;
}

// Sentences about the gates that the report does not pass.
std::vector<std::string> failures(const ParityOptions& o, const Report& report) {
  std::vector<std::string> out;
  const auto hold = [&](bool good, const char* option, const std::string& what) {
    if (!good) out.push_back(fmt::format("option {}: {}", option, what));
  };
  for (const TensorError& e : report.errors) {
    const bool is_good = !o.max_relative || e.max_relative <= *o.max_relative;
    hold(is_good, "--max-relative",
         fmt::format("{} is off by {:.3e} at token {}", e.name, e.max_relative, e.worst_token));
    if (!is_good) break;
  }
  if (o.explained) hold(report.verdict.first < 0, "--explained", sentence(report));
  if (!report.logits) {
    hold(!o.max_logits_relative && !o.max_kl && !o.min_top1 && !o.max_perplexity_rise,
         "--max-logits-relative, --max-kl, --min-top1 or --max-perplexity-rise", "the trace has no logits");
    return out;
  }
  const LogitsError& l = *report.logits;
  const double rise = l.perplexity / l.perplexity_of_trace - 1, logits = relative_of(report.errors, "logits");
  hold(!o.max_logits_relative || logits <= *o.max_logits_relative, "--max-logits-relative",
       fmt::format("the logits are off by {:.3e}", logits));
  hold(!o.max_kl || l.kl_mean <= *o.max_kl, "--max-kl", fmt::format("the mean KL divergence is {:.3e}", l.kl_mean));
  hold(!o.min_top1 || l.top1 >= *o.min_top1, "--min-top1", fmt::format("the likeliest token agrees in {:.4f}", l.top1));
  hold(!o.max_perplexity_rise || rise <= *o.max_perplexity_rise, "--max-perplexity-rise",
       fmt::format("perplexity rises by {:.5f} of itself", rise));
  return out;
}

}  // namespace

int parity(const ParityOptions& o) try {
  RunBytes bytes(o.model);
  const bool has_floats = !bytes.is_packed();
  if (has_floats) bytes.pack(o.weights);
  const Model model = Model::view(bytes.data, bytes.size);
  const ForwardTrace trace = trace_of(o, model, bytes);
  check_tokens(model.info().vocab_size, trace.tokens);
  const pith_session_options options = session_of(o, o.activations, o.cache, o.attention);
  const ForwardTrace run = trace_runtime(model, options, trace.tokens);
  if (!o.save_trace.empty()) save(o, run, o.save_trace);
  Report report;
  report.model = o.model.empty() ? "built-in" : o.model;
  report.mode = fmt::format("{}activations {}, cache {}, attention {}{}",
                            has_floats ? "weights " + o.weights + ", " : "", o.activations, o.cache, o.attention,
                            o.chunk == 1 ? "" : fmt::format(", chunks of {}", options.chunk));
  report.tier = pith_session_tier(Session(model, options).get());
  report.provenance = trace.provenance;
  report.n_tokens = trace.tokens.size();
  report.errors = compare_tensors(run, trace);
  report.verdict = judge(report.errors, explanations(o, model, bytes, run, trace.tokens), o.float_bound, o.margin);
  if (trace.find("logits") != nullptr) report.logits = compare_logits(run, trace);
  if (o.each) {
    if (!report.logits) throw std::runtime_error("option --each: the trace has no logits");
    report.contributions = contributions(o, model, trace, has_floats);
  }
  if (!o.html.empty()) write_file(o.html, html_of(report));
  if (o.json) print_json(json_of(report));
  else print("{}", text_of(report));
  const std::vector<std::string> failed = failures(o, report);
  for (const std::string& failure : failed) tell("pith: {}\n", failure);
  return failed.empty() ? 0 : 1;
} catch (const NoDevice& error) {
  tell("pith: {}\n", error.what());
  return 3;
}

}  // namespace pith::cli
