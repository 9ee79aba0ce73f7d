// The page: plots as inline SVG, no script and nothing to load.
#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "report.h"

namespace pith::parity {
namespace {

constexpr double kWidth = 960, kHeight = 300, kLeft = 60, kBottom = 40, kTop = 16, kRight = 12;  // of a plot, in pixels

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (c == '"') out += "&quot;";
    else out += c;
  }
  return out;
}

// A plot of decades against steps or tokens.
class LogPlot {
 public:
  LogPlot(size_t n, double low, double high) : n_(std::max<size_t>(n, 2)) {
    low_ = std::floor(std::log10(std::max(low, 1e-12)));
    high_ = std::max(std::ceil(std::log10(std::max(high, 1e-12))), low_ + 1);
    for (double decade = low_; decade <= high_; ++decade) {
      const double y = y_of(std::pow(10, decade));
      body_ += fmt::format("<line class=\"grid\" x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\"/>", kLeft, y,
                           kWidth - kRight, y);
      body_ += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">1e{:.0f}</text>", kLeft - 6, y + 4, decade);
    }
  }

  void add_line(const char* style, const std::vector<double>& values) {
    std::string points;
    for (size_t i = 0; i < values.size(); ++i) points += fmt::format("{:.1f},{:.1f} ", x_of(i), y_of(values[i]));
    body_ += fmt::format("<polyline class=\"{}\" points=\"{}\"/>", style, points);
  }
  void add_dot(const char* style, size_t i, double value, const std::string& title) {
    body_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>{}</title></circle>", style,
                         x_of(i), y_of(value), escaped(title));
  }
  void add_mark(size_t i, const std::string& text) {
    body_ += fmt::format("<line class=\"layer\" x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\"/>", x_of(i), kTop,
                         kHeight - kBottom);
    body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x_of(i), kHeight - kBottom + 16, escaped(text));
  }
  std::string svg() const {
    return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\">{}</svg>", kWidth, kHeight, body_);
  }

 private:
  double x_of(size_t i) const { return kLeft + (kWidth - kLeft - kRight) * double(i) / double(n_ - 1); }
  double y_of(double value) const {
    const double decade = std::clamp(std::log10(std::max(value, 1e-12)), low_, high_);
    return kTop + (kHeight - kTop - kBottom) * (high_ - decade) / (high_ - low_);
  }

  size_t n_;
  double low_, high_;
  std::string body_;
};

std::string error_plot(const Report& report) {
  double low = 1, high = 1e-9;
  for (size_t i = 0; i < report.errors.size(); ++i) {
    for (const double x : {report.errors[i].max_relative, report.errors[i].relative, report.verdict.allowed[i]}) {
      if (x > 0) low = std::min(low, x);
      if (std::isfinite(x)) high = std::max(high, x);
    }
  }
  LogPlot plot(report.errors.size(), low, high);
  std::vector<double> all, worst;
  for (size_t i = 0; i < report.errors.size(); ++i) {
    const TensorError& e = report.errors[i];
    all.push_back(e.relative);
    worst.push_back(e.max_relative);
    if (e.name.ends_with(".attn_in")) plot.add_mark(i, e.name.substr(6, e.name.size() - 14));
  }
  plot.add_line("allowed", report.verdict.allowed);
  plot.add_line("worst", worst);
  plot.add_line("all", all);
  for (size_t i = 0; i < report.errors.size(); ++i) {
    const TensorError& e = report.errors[i];
    plot.add_dot(int64_t(i) == report.verdict.first ? "fault" : "dot", i, e.relative,
                 fmt::format("{}: {:.2e}, worst token {}: {:.2e}, explained {:.2e}", e.name, e.relative, e.worst_token,
                             e.max_relative, report.verdict.allowed[i]));
  }
  return plot.svg();
}

std::string kl_plot(const LogitsError& logits) {
  std::vector<double> kl;
  for (const double x : logits.kl) kl.push_back(std::max(x, 1e-12));
  LogPlot plot(kl.size(), *std::min_element(kl.begin(), kl.end()), *std::max_element(kl.begin(), kl.end()));
  plot.add_line("all", kl);
  for (size_t t = 0; t < kl.size(); t += std::max<size_t>(kl.size() / 8, 1)) plot.add_mark(t, std::to_string(t));
  return plot.svg();
}

