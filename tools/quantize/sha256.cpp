#include "sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stdexcept>

#include <fmt/core.h>

namespace pith::quantize {
namespace {

void check(int good) {
  if (good != 1) throw std::runtime_error("SHA-256 is not available from OpenSSL");
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  check(OSSL_LIB_CTX_get0_global_default() !=
        nullptr);  // made without memory, there is none, and EVP_sha256 would read it
  check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::add(const void* data, size_t bytes) { check(EVP_DigestUpdate(context_.get(), data, bytes)); }

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  check(EVP_DigestFinal_ex(context_.get(), digest, &size));
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

std::string sha256_hex(const void* data, size_t bytes) {
  Sha256 hash;
  hash.add(data, bytes);
  return hash.hex();
}

}  // namespace pith::quantize
