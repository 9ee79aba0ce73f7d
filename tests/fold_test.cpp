// Folding changes where numbers are computed and not what comes out: scores up to a constant per head, and outputs.
#include "fold.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "opened_file.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::quantize;
using namespace pith::test;

namespace {

// A layer's tensors by name without "blk.N.", matrices row by row.
using LayerTensors = std::map<std::string, std::vector<float>>;

void fold_layer(const Config& c, LayerTensors* tensors) {
  const auto of_gate = [&](const char* name) {
    const auto found = tensors->find(name);
    return c.gate == Gate::up && found != tensors->end() ? found->second : std::vector<float>{};
  };
  const LayerFold fold(c, of_gate("attn_gate_norm.weight"), of_gate("attn_gate_norm.bias"));
  if (fold.shifts()) {
    std::vector<float>& bias = (*tensors)["attn_output.bias"];
    const std::vector<float>& w = tensors->at("attn_output.weight");
    const size_t cols = size_t(c.head_output_width());
    bias.resize(size_t(c.width));
    for (size_t row = 0; row < bias.size(); ++row)
      bias[row] = float(double(bias[row]) + fold.shift({w.data() + row * cols, cols}));
  }
  // In two parts, as a packer that has not all rows in memory does.
  for (auto& [name, values] : *tensors) {
    const size_t rows = name == "attn_output.weight"                                   ? size_t(c.width)
                        : name.ends_with(".weight") && name != "attn_gate_norm.weight" ? size_t(c.query_width())
                                                                                       : values.size();
    const size_t cols = values.size() / rows, half = rows / 2;
    fold.apply(name, 0, {values.data(), half * cols});
    fold.apply(name, int64_t(half), {values.data() + half * cols, (rows - half) * cols});
  }
}

constexpr uint32_t kSeed = 20250312;
constexpr int kTokens = 5;
using Vector = std::vector<double>;

Config folded_config(GateNorm norm) {
  Config c = tiny_config();
  c.gate_norm = norm;
  c.width = 24;
  c.n_heads = c.n_kv_heads = 3;
  c.content_width = 16;
  c.rope_width = 6;
  return c;
}

struct Random {
  std::mt19937 engine{kSeed};
  std::normal_distribution<double> normal;
  Vector doubles(int32_t n) {
    Vector out(static_cast<size_t>(n));
    for (double& v : out) v = normal(engine);
    return out;
  }
  std::vector<float> floats(int32_t n, double mean, double spread) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& v : out) v = float(mean + spread * normal(engine));
    return out;
  }
};

LayerTensors random_layer(const Config& c, bool biases, Random* random) {
  LayerTensors t;
  const int32_t query_cols = c.query_latent_width > 0 ? c.query_latent_width : c.width;
  const std::string query = c.query_latent_width > 0 ? "attn_q_b" : "attn_q";
  t[query + ".weight"] = random->floats(c.query_width() * query_cols, 0, 0.2);
  t["attn_output.weight"] = random->floats(c.width * c.head_output_width(), 0, 0.2);
  if (c.gate_norm != GateNorm::none) t["attn_gate_norm.weight"] = random->floats(c.gate_output_width(), 1, 0.2);
  if (c.gate_norm == GateNorm::layer || c.gate_norm == GateNorm::layer_split)
    t["attn_gate_norm.bias"] = random->floats(c.gate_output_width(), 0, 0.2);
  if (biases) {
    t[query + ".bias"] = random->floats(c.query_width(), 0, 0.2);
    t["attn_output.bias"] = random->floats(c.width, 0, 0.2);
  }
  return t;
}

// What enters one attention: the query's input, and per token norm_g's output before gamma and beta [N], and k^R [d_r].
struct Inputs {
  Vector x;
  std::vector<Vector> normed, rope;
};

// y = W x + bias, and with `magnitude` the same of absolute values: the bound of rounding errors rests on it.
Vector linear(const LayerTensors& t, const std::string& name, const Vector& x, int32_t rows, bool magnitude) {
  const auto absolute = [=](double v) { return magnitude ? std::fabs(v) : v; };
  const std::vector<float>& w = t.at(name + ".weight");
  const auto bias = t.find(name + ".bias");
  Vector y;
  for (size_t row = 0; row < size_t(rows); ++row) {
    double total = bias == t.end() ? 0 : absolute(double(bias->second[row]));
    for (size_t i = 0; i < x.size(); ++i) total += absolute(double(w[row * x.size() + i])) * absolute(x[i]);
    y.push_back(total);
  }
  return y;
}

struct Parameters {
  bool folded;           // gamma, beta and scales are inside the matrices
  double scale = 1;      // of scores
  double magnitude = 1;  // LongRoPE's, of query and key
};

// Attention in double, by the equations; out [d], probabilities [n_h][tokens]. `bound`: sums of absolute values instead.
struct Attention {
  const Config& c;
  const LayerTensors& t;
  const Inputs& in;
  Parameters p;

