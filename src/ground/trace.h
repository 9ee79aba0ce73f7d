// What the forward pass computes on its way, handed out by name: in the traced build of this folder (PITH_TRACE), which tests
// and tools/parity link. In the library itself a Trace is empty and its calls are nothing: tests/symbols_test.sh looks.
//
// A traced session has one thread and one sink. Names and shapes, of the token that is being evaluated, as they are
// here, folded and rounded (tools/parity/runtime_trace.h says what becomes of them):
//   embedding [d]            layer -1
//   attn_in, ffn_in [d]      normed, as the matrix products see them
//   q [n_h, d_n + d_r]       rotated
//   gate [N] or [r]          as a row of the pool holds it
//   c_scale [1]              the scale of c that rho has taken
//   kv [N]                   a row of finished keys and values, per head d_n and d_v; materialise alone
//   scores [n, lanes]        of the next n slots, after q of the same layer; materialise and MHA alone
//   heads [n_h, d_v]         input of W_O
//   attn_out, ffn_out [d]    what a block adds, before residual_scale
//   output_in [d]            normed; layer -1
#ifndef PITH_GROUND_TRACE_H
#define PITH_GROUND_TRACE_H

#include <cstdint>

namespace pith::internal {

struct TraceSink {
  void (*take)(void* context, const char* name, int32_t layer, const float* x, int32_t n);  // x [n], for the call
  void* context;
};

class Trace {
 public:
#ifdef PITH_TRACE
  void set_sink(const TraceSink* sink) { sink_ = sink; }  // NULL: none
  bool is_on() const { return sink_ != nullptr; }
  void tensor(const char* name, int32_t layer, const float* x, int32_t n) const;

 private:
  const TraceSink* sink_ = nullptr;
#else
  static constexpr bool is_on() { return false; }
  static constexpr void tensor(const char*, int32_t, const float*, int32_t) {}
#endif
};

}  // namespace pith::internal

#endif
