// A GPU as a device of the reference: a thread for every index, products by cuBLAS where it was found and by a plain tiled
// kernel otherwise. float32 throughout: cuBLAS runs in its pedantic mode, which forbids TF32.
#ifndef PITH_PARITY_CUDA_DEVICE_CUH
#define PITH_PARITY_CUDA_DEVICE_CUH

#include <cuda_runtime.h>
#ifdef PITH_CUBLAS
#include <cublas_v2.h>
#endif

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pith::parity {

inline void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA, ") + what + ": " + cudaGetErrorString(error));
}

template <typename Step>
__global__ void run_step(Step step, int64_t n) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) step(i);
}

// y [n, rows] = x [n, cols] W^T: a block computes kTile x kTile numbers of y from tiles of W and x.
constexpr int kTile = 16;
__global__ static void multiply_tiles(const float* w, const float* x, int64_t n, int64_t rows, int64_t cols, float* y) {
  __shared__ float w_tile[kTile][kTile + 1], x_tile[kTile][kTile + 1];  // + 1: neighbouring rows in other banks
  const int64_t row = int64_t(blockIdx.x) * kTile + threadIdx.x, t = int64_t(blockIdx.y) * kTile + threadIdx.y;
  const int64_t w_row = int64_t(blockIdx.x) * kTile + threadIdx.y;
  float sum = 0;
  for (int64_t first = 0; first < cols; first += kTile) {
    const int64_t col = first + threadIdx.x;
    w_tile[threadIdx.y][threadIdx.x] = w_row < rows && col < cols ? w[w_row * cols + col] : 0;
    x_tile[threadIdx.y][threadIdx.x] = t < n && col < cols ? x[t * cols + col] : 0;
    __syncthreads();
    for (int i = 0; i < kTile; ++i) sum += w_tile[threadIdx.x][i] * x_tile[threadIdx.y][i];
    __syncthreads();
  }
  if (row < rows && t < n) y[t * rows + row] = sum;
}

class CudaDevice {
 public:
  template <typename T>
  class Block {
   public:
    explicit Block(size_t n) : n_(n) {
      if (n == 0) return;
      check_cuda(cudaMalloc(&x_, n * sizeof(T)), "cudaMalloc");
      check_cuda(cudaMemset(x_, 0, n * sizeof(T)), "cudaMemset");
    }
    explicit Block(const std::vector<T>& host) : Block(host.size()) {
      if (n_ > 0) check_cuda(cudaMemcpy(x_, host.data(), n_ * sizeof(T), cudaMemcpyHostToDevice), "copy to the device");
    }
    Block(Block&& other) noexcept : x_(std::exchange(other.x_, nullptr)), n_(std::exchange(other.n_, 0)) {}
    Block& operator=(Block&& other) noexcept {
      std::swap(x_, other.x_);
      std::swap(n_, other.n_);
      return *this;
    }
    ~Block() { cudaFree(x_); }
    T* data() { return x_; }
    const T* data() const { return x_; }
    size_t size() const { return n_; }
    std::vector<T> to_host() const {
      std::vector<T> out(n_);
      if (n_ > 0) check_cuda(cudaMemcpy(out.data(), x_, n_ * sizeof(T), cudaMemcpyDeviceToHost), "copy from the device");
      return out;
    }

   private:
    T* x_ = nullptr;
    size_t n_ = 0;
  };

#ifdef PITH_CUBLAS
  CudaDevice() {
    check_cublas(cublasCreate(&cublas_), "cublasCreate");
    check_cublas(cublasSetMathMode(cublas_, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
  }
  ~CudaDevice() { cublasDestroy(cublas_); }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
#endif

  template <typename Step>
  void each(int64_t n, const Step& step) {
    constexpr int64_t kThreads = 128;
    if (n == 0) return;
    run_step<<<unsigned((n + kThreads - 1) / kThreads), unsigned(kThreads)>>>(step, n);
    check_cuda(cudaGetLastError(), "a step");
  }

  void matmul(const float* w, const float* x, int64_t n, int64_t rows, int64_t cols, float* y) {
#ifdef PITH_CUBLAS
    // Column-major: y^T [rows, n] = W x^T, where W and x lie as [cols, rows] and [cols, n].
    const float one = 1, zero = 0;
    check_cublas(cublasSgemm(cublas_, CUBLAS_OP_T, CUBLAS_OP_N, int(rows), int(n), int(cols), &one, w, int(cols), x,
                             int(cols), &zero, y, int(rows)),
                 "cublasSgemm");
#else
    const dim3 blocks(unsigned((rows + kTile - 1) / kTile), unsigned((n + kTile - 1) / kTile));
    multiply_tiles<<<blocks, dim3(kTile, kTile)>>>(w, x, n, rows, cols, y);
    check_cuda(cudaGetLastError(), "a product");
#endif
  }

#ifdef PITH_CUBLAS
 private:
  static void check_cublas(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
      throw std::runtime_error(std::string("cuBLAS, ") + what + ": " + cublasGetStatusString(status));
  }
  cublasHandle_t cublas_ = nullptr;
#endif
};

}  // namespace pith::parity

#endif
