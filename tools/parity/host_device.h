// The host as a device of the reference: loops. Slow and plain; sums run in order, in float32.
#ifndef PITH_PARITY_HOST_DEVICE_H
#define PITH_PARITY_HOST_DEVICE_H

#include <cstdint>
#include <vector>

namespace pith::parity {

class HostDevice {
 public:
  template <typename T>
  class Block {
   public:
    explicit Block(size_t n) : x_(n) {}
    explicit Block(const std::vector<T>& host) : x_(host) {}
    T* data() { return x_.data(); }
    const T* data() const { return x_.data(); }
    size_t size() const { return x_.size(); }
    const std::vector<T>& to_host() const { return x_; }

   private:
    std::vector<T> x_;
  };

  template <typename Step>
  void each(int64_t n, const Step& step) {
    for (int64_t i = 0; i < n; ++i) step(i);
  }

  void matmul(const float* w, const float* x, int64_t n, int64_t rows, int64_t cols, float* y) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t t = 0; t < n; ++t) {
        float sum = 0;
        for (int64_t i = 0; i < cols; ++i) sum += w[row * cols + i] * x[t * cols + i];
        y[t * rows + row] = sum;
      }
    }
  }
};

}  // namespace pith::parity

#endif
