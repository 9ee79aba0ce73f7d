// What the forward pass computes on its way, handed out by name: in the traced build of src/ (PITH_TRACE), which tests
// and tools/parity link. In the library itself a Trace is empty and its calls are nothing: tests/symbols_test.sh looks.
//
// A traced session has one thread and one sink. `token` counts the tokens of the chunk that is being evaluated. Names
// and shapes, a token each, as they are here, folded and rounded (tools/parity/runtime_trace.h says what becomes of
// them):
//   embedding [d]            layer -1
//   attn_in, ffn_in [d]      normed, as the matrix products see them
//   q [n_h, d_n + d_r]       rotated as the window sees it
//   gate [N] or [r]          as a row of the pool holds it
//   c_scale [1]              the scale of c that rho has taken
//   kv [N]                   materialised keys and values, per head d_n and d_v; not with grouped or absorbed steps
//   heads [n_h, d_v]         input of W_O
//   router [E]               scores of experts, not corrected
//   experts [E]              weights of those that are chosen, 0 of the others
//   attn_out, ffn_out [d]    what a half of a layer adds, before residual_scale
//   output_in [d]            normed; layer -1; of the tokens whose logits or hidden states are asked for
// and the score of every token, head and slot that it sees; not with grouped or absorbed steps.
#ifndef PITH_GROUND_TRACE_H
#define PITH_GROUND_TRACE_H

#include <cstddef>
#include <cstdint>

namespace pith::internal {

struct TraceSink {
  // x [n], for the call.
  void (*take)(void* context, const char* name, int32_t layer, int32_t token, const float* x, int32_t n);
  void (*take_score)(void* context, int32_t layer, int32_t token, int32_t head, int32_t slot, float score);
  void* context;
};

class Trace {
 public:
#ifdef PITH_TRACE
  void set_sink(const TraceSink* sink) { sink_ = sink; }  // NULL: none
  bool is_on() const { return sink_ != nullptr; }
  void tensor(const char* name, int32_t layer, int32_t token, const float* x, int32_t n) const;
  // Of n_tokens tokens from `first` on: x [n_tokens] rows of `stride`.
  void tensors(const char* name, int32_t layer, int32_t first, int32_t n_tokens, const float* x, size_t stride,
               int32_t n) const;
  void score(int32_t layer, int32_t token, int32_t head, int32_t slot, float x) const;
  // Of all heads with n slots: x [n, lanes].
  void scores(int32_t layer, int32_t token, int32_t n_heads, const int32_t* slots, int32_t n, const float* x,
              int32_t lanes) const;

 private:
  const TraceSink* sink_ = nullptr;
#else
  static constexpr bool is_on() { return false; }
  static constexpr void tensor(const char*, int32_t, int32_t, const float*, int32_t) {}
  static constexpr void tensors(const char*, int32_t, int32_t, int32_t, const float*, size_t, int32_t) {}
  static constexpr void score(int32_t, int32_t, int32_t, int32_t, float) {}
  static constexpr void scores(int32_t, int32_t, int32_t, const int32_t*, int32_t, const float*, int32_t) {}
#endif
};

}  // namespace pith::internal

#endif
