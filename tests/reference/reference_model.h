// The oracle: the forward pass in float64, written from the equations of the design with Eigen, for every variant. Of the
// library it uses the model file's directory alone, for names and bytes; it reads the keys and the numbers (F32, F16, BF16)
// itself. No folding, no cache of rounded numbers, no tiles: every token looks at a list of the tokens before it.
#ifndef PITH_TESTS_REFERENCE_MODEL_H
#define PITH_TESTS_REFERENCE_MODEL_H

#include <Eigen/Dense>
#include <cstdint>
#include <string>
#include <vector>

#include "model/model_file.h"

namespace pith::test {

using namespace internal;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

class ReferenceModel {
 public:
  explicit ReferenceModel(const std::vector<uint8_t>& float_gguf);

  // [n_tokens, V]: the logits after every token.
  Matrix logits(const std::vector<int32_t>& tokens) const { return ring_logits(tokens, int64_t(tokens.size()), 0); }

  // The same with a ring of `capacity` tokens of which `n_keep` are pinned: position p sees the pinned tokens and the last
  // capacity - n_keep; a pinned token j at distance min(p, capacity - 1) - j. The reference of what a ring means.
  Matrix ring_logits(const std::vector<int32_t>& tokens, int64_t capacity, int64_t n_keep) const;

  // Of all choices of experts so far: the least difference between the scores of the last that was chosen and the first that
  // was not, groups too. A runtime that rounds may take the other one where it is tiny.
  double least_margin() const { return least_margin_; }

 private:
  struct Token {  // of one layer
    int32_t id;
    int64_t position;
    Vector latent, rope;  // c, k^R before its rotation
    Matrix keys, values;  // MHA: [n_kv, head], keys before their rotation
  };

  uint64_t number(const char* key, uint64_t otherwise) const;
  double real(const char* key, double otherwise) const;
  std::string word(const char* key, const char* otherwise) const;
  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  Matrix matrix(const std::string& name) const;
  Matrix matrix_of(const std::string& name, int64_t n) const;
  Vector vector(const std::string& name) const;

  Vector linear(const std::string& name, const Vector& x) const;
  Vector block_norm(const std::string& name, const Vector& x) const;
  Vector rms(const Vector& x, double eps) const;
  Vector gate_norm(const std::string& name, const Vector& x) const;
  Matrix normed_heads(const std::string& name, Matrix heads) const;
  Vector gate(int layer, int32_t id) const;
  Vector rotate(const Vector& x, double position) const;
  Vector feed_forward(const std::string& prefix, const Vector& x) const;
  Vector mixture(const std::string& prefix, const Vector& x) const;
  Vector activated(const std::string& up, const std::string& gate, const Vector& x) const;
  Vector activation(Vector up, const Vector& gate) const;
  Token cache(int layer, int32_t id, int64_t position, const Vector& x) const;
  Vector attention(int layer, const Vector& x, int64_t position, const std::vector<const Token*>& seen,
                   int64_t capacity, int64_t n_keep) const;
  void read_rope();

  std::vector<uint64_t> bytes_, directory_;
  ModelFile file_;
  bool is_mha_;
  std::string gate_, gate_norm_, kv_norm_, block_norm_, feed_forward_, scaling_;
  int64_t n_layers_, n_heads_, n_kv_heads_, d_n_, d_r_, d_v_, r_, lgz_;
  double score_scale_, rope_magnitude_;
  mutable double least_margin_ = 1;
  std::vector<double> frequencies_;  // radians per position
};

}  // namespace pith::test

#endif
