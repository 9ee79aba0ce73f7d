// The weights: typed views into the model file, and the one list of the tensors that a model has.
#ifndef PITH_WEIGHTS_H
#define PITH_WEIGHTS_H

#include <cstddef>
#include <cstdint>

#include "config.h"
#include "model_file.h"
#include "packed.h"

namespace pith {

// y = W x + bias. W [rows, cols] in a layout of simd/packed.h.
struct Linear {
  const uint8_t* w = nullptr;   // NULL: the model has no such matrix
  const float* bias = nullptr;  // [rows] or NULL
  int32_t rows = 0, cols = 0;
  int32_t blocks = 0;  // 32-column blocks: padded_cols(cols) / 32
  WeightType type = WeightType::f32;
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
  Linear output;                          // [d, n_h d_v]: W_O
  const float* ffn_norm = nullptr;        // [d]
  const float* ffn_norm_bias = nullptr;   // [d]
  Linear ffn_gate, ffn_up;                // [feed-forward, d]; ffn_gate for SwiGLU only
  Linear ffn_down;                        // [d, feed-forward]
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

enum class TensorKind : uint8_t { matrix, vector };
enum class Presence : uint8_t { absent, optional, required };  // absent: this configuration has no such tensor

// One tensor that a model of some configuration has or may have.
struct TensorSpec {
  char name[64];  // NUL-terminated, such as "blk.3.attn_q.weight"
  TensorKind kind;
  Presence presence;  // never absent
  int32_t layer;      // layer or gate table; -1 for the model's own tensors
  int32_t rows;       // 1 for a vector
  int32_t cols;
};

// Lists the tensors of a configuration: the model's own, gate tables, then layer by layer.
class TensorList {
 public:
  explicit TensorList(const Config& config) : config_(config) {}
  bool next(TensorSpec* spec);  // false at the end

 private:
  friend class WeightsBinder;
  const Config& config_;
  int32_t scope_ = 0, layer_ = 0;
  size_t rule_ = 0, current_ = 0;
};

// Points `weights` (whose arrays the caller has placed) at the file's tensors, each checked for presence and shape.
// PITH_E_UNSUPPORTED names a tensor of the file that no spec lists.
pith_status bind_weights(ModelFile* file, const Config& config, Weights* weights, pith_error* error);

}  // namespace pith

#endif
