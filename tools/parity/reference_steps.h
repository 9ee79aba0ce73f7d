// The steps of a forward pass as plain loops: each says what one thread does for one index i, and nothing is shared between
// indices. The same source runs on a GPU (cuda_device.cuh, a thread for every index) and on the host (host_device.h, a loop), so
// that machines without a GPU test all of it but the launches. Numbers are float32, sums run in the order that they are
// written in; T is the number of tokens.
#ifndef PITH_PARITY_REFERENCE_STEPS_H
#define PITH_PARITY_REFERENCE_STEPS_H

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define PITH_STEP __host__ __device__
#else
#define PITH_STEP
#endif

namespace pith::parity {

// y = W[ids[t]] * scale; i over [T, width].
struct TakeRows {
  const float* w;      // [V, width]
  const int32_t* ids;  // [T]
  int64_t width;
  float scale;
  float* y;  // [T, width]
  PITH_STEP void operator()(int64_t i) const { y[i] = w[ids[i / width] * width + i % width] * scale; }
};

// i over [T, width]; y [T, stride].
struct AddBias {
  const float* bias;  // [width]
  int64_t width;
  float* y;  // [T, width]
  PITH_STEP void operator()(int64_t i) const { y[i] += bias[i % width]; }
};

// Columns [first, first + width) of x [T, stride]; i over [T, width].
struct TakeColumns {
  const float* x;
  int64_t stride, first, width;
  float* y;  // [T, width]
  PITH_STEP void operator()(int64_t i) const { y[i] = x[i / width * stride + first + i % width]; }
};

// RMSNorm, or LayerNorm where it is centred, of the channels [first, first + part) of every run of `period`: all of them for
// part = period = width. i over [T].
struct Norm {
  const float* x;      // [T, width]
  const float* gamma;  // [width]
  const float* beta;   // [width] or NULL
  int64_t width, first, part, period;
  float eps;
  bool is_centred;
  float* y;  // [T, width]; may be x
  PITH_STEP void operator()(int64_t i) const {
    const float* in = x + i * width;
    float* out = y + i * width;
    const float n = float(width / period * part);
    float mean = 0, square = 0;
    for (int64_t at = first; at < width && is_centred; at += period) {
      for (int64_t j = at; j < at + part; ++j) mean += in[j];
    }
    mean /= n;
    for (int64_t at = first; at < width; at += period) {
      for (int64_t j = at; j < at + part; ++j) square += (in[j] - mean) * (in[j] - mean);
    }
    const float scale = 1.0f / sqrtf(square / n + eps);
    for (int64_t at = first; at < width; at += period) {
      for (int64_t j = at; j < at + part; ++j) {
        const float shift = beta == nullptr ? 0.0f : beta[j];
        out[j] = (in[j] - mean) * scale * gamma[j] + shift;
      }
    }
  }
};

// x *= y; i over all.
struct Multiply {
  const float* y;
  float* x;
  PITH_STEP void operator()(int64_t i) const { x[i] *= y[i]; }
};

// Rotates lanes [first, first + 2 n_pairs) of each of `heads` heads of x [T, heads, head_width]; i over [T, heads, n_pairs].
struct Rotate {
  const float *cosine, *sine;  // [T, n_pairs], LongRoPE's magnitude inside
  int64_t heads, head_width, first, n_pairs;
  bool is_interleaved;  // pairs (2p, 2p + 1); otherwise (p, n_pairs + p)
  float* x;
  PITH_STEP void operator()(int64_t i) const {
    const int64_t p = i % n_pairs, head = i / n_pairs, t = head / heads;
    float* lanes = x + head * head_width + first;
    float& a = lanes[is_interleaved ? 2 * p : p];
    float& b = lanes[is_interleaved ? 2 * p + 1 : n_pairs + p];
    const float c = cosine[t * n_pairs + p], s = sine[t * n_pairs + p], old = a;
    a = old * c - b * s;
    b = old * s + b * c;
  }
};

// Scaled scores of every query with every key before it, 0 with those after; i over [T, n_h, T]. A head's key is content
// of its KV head and then the rotary key, which all heads share; either may have no lanes.
struct Scores {
  const float* q;       // [T, n_h, content + rope]
  const float* keys;    // [T, n_kv] heads of key_stride, content first
  const float* k_rope;  // [T, rope]
  int64_t n_tokens, n_heads, n_kv, content, rope, key_stride;
  float scale;
  float* scores;  // [T, n_h, T]
  PITH_STEP void operator()(int64_t i) const {
    const int64_t seen = i % n_tokens, h = i / n_tokens % n_heads, t = i / n_tokens / n_heads;
    const float* query = q + (t * n_heads + h) * (content + rope);
    const float* key = keys + (seen * n_kv + h * n_kv / n_heads) * key_stride;
    float sum = 0;
    for (int64_t j = 0; j < content && seen <= t; ++j) sum += query[j] * key[j];
    for (int64_t j = 0; j < rope && seen <= t; ++j) sum += query[content + j] * k_rope[seen * rope + j];
    scores[i] = sum * scale;
  }
};

// Softmax over the visible tokens; i over [T, n_h].
struct Softmax {
  const float* scores;  // [T, n_h, T]
  int64_t n_tokens, n_heads;
  float* weights;  // [T, n_h, T]
  PITH_STEP void operator()(int64_t i) const {
    const int64_t t = i / n_heads;
    const float* in = scores + i * n_tokens;
    float* out = weights + i * n_tokens;
    float largest = in[0], sum = 0;
    for (int64_t j = 1; j <= t; ++j) largest = in[j] > largest ? in[j] : largest;
    for (int64_t j = 0; j <= t; ++j) sum += out[j] = expf(in[j] - largest);
    for (int64_t j = 0; j < n_tokens; ++j) out[j] = j <= t ? out[j] / sum : 0.0f;
  }
};

// Values by weights; i over [T, n_h, value].
struct WeighValues {
  const float* weights;  // [T, n_h, T]
  const float* values;   // [T, n_kv] heads of value_stride, the value's lanes from value_first on
  int64_t n_tokens, n_heads, n_kv, width, value_first, value_stride;
  float* heads;  // [T, n_h, value]
  PITH_STEP void operator()(int64_t i) const {
    const int64_t lane = i % width, h = i / width % n_heads, t = i / width / n_heads;
    const float* w = weights + (t * n_heads + h) * n_tokens;
    float sum = 0;
    for (int64_t j = 0; j <= t; ++j)
      sum += w[j] * values[(j * n_kv + h * n_kv / n_heads) * value_stride + value_first + lane];
    heads[i] = sum;
  }
};

// hidden = activation(up), or silu(gate) * up; i over [T, feed-forward].
struct Activate {
  const float* gate;  // SwiGLU
  int kind;           // FeedForward
  float* up;
  PITH_STEP void operator()(int64_t i) const {
    const float x = up[i];
    switch (kind) {
      case 0: up[i] = x * gate[i] / (1.0f + expf(-gate[i])); break;
      case 1: up[i] = x > 0 ? x * x : 0.0f; break;
      case 2: up[i] = 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x))); break;
      default: up[i] = 0.5f * x * (1.0f + erff(x * 0.7071067812f));
    }
  }
};