std::string tensor_table(const Report& report) {
  std::string rows;
  for (size_t i = 0; i < report.errors.size(); ++i) {
    const TensorError& e = report.errors[i];
    rows += fmt::format(
        "<tr{}><td>{}</td><td>{:.2e}</td><td>{:.2e}</td><td>{:.2e}</td><td>{:.2e}</td><td>{:.2e}</td><td>{:.9f}</td>"
        "<td>{:.2e}</td><td>{}</td></tr>\n",
        int64_t(i) == report.verdict.first ? " class=\"first\"" : "", escaped(e.name), e.max_absolute, e.mean_absolute,
        e.max_relative, e.mean_relative, e.relative, e.cosine, report.verdict.allowed[i], e.worst_token);
  }
  return "<table><tr><th>tensor</th><th>max abs</th><th>mean abs</th><th>max rel</th><th>mean rel</th><th>rel</th>"
         "<th>cosine</th><th>explained</th><th>worst token</th></tr>\n" +
         rows + "</table>\n";
}

std::string contribution_table(const std::vector<Contribution>& contributions) {
  std::string rows;
  for (const Contribution& row : contributions)
    rows += fmt::format(
        "<tr><td>{}</td><td>{:.2e}</td><td>{:.2e}</td><td>{:.2e}</td><td>{:.1f} %</td><td>{:.1f} %</td><td>{:+.3f} "
        "%</td></tr>\n",
        escaped(row.what), row.logits_relative, row.attention_relative, row.logits.kl_mean, 100 * row.logits.top1,
        100 * row.logits.top5, 100 * (row.logits.perplexity / row.logits.perplexity_of_trace - 1));
  return "<h2>Whose error</h2>\n<table><tr><th>what is rounded</th><th>logits</th><th>attention</th><th>KL mean</th>"
         "<th>top-1</th><th>top-5</th><th>perplexity</th></tr>\n" +
         rows + "</table>\n";
}

std::string logits_list(const LogitsError& e) {
  return fmt::format(
      "<p>KL divergence: mean {:.3e}, max {:.3e} nats. Same likeliest token: {:.2f} %; of the five likeliest {:.2f} %. "
      "Perplexity {:.4f}, of the trace {:.4f}. Greedy text {}.</p>\n",
      e.kl_mean, e.kl_max, 100 * e.top1, 100 * e.top5, e.perplexity, e.perplexity_of_trace,
      e.first_other_token < 0 ? std::string("is the same")
                              : fmt::format("differs first after token {}", e.first_other_token));
}

constexpr const char* kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; font-size: 13px } td, th { padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left } tr.first { background: #fbd5cf } svg { width: 100%; height: auto }
svg text { font: 11px system-ui, sans-serif; fill: #555 } .grid { stroke: #eee } .layer { stroke: #ddd }
polyline { fill: none; stroke-width: 1.5 } .all { stroke: #1b6ca8 } .worst { stroke: #9fc5e8 } .allowed { stroke: #999; stroke-dasharray: 4 3 }
.dot { fill: #1b6ca8 } .fault { fill: #c0392b } .verdict { font-weight: 600 }
)";

}  // namespace

std::string html_of(const Report& report) {
  std::string provenance;
  for (const auto& [key, value] : report.provenance) provenance += fmt::format("{}: {}; ", key, value);
  std::string page =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>pith parity</title><style>";
  page += std::string(kStyle) + "</style></head><body>\n<h1>pith parity</h1>\n";
  page += fmt::format("<p>Model {}; {}; tier {}; {} tokens.<br>Trace: {}</p>\n<p class=\"verdict\">{}</p>\n",
                      escaped(report.model), escaped(report.mode), escaped(report.tier), report.n_tokens,
                      escaped(provenance), escaped(sentence(report)));
  page +=
      "<h2>Relative error, step by step</h2>\n<p>Dark: ||a - b|| / ||b|| of all tokens together; light: of the worst "
      "token; "
      "dashed: what float32 and quantisation explain. Layers are numbered below.</p>\n" +
      error_plot(report);
  if (report.logits)
    page += "<h2>Logits</h2>\n" + logits_list(*report.logits) + "<p>KL divergence in nats after each token:</p>\n" +
            kl_plot(*report.logits);
  if (!report.contributions.empty()) page += contribution_table(report.contributions);
  return page + "<h2>Tensors</h2>\n" + tensor_table(report) + "</body></html>\n";
}

}  // namespace pith::parity
