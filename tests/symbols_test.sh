#!/usr/bin/env bash
# symbols_test.sh LIBPITH.a LIBPITH.so PITH.h: what the library refers to, defines and exports. Every check has a positive
# control, so that a check that cannot see fails.
set -euo pipefail
# NM, OBJDUMP, AR, CC and CXX name the tools of another CPU.
archive=$1 shared=$2 header=$3
nm=${NM:-nm} objdump=${OBJDUMP:-objdump} ar=${AR:-ar} cc=${CC:-gcc} cxx=${CXX:-g++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "symbols: $*" >&2; exit 1; }

forbidden=' U (malloc|calloc|realloc|free|posix_memalign|aligned_alloc|_Zn[wa]|_Zd[la]|__cxa_|_ZSt|_ZNSt|abort|exit|_exit|qsort|v?f?printf|v?sn?printf|puts|putchar|fwrite|fopen|__tls_get_addr|exp|expf|sin|cos|pow|powf|log|tanh|erf)'
undefined() { "$nm" -u "$1" | grep -E "$forbidden" || true; }

# (grep without -q reads to the end: with pipefail, a writer that it hangs up on would fail the pipeline.)
"$nm" "$archive" | grep ' T pith_session_eval' >/dev/null || fail "$archive has no pith_session_eval"
[ -z "$(undefined "$archive")" ] || fail "forbidden references: $(undefined "$archive")"
echo '#include <stdlib.h>
void* f(void) { return malloc(1); }' | "$cc" -x c -c - -o "$work/control.o"
[ -n "$(undefined "$work/control.o")" ] || fail "the check for malloc does not see malloc"

# The trace of src/ground/trace.h is in the traced build alone: neither its symbols nor its names are here.
source=$(cd "$(dirname "$0")/.." && pwd)
traces() { "$nm" "$1" | grep -i trace || true; }
[ -z "$(traces "$archive")" ] || fail "the trace is in $archive: $(traces "$archive")"
"$cxx" -std=c++20 -DPITH_TRACE -I "$source/src" -c "$source/src/ground/trace.cpp" -o "$work/trace.o"
[ -n "$(traces "$work/trace.o")" ] || fail "the check for the trace does not see it"
names() { grep -caE 'c_scale|attn_in' "$1" || true; }
[ "$(names "$archive")" -eq 0 ] || fail "names of traced tensors are in $archive"
[ "$(names "$source/src/forward/transformer.cpp")" -gt 0 ] || fail "the check for traced names does not see one"

# A tier's objects define no weak symbols: the linker could choose a copy with the wrong instructions.
(cd "$work" && "$ar" x "$archive")
weak() { "$nm" "$@" | grep -E ' [WVu] ' || true; }
tiers=$(cd "$work" && ls table_*.cpp.o | sed 's/table_//; s/.cpp.o//')
[ "$(echo "$tiers" | wc -l)" -ge 3 ] || fail "too few tiers to be true: $tiers"
for tier in $tiers; do
  [ -z "$(weak "$work"/*_"$tier".cpp.o)" ] || fail "weak symbols in $tier: $(weak "$work"/*_"$tier".cpp.o)"
done
echo 'inline int twice(int x) { return 2 * x; } int (*f)(int) = twice;' | "$cxx" -x c++ -c - -o "$work/weak.o"
[ -n "$(weak "$work/weak.o")" ] || fail "the check for weak symbols does not see one"

# No instruction outside the tiers whose CPUs have it: forbid REGEX TIER_REGEX, where the tiers are those that may and must use it.
forbid() {
  local object name count
  for object in "$work"/*.cpp.o; do
    name=$(basename "$object" .cpp.o)
    count=$("$objdump" -d --no-show-raw-insn "$object" | grep -cE "$1" || true)
    if [[ $name =~ ^products_($2)$ ]]; then [ "$count" -gt 0 ] || fail "the check for $1 does not see $name"
    elif [[ ! $name =~ _($2)$ ]]; then [ "$count" -eq 0 ] || fail "$1 in $name"; fi
  done
}
case "$("$objdump" -f "$work/cpu.cpp.o")" in
  *x86-64*)
    forbid '\sv[a-z0-9]+ .*%[xyz]mm' 'avx2|avxvnni|avx512'
    forbid 'vpdpbusd' 'avxvnni|avx512'
    forbid '%zmm|%[xy]mm(1[6-9]|2[0-9]|3[01])|%k[0-7]' 'avx512' ;;
  *aarch64*)
    forbid '\s[us]dot\s' 'neon_dotprod|neon_i8mm'
    forbid '\s[us]mmla\s' 'neon_i8mm' ;;
  *) fail "for which CPU is $archive?" ;;
esac

# The shared library exports what the header declares, and nothing else.
exported=$("$nm" -D --defined-only "$shared" | awk '$2 == "T" {print $3}' | sed 's/@.*//' | sort)
declared=$(grep -oE '^(PITH_NODISCARD )?PITH_API [^;(]*\(' "$header" | grep -oE 'pith_[a-z0-9_]+\($' | tr -d '(' | sort)
[ "$(echo "$declared" | wc -l)" -gt 20 ] || fail "the header declares too little to be true"
diff <(echo "$declared") <(echo "$exported") || fail "exports differ from the header's declarations"
# And pith.hpp, with the headers that are parts of it, wraps all of it.
wrapped() { grep -qE "\\b$1\\b" "$(dirname "$header")"/*.hpp; }
for name in $declared; do wrapped "$name" || fail "pith.hpp does not wrap $name"; done
! wrapped pith_session_no_such_function || fail "the check for pith.hpp finds what is not there"
# Every function that can fail says so last, and warns where nobody looks.
failing=$(tr '\n' ' ' <"$header" | grep -oE '(PITH_NODISCARD )?PITH_API pith_status [^;]*;')
[ "$(echo "$failing" | wc -l)" -gt 20 ] || fail "the header's functions that can fail were not found"
! echo "$failing" | grep -vE '^PITH_NODISCARD .*pith_error\* error\);$' || fail "no PITH_NODISCARD, or no pith_error last"
readelf -d "$shared" | grep 'SONAME.*libpith.so.0' >/dev/null || fail "no SONAME libpith.so.0"
! readelf -d "$shared" | grep 'NEEDED.*libstdc++' >/dev/null || fail "needs libstdc++"
echo "symbols: $(echo "$exported" | wc -l) exports, no forbidden reference; 1 passed"