// From a router's logits to scores and to weights of all experts, 0 of those that are not chosen; i over [T]. What is chosen
// follows from ranks: of groups first, then of the experts of those that are left.
struct ChooseExperts {
  const float* correction;  // [E] or NULL
  int64_t n_experts, n_used, n_groups, n_used_groups;
  bool is_sigmoid, is_normed;
  float scale;
  float* scores;   // [T, E]: logits
  float* choice;   // [T, E]: scratch
  float* weights;  // [T, E]

  PITH_STEP float group_score(const float* x, int64_t size) const {
    int64_t first = 0, second = -1;
    for (int64_t i = 1; i < size; ++i) first = x[i] > x[first] ? i : first;
    for (int64_t i = 0; i < size; ++i) {
      if (i != first && (second < 0 || x[i] > x[second])) second = i;
    }
    return is_sigmoid && second >= 0 ? x[first] + x[second] : x[first];
  }
  // How many groups score higher, or as high and come before it.
  PITH_STEP int64_t rank_of_group(const float* x, int64_t g) const {
    const int64_t size = n_experts / n_groups;
    int64_t rank = 0;
    for (int64_t other = 0; other < n_groups; ++other) {
      const float a = group_score(x + other * size, size), b = group_score(x + g * size, size);
      rank += a > b || (a == b && other < g) ? 1 : 0;
    }
    return rank;
  }
  PITH_STEP void operator()(int64_t i) const {
    float *s = scores + i * n_experts, *x = choice + i * n_experts, *w = weights + i * n_experts;
    const int64_t size = n_experts / n_groups;
    float largest = s[0], total = 0, sum = 0;
    for (int64_t e = 1; e < n_experts; ++e) largest = s[e] > largest ? s[e] : largest;
    for (int64_t e = 0; e < n_experts; ++e) total += expf(s[e] - largest);
    for (int64_t e = 0; e < n_experts; ++e) {
      s[e] = is_sigmoid ? 1.0f / (1.0f + expf(-s[e])) : expf(s[e] - largest) / total;
      x[e] = s[e] + (correction == nullptr ? 0.0f : correction[e]);
    }
    for (int64_t e = 0; e < n_experts; ++e) w[e] = rank_of_group(x, e / size) < n_used_groups ? 1.0f : 0.0f;
    for (int64_t e = 0; e < n_experts; ++e) x[e] = w[e] != 0 ? x[e] : -INFINITY;
    for (int64_t e = 0; e < n_experts; ++e) {
      int64_t rank = 0;
      for (int64_t other = 0; other < n_experts; ++other)
        rank += x[other] > x[e] || (x[other] == x[e] && other < e) ? 1 : 0;
      w[e] = rank < n_used ? s[e] : 0.0f;
      sum += w[e];
    }
    for (int64_t e = 0; e < n_experts; ++e) w[e] = (is_normed ? w[e] / sum : w[e]) * scale;
  }
};

// y[t] += w[t, e] * x[t]; i over [T, d].
struct AddWeighed {
  const float* weights;  // [T, E]
  int64_t n_experts, expert, width;
  const float* x;  // [T, d]
  float* y;        // [T, d]
  PITH_STEP void operator()(int64_t i) const { y[i] += weights[i / width * n_experts + expert] * x[i]; }
};

// y += scale * x; i over all.
struct AddScaled {
  const float* x;
  float scale;
  float* y;
  PITH_STEP void operator()(int64_t i) const { y[i] += scale * x[i]; }
};

// x *= scale; i over all.
struct Scale {
  float scale;
  float* x;
  PITH_STEP void operator()(int64_t i) const { x[i] *= scale; }
};

}  // namespace pith::parity

#endif
