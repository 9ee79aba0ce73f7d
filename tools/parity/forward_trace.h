// A trace: what a forward pass of a whole token sequence computed, tensor by tensor, of the unfolded model, whoever wrote it -
// the runtime (runtime_trace.h), the reference (reference.h) or PyTorch (tools/train/trace.py).
//
// The file is a safetensors file: u64 length of the header, a JSON header, the numbers. Its tensors, for T tokens (F64 or F32,
// row-major, a row a token):
//   tokens               I32 [T]
//   embedding            [T, d]                what enters the first layer
//   layer.N.attn_in      [T, d]                normed
//   layer.N.q            [T, n_h, d_n + d_r]   rotated
//   layer.N.c            [T, r]                normed; gated for gate `latent`
//   layer.N.k_rope       [T, d_r]              rotated
//   layer.N.gate         [T, n_h (d_n + d_v)]  W_UE E[id]; [T, r] for gate `latent`
//   layer.N.k            [T, n_h, d_n]         content; MHA: [T, n_kv, d_v], rotated
//   layer.N.v            [T, n_h, d_v]         MHA: [T, n_kv, d_v]
//   layer.N.scores       [T, n_h, T]           scaled, before the softmax; 0 where the query cannot see
//   layer.N.heads        [T, n_h, d_v]         sum of values by weights: the input of W_O
//   layer.N.attn_out     [T, d]                before residual_scale
//   layer.N.ffn_in       [T, d]                normed
//   layer.N.router       [T, E]                scores of experts, not corrected
//   layer.N.experts      [T, E]                weights of those that are chosen, 0 of the others
//   layer.N.ffn_out      [T, d]                before residual_scale
//   output_in            [T, d]                normed
//   logits               [T, V]
// A writer leaves out what it does not have. The header's __metadata__ holds "format" = "pith-trace 1", "writer", and
// whatever else tells where the numbers come from.
#ifndef PITH_PARITY_FORWARD_TRACE_H
#define PITH_PARITY_FORWARD_TRACE_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pith::parity {

struct TraceTensor {
  std::vector<int64_t> shape;  // [T, ...]
  std::vector<double> x;

  size_t row_width() const;  // numbers of a token
  const double* row(size_t token) const { return x.data() + token * row_width(); }
};

struct ForwardTrace {
  std::vector<int32_t> tokens;
  std::map<std::string, TraceTensor> tensors;
  std::map<std::string, std::string> provenance;

  const TraceTensor* find(const std::string& name) const;
  // The tensor, made with zeros [tokens, shape...] if it is not there yet.
  TraceTensor& make(const std::string& name, const std::vector<int64_t>& shape);
  int32_t n_layers() const;  // 1 + the largest N of a tensor's name
};

std::string layer_name(int32_t layer, const std::string& tensor);  // "layer.3.k"

// All names, in the order in which a forward pass computes them.
std::vector<std::string> names_in_order(int32_t n_layers);

// Throws std::runtime_error with a sentence that names the file and the tensor. Nothing in the file is trusted.
ForwardTrace read_trace(const std::string& path);

// Bytes of the file; numbers as F32.
std::string trace_bytes(const ForwardTrace& trace);
// The same from bytes; `path` for messages.
ForwardTrace parse_trace(const std::string& bytes, const std::string& path);

}  // namespace pith::parity

#endif