  double gamma(const char* name, int32_t channel, double neutral) const {
    const auto found = t.find(name);
    return p.folded || found == t.end() ? neutral : double(found->second[size_t(channel)]);
  }
  double channel(int token, int32_t index) const {  // of k^C or v
    return gamma("attn_gate_norm.weight", index, 1) * in.normed[size_t(token)][size_t(index)] +
           gamma("attn_gate_norm.bias", index, 0);
  }
  Vector scores(int32_t head, bool bound) const {
    const Vector q = linear(t, c.query_latent_width > 0 ? "attn_q_b" : "attn_q", in.x, c.query_width(), bound);
    const double m2 = p.folded ? 1 : p.magnitude * p.magnitude;
    Vector out;
    for (int token = 0; token < kTokens; ++token) {
      double total = 0;
      const auto add = [&](double a, double b) { total += bound ? std::fabs(a * b) : a * b; };
      for (int32_t i = 0; i < c.content_width; ++i)
        add(q[size_t(head * c.query_head_width() + i)], channel(token, head * c.kv_head_width() + i));
      for (int32_t i = 0; i < c.rope_width; ++i)
        add(q[size_t(head * c.query_head_width() + c.content_width + i)], m2 * in.rope[size_t(token)][size_t(i)]);
      out.push_back((p.folded ? 1 : p.scale) * total);
    }
    return out;
  }
  Vector probabilities(int32_t head) const {
    Vector s = scores(head, false);
    double total = 0;
    for (double& v : s) total += v = std::exp(v);
    for (double& v : s) v /= total;
    return s;
  }
  Vector output(bool bound) const {
    Vector heads;
    for (int32_t head = 0; head < c.n_heads; ++head) {
      const Vector w = probabilities(head);
      for (int32_t i = 0; i < c.value_width; ++i) {
        double total = 0;
        for (int token = 0; token < kTokens; ++token) {
          const double v = channel(token, head * c.kv_head_width() + c.content_width + i);
          total += w[size_t(token)] * (bound ? std::fabs(v) : v);
        }
        heads.push_back(total);
      }
    }
    return linear(t, "attn_output", heads, c.width, bound);
  }
};

// A folded weight is one rounding to float away from the exact one; scores and outputs move by that times the sum of
// absolute values, probabilities by at most twice the largest score error, relatively.
void check_identity(const Config& c, bool biases, double scale, double magnitude) {
  Random random;
  const LayerTensors plain = random_layer(c, biases, &random);
  LayerTensors folded = plain;
  fold_layer(c, &folded);
  Inputs in{random.doubles(c.query_latent_width > 0 ? c.query_latent_width : c.width), {}, {}};
  for (int token = 0; token < kTokens; ++token) {
    in.normed.push_back(random.doubles(c.kv_width()));
    in.rope.push_back(random.doubles(c.rope_width));
  }
  const Attention before{c, plain, in, {false, scale, magnitude}}, after{c, folded, in, {true}};
  constexpr double kEpsilon = 0x1p-24 * 1.01;  // and what double loses
  double score_error = 0;
  for (int32_t head = 0; head < c.n_heads; ++head) {
    const Vector a = before.scores(head, false), b = after.scores(head, false), bound = before.scores(head, true);
    for (size_t i = 1; i < a.size(); ++i) {
      const double allowed = kEpsilon * (bound[i] + bound[0]);
      CHECK(std::fabs((a[i] - a[0]) - (b[i] - b[0])) <= allowed);
      score_error = std::max(score_error, allowed);
    }
  }
  const Vector a = before.output(false), b = after.output(false), bound = before.output(true);
  for (size_t i = 0; i < a.size(); ++i) CHECK(std::fabs(a[i] - b[i]) <= (2 * score_error + 2 * kEpsilon) * bound[i]);
}

double turns_at(const std::vector<uint64_t>& turns, size_t i) { return double(turns[i]) * 0x1p-64; }

}  // namespace

TEST_CASE("folding gamma, beta and the scale keeps scores and outputs") {
  INFO("seed ", kSeed);
  for (const GateNorm norm : {GateNorm::none, GateNorm::rms, GateNorm::layer, GateNorm::layer_split}) {
    for (const bool biases : {false, true}) {
      Config c = folded_config(norm);
      check_identity(c, biases, 1 / std::sqrt(22.0), 1);
      c.query_latent_width = 12;
      check_identity(c, biases, 1 / std::sqrt(22.0), 1);
    }
  }
}

