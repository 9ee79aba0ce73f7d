// The weights: typed views into the bytes of a model file.
#ifndef PITH_MODEL_WEIGHTS_H
#define PITH_MODEL_WEIGHTS_H

#include <cstddef>
#include <cstdint>

#include "packed.h"

namespace pith::internal {

// y = W x + bias. W [rows, cols] in a layout of simd/packed.h.
struct Linear {
  const uint8_t* w = nullptr;   // NULL: the model has no such matrix
  const float* bias = nullptr;  // [rows] or NULL
  int32_t rows = 0, cols = 0;
  int32_t blocks = 0;  // 32-column blocks: padded_cols(cols) / 32
  WeightType type = WeightType::f32;
};

// n matrices of one shape, `stride` bytes apart. Each is a run of whole pages of the file: see simd/packed.h.
struct LinearStack {
  Linear first;  // w NULL: the model has no such matrices
  size_t stride = 0;
  int32_t n = 0;

  Linear at(int32_t i) const {
    Linear linear = first;
    linear.w += stride * size_t(i);
    return linear;
  }
};

struct Layer {
  const float* attn_norm = nullptr;       // [d]
  const float* attn_norm_bias = nullptr;  // [d]
  Linear q;                               // [n_h (d_n + d_r), d]; full-rank query, MHA
  Linear q_a;                             // [query latent, d]
  const float* q_a_norm = nullptr;        // [query latent]
  Linear q_b;                             // [n_h (d_n + d_r), query latent]
  Linear kv_a;                            // [r + d_r, d]: W_DKV, then W_KR
  const float* kv_a_norm = nullptr;       // [r]
  Linear kv_b;                            // [n_h (d_n + d_v), r]: W_UKV, per head d_n rows, then d_v rows
  Linear gate_up;                         // [n_h (d_n + d_v) or r, d_e]: W_UE
  const float* gate_norm = nullptr;       // [rows of gate_up]
  const float* gate_norm_bias = nullptr;  // [rows of gate_up]
  Linear k, v;                            // [n_kv d_v, d]; MHA
  const float* q_norm = nullptr;          // [d_v] of every head of queries; MHA with norms of heads
  const float* k_norm = nullptr;          // [d_v] of every head of keys
  Linear output;                          // [d, n_h d_v]: W_O
  const float* ffn_norm = nullptr;        // [d]
  const float* ffn_norm_bias = nullptr;   // [d]
  Linear ffn_gate, ffn_up;                // [feed-forward, d]; ffn_gate for SwiGLU only; of shared experts, if any
  Linear ffn_down;                        // [d, feed-forward]
  Linear router;                          // [E, d], f32
  const float* router_bias = nullptr;     // [E]: added to scores to choose experts, not to weigh them
  LinearStack expert_gate, expert_up;     // E of [expert, d]; expert_gate for SwiGLU only
  LinearStack expert_down;                // E of [d, expert]
};

struct Weights {
  Linear embedding;                         // [V, d]
  Linear output;                            // [V, d]; the embedding where tied
  const float* output_norm = nullptr;       // [d]
  const float* output_norm_bias = nullptr;  // [d]
  Linear* gate_tables = nullptr;            // [n_gate_tables] of [V, d_e]
  Layer* layers = nullptr;                  // [n_layers]
  uint64_t* rope_turns = nullptr;           // [d_r / 2] turns per position, 0.64 fixed point
};

}  // namespace pith::internal

#endif
