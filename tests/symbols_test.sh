#!/usr/bin/env bash
# symbols_test.sh LIBPITH.a LIBPITH.so PITH.h: what the library refers to, defines and exports. Every check has a positive
# control, so that a check that cannot see fails.
set -euo pipefail
archive=$1 shared=$2 header=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "symbols: $*" >&2; exit 1; }

forbidden=' U (malloc|calloc|realloc|free|posix_memalign|aligned_alloc|_Zn[wa]|_Zd[la]|__cxa_|_ZSt|_ZNSt|abort|exit|_exit|qsort|v?f?printf|v?sn?printf|puts|putchar|fwrite|fopen|__tls_get_addr|exp|expf|sin|cos|pow|powf|log|tanh|erf)'
undefined() { nm -u "$1" | grep -E "$forbidden" || true; }

# (grep without -q reads to the end: with pipefail, a writer that it hangs up on would fail the pipeline.)
nm "$archive" | grep ' T pith_session_eval' >/dev/null || fail "$archive has no pith_session_eval"
[ -z "$(undefined "$archive")" ] || fail "forbidden references: $(undefined "$archive")"
echo '#include <stdlib.h>
void* f(void) { return malloc(1); }' | gcc -x c -c - -o "$work/control.o"
[ -n "$(undefined "$work/control.o")" ] || fail "the check for malloc does not see malloc"

# A tier's objects define no weak symbols: the linker could choose a copy with the wrong instructions.
(cd "$work" && ar x "$archive")
weak() { nm "$@" | grep -E ' [WVu] ' || true; }
[ -e "$work/table_avx2.cpp.o" ] || fail "no object of the AVX2 tier"
[ -z "$(weak "$work"/*avx2*.o "$work"/*scalar*.o)" ] || fail "weak symbols in a tier: $(weak "$work"/*avx2*.o)"
echo 'inline int twice(int x) { return 2 * x; } int (*f)(int) = twice;' | g++ -x c++ -c - -o "$work/weak.o"
[ -n "$(weak "$work/weak.o")" ] || fail "the check for weak symbols does not see one"

# No AVX instruction outside the AVX2 tier.
avx() { objdump -d --no-show-raw-insn "$@" | grep -cE '\sv[a-z0-9]+ .*%[xy]mm' || true; }
baseline=$(ls "$work"/*.cpp.o | grep -v avx2)
[ "$(avx $baseline)" -eq 0 ] || fail "AVX instructions in baseline objects"
[ "$(avx "$work"/matvec_avx2.cpp.o)" -gt 0 ] || fail "the check for AVX does not see the AVX2 tier"

# The shared library exports what the header declares, and nothing else.
exported=$(nm -D --defined-only "$shared" | awk '$2 == "T" {print $3}' | sed 's/@.*//' | sort)
declared=$(grep -oE '^PITH_API [^;(]*\(' "$header" | grep -oE 'pith_[a-z0-9_]+\($' | tr -d '(' | sort)
[ "$(echo "$declared" | wc -l)" -gt 20 ] || fail "the header declares too little to be true"
diff <(echo "$declared") <(echo "$exported") || fail "exports differ from the header's declarations"
readelf -d "$shared" | grep 'SONAME.*libpith.so.0' >/dev/null || fail "no SONAME libpith.so.0"
! readelf -d "$shared" | grep 'NEEDED.*libstdc++' >/dev/null || fail "needs libstdc++"
echo "symbols: $(echo "$exported" | wc -l) exports, no forbidden reference; 1 passed"
