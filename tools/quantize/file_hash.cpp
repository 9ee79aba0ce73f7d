#include "file_hash.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "model/model_file.h"
#include "sha256.h"

namespace pith::quantize {

using namespace internal;

namespace {

// Where the 64 digits begin, after the key as GGUF writes it: its length, its name, its type and the length of its value. The size
// of the header where it lacks it.
size_t digits_at(std::span<const uint8_t> header) {
  std::vector<uint8_t> entry;
  const auto put = [&](uint64_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) entry.push_back(uint8_t(number >> 8 * i));
  };
  put(kHeaderHashKey.size(), 8);
  entry.insert(entry.end(), kHeaderHashKey.begin(), kHeaderHashKey.end());
  put(uint32_t(GgufType::string), 4);
  put(kHashDigits, 8);
  const auto found = std::search(header.begin(), header.end(), entry.begin(), entry.end());
  const size_t at = size_t(found - header.begin()) + entry.size();
  return found == header.end() || at + kHashDigits > header.size() ? header.size() : at;
}

}  // namespace

std::string header_hash(std::span<const uint8_t> header) {
  const size_t at = digits_at(header);
  if (at == header.size()) return {};
  Sha256 hash;
  hash.add(header.data(), at);
  hash.add(std::string(kHashDigits, '0').data(), kHashDigits);
  hash.add(header.data() + at + kHashDigits, header.size() - at - kHashDigits);
  return hash.hex();
}

std::string stored_header_hash(std::span<const uint8_t> header) {
  const size_t at = digits_at(header);
  return at == header.size() ? std::string()
                             : std::string(reinterpret_cast<const char*>(header.data()) + at, kHashDigits);
}

void seal_header(std::span<uint8_t> header) {
  const std::string digits = header_hash(header);
  if (!digits.empty()) std::memcpy(header.data() + digits_at(header), digits.data(), digits.size());
}

}  // namespace pith::quantize
