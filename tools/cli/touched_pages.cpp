#include "touched_pages.h"

#include <string_view>

#ifdef __unix__
#include <unistd.h>
#endif

namespace pith::cli {
namespace {

constexpr size_t kPage = 4096;  // the smallest there is

// Of the machine; no limit where the system does not say.
uint64_t memory_bytes() {
#ifdef _SC_PHYS_PAGES
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) return uint64_t(pages) * uint64_t(page);
#endif
  return UINT64_MAX;
}

}  // namespace

void touch_pages(const Model& model) {
  const bool fits = model.info().weight_bytes < memory_bytes() / 4 * 3;
  for (size_t i = 0; i < model.tensor_count(); ++i) {
    const pith_tensor t = model.tensor(i);
    if (!fits && std::string_view(t.name, t.name_bytes).ends_with("_exps.weight")) continue;
    const volatile char* bytes = static_cast<const char*>(t.data);
    for (size_t at = 0; at < t.data_bytes; at += kPage) static_cast<void>(bytes[at]);
  }
}

}  // namespace pith::cli
