#include "dispatch.h"

#include <string_view>

#include "cpu.h"
#include "tables.h"

namespace pith::internal {
namespace {

bool always() { return true; }

struct Entry {
  const Kernels* kernels;
  bool (*usable)();
};

// Best first.
const Entry kTiers[] = {
#ifdef PITH_TIERS_X86
    {&kKernelsAvx512, cpu_has_avx512}, {&kKernelsAvxVnni, cpu_has_avxvnni},     {&kKernelsAvx2, cpu_has_avx2},
#endif
#ifdef PITH_TIERS_ARM
    {&kKernelsNeonI8mm, cpu_has_i8mm}, {&kKernelsNeonDotprod, cpu_has_dotprod}, {&kKernelsNeon, always},
#endif
    {&kKernelsScalar, always},
};

}  // namespace

size_t tier_count() { return sizeof kTiers / sizeof kTiers[0]; }

Tier tier_at(size_t index) { return {kTiers[index].kernels, kTiers[index].usable()}; }

const Kernels* choose_tier(const char* name) {
  for (const Entry& tier : kTiers) {
    const bool wanted = name == nullptr || std::string_view(name) == tier.kernels->name;
    if (wanted && tier.usable()) return tier.kernels;
  }
  return nullptr;
}

}  // namespace pith::internal
