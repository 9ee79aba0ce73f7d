#include "page.h"

#include <cstdint>
#include <span>
#include <vector>

#include "base64.h"
#include "embedded_file.h"
#include "sha256.h"

// PITH_SERVER_PAGE is the path of the file.
PITH_EMBED_FILE(pith_server_page, PITH_SERVER_PAGE)

namespace pith::server {
namespace {

// 'sha256-...' of what is between two tags.
std::string source_of(std::string_view tag) {
  const std::string open = "<" + std::string(tag) + ">", close = "</" + std::string(tag) + ">";
  const size_t first = page().find(open) + open.size();
  const std::string_view text = page().substr(first, page().find(close, first) - first);
  const std::string hex = quantize::sha256_hex(text.data(), text.size());
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes.push_back(uint8_t(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return "'sha256-" + base64(bytes) + "'";
}

}  // namespace

std::string_view page() { return {reinterpret_cast<const char*>(pith_server_page), size_t(pith_server_page_bytes)}; }

const std::string& page_policy() {
  static const std::string policy =
      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src data:; "
      "connect-src 'self'; script-src " +
      source_of("script") + "; style-src " + source_of("style");
  return policy;
}

}  // namespace pith::server
