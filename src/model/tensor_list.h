// The one list of the tensors that a model has; reader, packer and generator all walk it.
#ifndef PITH_MODEL_TENSOR_LIST_H
#define PITH_MODEL_TENSOR_LIST_H

#include <cstddef>
#include <cstdint>

#include "model/config.h"
#include "model/model_file.h"
#include "model/weights.h"

namespace pith::internal {

enum class TensorKind : uint8_t { matrix, vector, stack };     // stack: matrices of one shape, one after the other
enum class Presence : uint8_t { absent, optional, required };  // absent: this configuration has no such tensor

// One tensor that a model of some configuration has or may have.
struct TensorSpec {
  char name[64];  // NUL-terminated, such as "blk.3.attn_q.weight"
  TensorKind kind;
  Presence presence;  // never absent
  int32_t layer;      // layer or gate table; -1 for the model's own tensors
  int32_t rows;       // 1 for a vector; of a stack, those of all its matrices
  int32_t cols;
  int32_t n_matrices;  // of a stack; else 1

  int32_t matrix_rows() const { return rows / n_matrices; }
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

}  // namespace pith::internal

#endif
