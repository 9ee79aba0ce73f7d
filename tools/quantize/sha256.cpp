#include "sha256.h"

#include <array>
#include <cstdint>
#include <stdexcept>

#include <fmt/core.h>

#ifdef PITH_OPENSSL
#include <openssl/crypto.h>
#include <openssl/evp.h>
#else
#include "sha256_rounds.h"
#endif

namespace pith::quantize {

#ifdef PITH_OPENSSL

namespace {

void check(int good) {
  if (good != 1) throw std::runtime_error("SHA-256 is not available from OpenSSL");
}

}  // namespace

class Sha256::State {
 public:
  State() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    check(OSSL_LIB_CTX_get0_global_default() !=
          nullptr);  // made without memory, there is none, and EVP_sha256 would read it
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(const void* data, size_t bytes) { check(EVP_DigestUpdate(context_.get(), data, bytes)); }
  std::array<uint8_t, 32> digest() {
    std::array<uint8_t, 32> out;
    check(EVP_DigestFinal_ex(context_.get(), out.data(), nullptr));
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

#else

class Sha256::State : public Sha256Rounds {};

#endif

Sha256::Sha256() : state_(std::make_unique<State>()) {}

Sha256::~Sha256() = default;

void Sha256::add(const void* data, size_t bytes) { state_->add(data, bytes); }

std::string Sha256::hex() {
  std::string out;
  for (const uint8_t byte : state_->digest()) out += fmt::format("{:02x}", byte);
  return out;
}

std::string sha256_hex(const void* data, size_t bytes) {
  Sha256 hash;
  hash.add(data, bytes);
  return hash.hex();
}

}  // namespace pith::quantize
