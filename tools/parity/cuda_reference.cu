#include "cuda_device.cuh"
#include "reference.h"
#include "reference_forward.h"

namespace pith::parity {
namespace {

// The device's name, driver and runtime, for the trace's provenance.
std::map<std::string, std::string> provenance() {
  int n_devices = 0;  // stays unwritten where there is no driver
  const cudaError_t error = cudaGetDeviceCount(&n_devices);
  if (error != cudaSuccess || n_devices == 0)
    throw NoDevice(std::string("no CUDA device: ") + (error != cudaSuccess ? cudaGetErrorString(error) : "none is listed"));
  cudaDeviceProp device{};
  int driver = 0, runtime = 0;
  check_cuda(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  check_cuda(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  check_cuda(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
#ifdef PITH_CUBLAS
  const char* products = "cuBLAS, pedantic float32";
#else
  const char* products = "tiled kernel, float32";
#endif
  return {{"writer", "reference"},
          {"device", device.name},
          {"compute_capability", std::to_string(device.major) + "." + std::to_string(device.minor)},
          {"cuda_driver", std::to_string(driver)},
          {"cuda_runtime", std::to_string(runtime)},
          {"products", products},
          {"precision", "float32"}};
}

}  // namespace

ForwardTrace run_cuda_reference(const PlainModel& model, const std::vector<int32_t>& tokens) {
  std::map<std::string, std::string> where = provenance();
  check_tokens(model.config.vocab_size, tokens);
  ForwardTrace trace = ReferenceForward<CudaDevice>(model, tokens).run();
  trace.provenance = std::move(where);
  return trace;
}

}  // namespace pith::parity
