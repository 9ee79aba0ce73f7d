// SHA-256 by OpenSSL, as pith.packed.sha256 stores it.
#ifndef PITH_QUANTIZE_SHA256_H
#define PITH_QUANTIZE_SHA256_H

#include <cstddef>
#include <memory>
#include <string>

struct evp_md_ctx_st;

namespace pith::quantize {

constexpr size_t kHashDigits = 64;  // hexadecimal

// Of bytes that come piece by piece. Throws std::runtime_error where OpenSSL refuses.
class Sha256 {
 public:
  Sha256();
  void add(const void* data, size_t bytes);
  std::string hex();  // 64 lower-case hex digits; once, at the end

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

std::string sha256_hex(const void* data, size_t bytes);

}  // namespace pith::quantize

#endif