TEST_CASE("YaRN's mscale and LongRoPE's magnitude are folded too") {
  Config c = folded_config(GateNorm::layer);
  c.rope_scaling = RopeScaling::yarn;
  c.rope_factor = 40;
  c.yarn_log_multiplier = 0.0707f;  // DeepSeek-V2-Lite: mscale 1.2608
  const double mscale = 1 + double(c.yarn_log_multiplier) * std::log(40.0);
  CHECK(std::fabs(mscale - 1.2608) < 5e-5);
  check_identity(c, true, mscale * mscale / std::sqrt(22.0), 1);
  c.rope_scaling = RopeScaling::longrope;
  c.rope_factor = 32;
  c.rope_original_context = 4096;
  check_identity(c, true, 1 / std::sqrt(22.0), std::sqrt(1 + std::log(32.0) / std::log(4096.0)));
}

TEST_CASE("without the gate `up` the scale alone is folded") {
  Random random;
  for (const Gate gate : {Gate::none, Gate::latent}) {
    Config c = folded_config(gate == Gate::none ? GateNorm::none : GateNorm::layer);
    c.gate = gate;
    if (gate == Gate::none) c.gate_width = c.layer_group_size = 0;
    const LayerTensors plain = random_layer(c, false, &random);
    LayerTensors folded = plain;
    fold_layer(c, &folded);
    CHECK(folded.size() == plain.size());
    CHECK(folded.at("attn_output.weight") == plain.at("attn_output.weight"));
    for (size_t i = 0; i < plain.at("attn_q.weight").size(); ++i)
      REQUIRE(folded.at("attn_q.weight")[i] == float(double(plain.at("attn_q.weight")[i]) * (1 / std::sqrt(22.0))));
  }
}

// Computed with 70 decimal digits. What 64 bits of a long double make of the last six is off by one.
TEST_CASE("frequencies in turns are right to the last bit") {
  struct {
    float base;
    int32_t width, pair;
    uint64_t turns;
  } const rows[] = {{10000, 64, 1, 2201607287645322120u}, {10000, 128, 30, 39150729086113164u},
                    {500000, 64, 20, 805162614510191u},   {500000, 128, 50, 103614262047482u},
                    {10000, 16, 0, 2935890503282001226u}, {1000000, 128, 0, 2935890503282001226u}};
  for (const auto& row : rows) {
    CAPTURE(row.base);
    CAPTURE(row.width);
    CAPTURE(row.pair);
    Config c = tiny_config();
    c.rope_base = row.base;
    c.rope_width = row.width;
    CHECK(rope_turns(c, {})[size_t(row.pair)] == row.turns);
    // Whole turns drop out, however many: 2^40 of these, in which as many bits of the fraction are lost.
    const std::vector<float> divisors(size_t(row.width / 2), 0x1p-40f);
    const uint64_t more = rope_turns(c, divisors)[size_t(row.pair)] - (row.turns << 40);
    CHECK(int64_t(more) <= int64_t(1) << 39);
    CHECK(int64_t(more) >= -(int64_t(1) << 39));
  }
}

TEST_CASE("frequencies in turns: plain, YaRN, LongRoPE") {
  Config c = tiny_config();
  c.rope_width = 64;
  const std::vector<uint64_t> plain = rope_turns(c, {});
  REQUIRE(plain.size() == 32);
  for (size_t i = 0; i < 32; ++i) {  // float64 has 53 bits
    const double expected = std::pow(10000.0, -double(i) / 32) / (2 * std::numbers::pi);
    CHECK(std::fabs(turns_at(plain, i) / expected - 1) < 1e-14);
  }
  // DeepSeek-V2-Lite: dim(32) = 10.47, dim(1) = 22.51: the ramp goes from pair 10 to pair 23.
  c.rope_scaling = RopeScaling::yarn;
  c.rope_factor = 40;
  c.rope_original_context = 4096;
  const std::vector<uint64_t> yarn = rope_turns(c, {});
  for (size_t i = 0; i < 32; ++i) {
    const double ramp = i <= 10 ? 0 : i >= 23 ? 1 : (double(i) - 10) / 13;
    CHECK(std::fabs(turns_at(yarn, i) / turns_at(plain, i) - (1 - ramp + ramp / 40)) < 1e-14);
  }
  std::vector<float> divisors(32, 1.5f);
  divisors[0] = 0.125f;  // 8 / (2 pi) = 1.273 turns: the whole one drops out
  c.rope_scaling = RopeScaling::longrope;
  const std::vector<uint64_t> longrope = rope_turns(c, divisors);
  CHECK(std::fabs(turns_at(longrope, 0) - (4 / std::numbers::pi - 1)) < 1e-14);
  CHECK(std::fabs(turns_at(longrope, 5) / turns_at(plain, 5) * 1.5 - 1) < 1e-14);
  divisors[3] = 0;
  CHECK_THROWS_WITH(rope_turns(c, divisors), doctest::Contains("element 3"));
  c.rope_scaling = RopeScaling::yarn;
  c.rope_base = 1;
  CHECK_THROWS_WITH(rope_turns(c, {}), doctest::Contains("freq_base"));
}
