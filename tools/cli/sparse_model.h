// A model without weights: what `pith synth` would write, for questions that only the beginning of the file answers.
#ifndef PITH_CLI_SPARSE_MODEL_H
#define PITH_CLI_SPARSE_MODEL_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pith/pith.hpp"

namespace pith::cli {

class SparseModel {
 public:
  // Of a named shape, in q4; none if `name` is a file or not the name of a shape.
  static std::optional<SparseModel> of_shape(const std::string& name);

  SparseModel(SparseModel&& other) noexcept;
  ~SparseModel();
  Model view() const { return Model::view(data_, bytes_); }  // not to outlive this

 private:
  SparseModel(const std::vector<uint8_t>& header, size_t bytes);
  void* data_;
  size_t bytes_;
};

}  // namespace pith::cli

#endif
