// pith bench: prefill and decode at given depths and thread counts.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <thread>

#include <fmt/core.h>

#include "commands.h"
#include "machine.h"
#include "memory_bandwidth.h"
#include "repeated_state.h"
#include "standard_streams.h"
#include "text_like_ids.h"
#include "text_tokens.h"
#include "touched_pages.h"

#ifndef PITH_COMMIT
#define PITH_COMMIT "unknown"
#endif

namespace pith::cli {
namespace {

using Json = json::Document;

uint64_t clock_ns(void*) {
  return uint64_t(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

// The n ids that fill the context and are then decoded.
std::vector<int32_t> bench_ids(const BenchOptions& options, const Model& model, size_t n) {
  if (options.text.empty()) return text_like_ids(n, int32_t(model.info().vocab_size), options.seed);
  std::vector<int32_t> ids = text_tokens(options.text, Tokenizer(model)).ids;
  if (ids.size() < n) {
    throw std::runtime_error(fmt::format(
        "option --text: the file has {} tokens; the largest depth and the timed tokens need {}", ids.size(), n));
  }
  ids.resize(n);
  return ids;
}

size_t count_distinct(std::span<const int32_t> ids) { return std::set(ids.begin(), ids.end()).size(); }

struct Phase {
  const char* name;
  uint32_t threads, tokens, depth, repeat;
  size_t distinct_ids;                                  // read by a prefill, in the cache before a decode
  double seconds, attention_seconds, machine_gb_per_s;  // 0: not measured
};

Json row(const Phase& p, const Session& session, const pith_session_plan& plan, const pith_model_info& info) {
  const double per_token = p.seconds / p.tokens;
  const double cache = double(plan.cache_bytes_per_token) * (p.depth + p.tokens / 2.0);  // read by an average token
  const double bytes = double(info.step_weight_bytes) + cache;
  return {{"phase", p.name},
          {"threads", p.threads},
          {"tokens", p.tokens},
          {"depth", p.depth},
          {"distinct_ids", p.distinct_ids},
          {"repeat", p.repeat},
          {"tokens_per_s", 1 / per_token},
          {"ms_per_token", 1e3 * per_token},
          {"weight_bytes_per_token", info.step_weight_bytes},
          {"expert_bytes_per_token", info.step_expert_bytes},
          {"cache_bytes", plan.cache_bytes},
          {"pool_bytes", plan.pool_bytes},
          {"session_bytes", plan.session_bytes},
          {"resident_bytes", internal::resident_bytes()},
          {"attention_ms", 1e3 * p.attention_seconds / p.tokens},
          {"read_gb_per_s", bytes / per_token / 1e9},
          {"machine_read_gb_per_s", p.machine_gb_per_s},
          {"logits_hash", logits_hash(session.logits())}};
}

// What a decoded token reads of them.
Json weights_json(const pith_model_info& info) {
  return {{"dense_bytes_per_token", info.step_weight_bytes - info.step_expert_bytes},
          {"expert_bytes_per_token", info.step_expert_bytes},
          {"experts", info.n_experts},
          {"used_experts", info.n_used_experts}};
}

enum class Pace : uint8_t { at_once, one_by_one };

constexpr uint32_t kRepeatedTokens = 512;  // of a context that --fill repeat makes, those that are computed

// Tokens of a context of `depth` that are read: the others are rows of these again.
uint32_t read_tokens(const BenchOptions& options, uint32_t depth) {
  return options.fill == "repeat" ? std::min(depth, kRepeatedTokens) : depth;
}

// Fills the context to `depth` (a prefill row of what is read, unless the depth is 0), reads a prompt of `prompt` tokens there (another,
// unless it has none), then decodes token by token.
void measure(const BenchOptions& options, const Model& model, std::span<const int32_t> ids, uint32_t threads,
             uint32_t depth, uint32_t repeat, double machine_gb_per_s, Json* runs) {
  pith_session_options resolved = options.session.resolve();
  resolved.capacity = std::max({options.session.context, depth + options.prompt + options.tokens, 1u});
  resolved.max_threads = threads;
  resolved.clock = clock_ns;
  Session session(model, resolved);
  const pith_session_plan plan = Session::plan(model, resolved);
  const auto timed = [&](const char* phase, uint32_t first, uint32_t n, Pace pace) {
    const uint64_t attention = session.attention_ns(), position = session.position();
    const double start = seconds();
    if (pace == Pace::one_by_one) {
      for (uint32_t i = 0; i < n; ++i) session.eval(ids[first + i]);
    } else {
      session.eval(ids.subspan(first, n));
    }
    const size_t distinct_ids = count_distinct(pace == Pace::one_by_one ? ids.first(first) : ids.subspan(first, n));
    const Phase p{phase,
                  threads,
                  n,
                  uint32_t(position),
                  repeat,
                  distinct_ids,
                  seconds() - start,
                  double(session.attention_ns() - attention) / 1e9,
                  machine_gb_per_s};
    runs->push_back(row(p, session, plan, model.info()));
  };
  const uint32_t n_read = read_tokens(options, depth);
  if (depth > 0) timed("prefill", 0, n_read, Pace::at_once);
  if (n_read < depth) session.restore(repeated_state(model, session.save(), depth));
  if (options.prompt > 0) timed("prefill", n_read, options.prompt, Pace::at_once);
  if (options.tokens > 0) timed("decode", n_read + options.prompt, options.tokens, Pace::one_by_one);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// One line per phase, thread count and depth: the medians over the repetitions.
void print_table(const Json& document) {
  print("model {} | tier {} | commit {} | {}\n", document["model"].string(), document["tier"].string(),
        document["commit"].string(), document["cpu"].string());
  const Json& weights = document["weights"];
  const double dense = weights["dense_bytes_per_token"].number(), experts = weights["expert_bytes_per_token"].number();
  print("a token reads {:.1f} MB of weights", (dense + experts) / 1e6);
  if (experts > 0)
    print(": {:.1f} MB that all read, {:.1f} MB of {} of {} experts a layer", dense / 1e6, experts / 1e6,
          weights["used_experts"].dump(), weights["experts"].dump());
  print("\n");
  if (document["fill"].string() == "repeat")
    print("contexts of more than {0} tokens hold the rows of the first {0} again and again\n", kRepeatedTokens);
  print("{:<8} {:>7} {:>6} {:>6} {:>12} {:>12} {:>10} {:>13} {:>10} {:>12}\n", "phase", "threads", "tokens", "depth",
        "distinct ids", "tokens/s", "ms/token", "attention ms", "GB/s", "machine GB/s");
  const std::vector<Json>& runs = document["runs"].elements();
  std::vector<bool> printed(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    if (printed[i]) continue;
    std::vector<double> ms, attention, gb;
    double machine = 0;  // what it can do is the best of what it did
    for (size_t j = i; j < runs.size(); ++j) {
      const bool same = runs[j]["phase"] == runs[i]["phase"] && runs[j]["threads"] == runs[i]["threads"] &&
                        runs[j]["depth"] == runs[i]["depth"] && runs[j]["tokens"] == runs[i]["tokens"];
      if (!same) continue;
      printed[j] = true;
      ms.push_back(runs[j]["ms_per_token"].number());
      attention.push_back(runs[j]["attention_ms"].number());
      gb.push_back(runs[j]["read_gb_per_s"].number());
      machine = std::max(machine, runs[j]["machine_read_gb_per_s"].number());
    }
    print("{:<8} {:>7} {:>6} {:>6} {:>12} {:>12.1f} {:>10.3f} {:>13.3f} {:>10.2f} {:>12}\n", runs[i]["phase"].string(),
          runs[i]["threads"].dump(), runs[i]["tokens"].dump(), runs[i]["depth"].dump(), runs[i]["distinct_ids"].dump(),
          1e3 / median(ms), median(ms), median(attention), median(gb),
          machine > 0 ? fmt::format("{:.2f}", machine) : "");
  }
}

}  // namespace

void bench(BenchOptions options) {
  const Model model = options.model.load_ahead();
  if (options.threads.empty()) options.threads = {options.session.n_threads()};
  const uint32_t deepest = *std::max_element(options.depths.begin(), options.depths.end());
  const std::vector<int32_t> ids =
      bench_ids(options, model, size_t(read_tokens(options, deepest)) + options.prompt + options.tokens);
  Json runs = Json::array();
  touch_pages(model);
  for (uint32_t repeat = 0; repeat < options.repeat; ++repeat) {
    for (const uint32_t threads : options.threads) {
      const double machine = options.skip_bandwidth ? 0 : read_gb_per_s(threads);
      for (const uint32_t depth : options.depths) measure(options, model, ids, threads, depth, repeat, machine, &runs);
    }
  }
  const Session probe(model, options.session.resolve());
  const Json document = {{"model", options.model.name()},
                         {"tier", pith_session_tier(probe.get())},
                         {"commit", PITH_COMMIT},
                         {"cpu", internal::cpu_name()},
                         {"weights", weights_json(model.info())},
                         {"fill", options.fill},
                         {"runs", runs}};
  if (options.json) print_json(document);
  else print_table(document);
}

}  // namespace pith::cli
