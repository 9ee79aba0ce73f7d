// Threads: the only file that knows OpenMP.
#ifndef PITH_PARALLEL_H
#define PITH_PARALLEL_H

#include <cstdint>

namespace pith {

// A team that runs pieces of work. Which thread runs which piece changes no result.
class Team {
 public:
  void set_threads(int32_t n_threads) { n_threads_ = n_threads; }
  int32_t n_threads() const { return n_threads_; }

  // Starts the runtime's threads, so that it allocates now and not later.
  void warm_up(int32_t max_threads);

  // task(piece, thread) for every piece in [0, n_pieces), thread in [0, n_threads). Runs on the calling thread alone when
  // there is one piece or `is_small`: waking a team costs some microseconds.
  template <typename Task>
  void run(int32_t n_pieces, bool is_small, const Task& task) const {
    if (n_threads_ == 1 || n_pieces == 1 || is_small) {
      for (int32_t piece = 0; piece < n_pieces; ++piece) task(piece, 0);
    } else {
      run_team(
          n_pieces,
          [](const void* context, int32_t piece, int32_t thread) {
            (*static_cast<const Task*>(context))(piece, thread);
          },
          &task);
    }
  }

 private:
  using Call = void (*)(const void* context, int32_t piece, int32_t thread);
  void run_team(int32_t n_pieces, Call call, const void* context) const;

  int32_t n_threads_ = 1;
};

}  // namespace pith

#endif
