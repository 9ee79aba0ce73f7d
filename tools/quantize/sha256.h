// SHA-256, as pith.packed.sha256 stores it: by OpenSSL where it was found, else by sha256_rounds.h.
#ifndef PITH_QUANTIZE_SHA256_H
#define PITH_QUANTIZE_SHA256_H

#include <cstddef>
#include <memory>
#include <string>

namespace pith::quantize {

constexpr size_t kHashDigits = 64;  // hexadecimal

// Of bytes that come piece by piece. Throws std::runtime_error where OpenSSL refuses.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(const void* data, size_t bytes);
  std::string hex();  // 64 lower-case hex digits; once, at the end

 private:
  class State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(const void* data, size_t bytes);

}  // namespace pith::quantize

#endif
