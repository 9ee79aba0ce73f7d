#include "parallel.h"

#include "fp_environment.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace pith {

void Team::warm_up([[maybe_unused]] int32_t max_threads) {
#ifdef _OPENMP
  if (max_threads < 2) return;
#pragma omp parallel num_threads(max_threads)
  { const FpEnvironment environment; }
#endif
}

void Team::run_team(int32_t n_pieces, Call call, const void* context) const {
#ifdef _OPENMP
#pragma omp parallel num_threads(n_threads_)
  {
    const FpEnvironment environment;
    const int32_t thread = omp_get_thread_num(), n_running = omp_get_num_threads();
    // Contiguous ranges: neighbouring pieces read neighbouring memory. The runtime may have given fewer threads.
    const int32_t first = int32_t(int64_t(n_pieces) * thread / n_running);
    const int32_t last = int32_t(int64_t(n_pieces) * (thread + 1) / n_running);
    for (int32_t piece = first; piece < last; ++piece) call(context, piece, thread);
  }
#else
  for (int32_t piece = 0; piece < n_pieces; ++piece) call(context, piece, 0);
#endif
}

}  // namespace pith
