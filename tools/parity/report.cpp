#include "report.h"

#include <fmt/core.h>

namespace pith::parity {
namespace {

std::string number(double x) { return fmt::format("{:.2e}", x); }

std::string shown_name(const std::string& name) {
  if (!name.starts_with("layer.")) return name;
  const size_t dot = name.find('.', 6);
  return fmt::format("layer {}, {}", name.substr(6, dot - 6), name.substr(dot + 1));
}

std::string text_of(const LogitsError& e) {
  return fmt::format(
      "KL divergence      mean {}  max {} nats\n"
      "same likeliest     {:.2f} %     five likeliest {:.2f} %\n"
      "perplexity         {:.4f}     of the trace {:.4f}  ({:+.3f} %)\n"
      "greedy text        {}\n",
      number(e.kl_mean), number(e.kl_max), 100 * e.top1, 100 * e.top5, e.perplexity, e.perplexity_of_trace,
      100 * (e.perplexity / e.perplexity_of_trace - 1),
      e.first_other_token < 0 ? "the same after every token"
                              : fmt::format("differs first after token {}", e.first_other_token));
}

std::string table_of(const std::vector<Contribution>& rows) {
  std::string out = fmt::format("\n{:<28} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>12}\n", "what is rounded",
                                "logits", "attention", "KL mean", "KL max", "top-1", "top-5", "perplexity");
  for (const Contribution& row : rows)
    out += fmt::format("{:<28} {:>10} {:>10} {:>10} {:>10} {:>6.1f} % {:>6.1f} % {:>+10.3f} %\n", row.what,
                       number(row.logits_relative), number(row.attention_relative), number(row.logits.kl_mean),
                       number(row.logits.kl_max), 100 * row.logits.top1, 100 * row.logits.top5,
                       100 * (row.logits.perplexity / row.logits.perplexity_of_trace - 1));
  return out;
}

json::Document json_of(const LogitsError& e) {
  return {{"kl_mean", e.kl_mean},
          {"kl_max", e.kl_max},
          {"top1_agreement", e.top1},
          {"top5_agreement", e.top5},
          {"perplexity", e.perplexity},
          {"perplexity_of_trace", e.perplexity_of_trace},
          {"first_other_token", e.first_other_token}};
}

}  // namespace

std::string sentence(const Report& report) {
  if (report.verdict.first < 0) return "every step is as near as float32 and quantisation explain";
  const size_t i = size_t(report.verdict.first);
  const TensorError& e = report.errors[i];
  return fmt::format(
      "{}: the first step that quantisation does not explain; relative error {} (worst at token {}: {}), "
      "explained {}",
      shown_name(e.name), number(e.relative), e.worst_token, number(e.max_relative), number(report.verdict.allowed[i]));
}

std::string text_of(const Report& report) {
  std::string out =
      fmt::format("model              {}\nruntime            {}, tier {}\ntokens             {}\ntrace              ",
                  report.model, report.mode, report.tier, report.n_tokens);
  for (const auto& [key, value] : report.provenance) {
    if (key != "format") out += fmt::format("{}={} ", key, value);
  }
  out += fmt::format("\n\n{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}\n", "tensor", "max abs", "mean abs",
                     "max rel", "mean rel", "rel", "1 - cosine", "explained");
  for (size_t i = 0; i < report.errors.size(); ++i) {
    const TensorError& e = report.errors[i];
    out += fmt::format("{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}{}\n", e.name, number(e.max_absolute),
                       number(e.mean_absolute), number(e.max_relative), number(e.mean_relative), number(e.relative),
                       number(1 - e.cosine), number(report.verdict.allowed[i]),
                       int64_t(i) == report.verdict.first ? "  <- first unexplained" : "");
  }
  out += "\n";
  if (report.logits) out += text_of(*report.logits);
  if (!report.contributions.empty()) out += table_of(report.contributions);
  return out + "\n" + sentence(report) + "\n";
}

json::Document json_of(const Report& report) {
  json::Document tensors = json::Document::array(), first, rows = json::Document::array();
  for (size_t i = 0; i < report.errors.size(); ++i) {
    const TensorError& e = report.errors[i];
    tensors.push_back({{"name", e.name},
                       {"max_absolute", e.max_absolute},
                       {"mean_absolute", e.mean_absolute},
                       {"max_relative", e.max_relative},
                       {"mean_relative", e.mean_relative},
                       {"relative", e.relative},
                       {"cosine", e.cosine},
                       {"worst_token", e.worst_token},
                       {"explained", report.verdict.allowed[i]}});
  }
  if (report.verdict.first >= 0) first = report.errors[size_t(report.verdict.first)].name;
  json::Document out = {{"model", report.model},     {"mode", report.mode},        {"tier", report.tier},
                        {"tokens", report.n_tokens}, {"trace", report.provenance}, {"tensors", tensors},
                        {"first_unexplained", first}};
  if (report.logits) out["logits"] = json_of(*report.logits);
  for (const Contribution& row : report.contributions) {
    json::Document out_row = {
        {"what", row.what}, {"logits_relative", row.logits_relative}, {"attention_relative", row.attention_relative}};
    const json::Document logits = json_of(row.logits);
    for (const auto& [key, value] : logits.members()) out_row[key] = value;
    rows.push_back(out_row);
  }
  if (!report.contributions.empty()) out["contributions"] = rows;
  return out;
}

}  // namespace pith::parity
