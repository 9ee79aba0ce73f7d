// PITH_QUICK=N, for sanitizers and emulated CPUs: of many like cases one in N is tested, others in every run, and a shorter form of what has
// no such cases. What is left out is tested whole elsewhere. Without it, or with 1: all.
#ifndef PITH_TESTS_QUICK_H
#define PITH_TESTS_QUICK_H

#include <cstdint>
#include <cstdlib>
#include <random>

namespace pith::test {

inline uint64_t quick() {
  static const char* const wanted = std::getenv("PITH_QUICK");
  static const uint64_t n = wanted == nullptr ? 1 : std::strtoull(wanted, nullptr, 10);
  return n == 0 ? 1 : n;
}
inline bool is_quick() { return quick() > 1; }

// Of the cases that it is asked about, in their order, one in quick(), from one on that chance picks.
class Share {
 public:
  bool leaves_out() { return next_++ % quick() != 0; }

 private:
  uint64_t next_ = std::random_device{}() % quick();
};

}  // namespace pith::test

#endif
