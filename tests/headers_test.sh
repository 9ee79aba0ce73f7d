#!/usr/bin/env bash
# headers_test.sh CXX CC [XSIMD]: every header of include/, src/, simd/ and system/ compiles alone, as C++20; pith.h also as C99 and C11.
# XSIMD: the folder of its headers. Tiers of another CPU are left out, and so are fragments (.inc), which are parts of a file.
set -euo pipefail
export CXX=$1 CC=$2 XSIMD=${3:-}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "headers: $*" >&2; exit 1; }

# alone HEADER: a file of nothing but that header, with the flags of its tier.
alone() {
  local flags=(-std=c++20 -fsyntax-only -x c++ -Wall -Wextra -Wshadow -Werror -fmax-errors=2 -I include -I src -I simd -I system)
  [ -z "$XSIMD" ] || [ "$XSIMD" = /usr/include ] || flags+=(-isystem "$XSIMD")
  case "$1" in
    simd/avx2/*) flags+=(-mavx2 -mfma -mf16c) ;;
    simd/avxvnni/*) flags+=(-mavx2 -mfma -mf16c -mavxvnni) ;;
    simd/avx512/*) flags+=(-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mavx512vnni) ;;
    simd/neon_dotprod/*) flags+=(-march=armv8.2-a+dotprod) ;;
    simd/neon_i8mm/*) flags+=(-march=armv8.2-a+dotprod+i8mm) ;;
  esac
  # Twice: its guard holds.
  printf '#include "%s"\n#include "%s"\n' "$1" "$1" | "$CXX" "${flags[@]}" -I . - 2>&1 || { echo "headers: $1 does not compile alone"; return 1; }
}
export -f alone

case "$("$CXX" -dumpmachine)" in
  x86_64*) foreign='^simd/neon' ;;
  aarch64*) foreign='^simd/avx' ;;
  *) foreign='^simd/(neon|avx)' ;;
esac
case "$("$CXX" -dumpmachine)" in *mingw*|*windows*) ;; *) foreign="$foreign|^system/windows" ;; esac
headers=$(find include src simd system -name '*.h' -o -name '*.hpp' | grep -vE "$foreign" | sort)
[ "$(echo "$headers" | wc -l)" -ge 30 ] || fail "too few headers to be true: $headers"
echo "$headers" | xargs -P 2 -I {} bash -c 'alone {}' >"$work/log" || fail "$(head -n 40 "$work/log")"

c_header() { echo "#include \"$2\"" | "$CC" -std="$1" -pedantic -Wall -Werror -fsyntax-only -x c -I include -; }
for standard in c99 c11; do c_header $standard pith/pith.h || fail "pith.h is not $standard"; done

# The controls: a header that needs another one is seen, and so is one that is not C.
mkdir -p "$work/src"
echo 'inline uint32_t one() { return 1; }' >"$work/src/needy.h"
echo 'static inline int one() { return 1; } struct two { int three = 3; };' >"$work/src/foreign.h"
! (cd "$work" && alone src/needy.h) >/dev/null || fail "the check does not see a header that needs another"
! c_header c99 "$work/src/foreign.h" 2>/dev/null || fail "the check does not see a header that is not C"
echo "headers: $(echo "$headers" | wc -l) compile alone; 1 passed"
