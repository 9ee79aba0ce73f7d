#include "touched_pages.h"

#include <string_view>

#include "machine.h"

namespace pith::cli {
namespace {

constexpr size_t kPage = 4096;  // the smallest there is

}  // namespace

void touch_pages(const Model& model) {
  const bool fits = model.info().weight_bytes < internal::memory_bytes() / 4 * 3;
  for (size_t i = 0; i < model.tensor_count(); ++i) {
    const pith_tensor t = model.tensor(i);
    if (!fits && std::string_view(t.name, t.name_bytes).ends_with("_exps.weight")) continue;
    const volatile char* bytes = static_cast<const char*>(t.data);
    for (size_t at = 0; at < t.data_bytes; at += kPage) static_cast<void>(bytes[at]);
  }
}

}  // namespace pith::cli
