#!/usr/bin/env bash
# conan_test.sh CONAN [shared]: creates the package of packaging/conan, runs its test_package, and builds examples/embed by it. In a Conan home
# of its own, with xsimd from Debian's headers: no server is asked.
set -euo pipefail
conan=$1 source=$(cd "$(dirname "$0")/.." && pwd)
headers=${PITH_XSIMD_INCLUDE:-/usr/include}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CONAN_HOME=$work/home CONAN_NON_INTERACTIVE=1
fail() { echo "conan: $*" >&2; exit 1; }
"$conan" profile detect >/dev/null 2>&1
"$conan" remote disable '*' >/dev/null 2>&1
version=$(sed -n 's/^#define XSIMD_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$headers/xsimd/config/xsimd_config.hpp" | paste -sd.)
"$conan" create "$source/tests/packaging/conan_xsimd" --version="$version" -o "&:headers=$headers" >"$work/log" 2>&1 || { cat "$work/log"; fail "xsimd $version"; }

settings=(-s build_type=Debug -s compiler.cppstd=20)
shared=False
[ "${2:-}" != shared ] || shared=True
"$conan" create "$source/packaging/conan" --test-folder= "${settings[@]}" -o "pith/*:shared=$shared" >"$work/log" 2>&1 || { cat "$work/log"; fail "create"; }
version=$(sed -n 's/^project(pith VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")
cp -r "$source/packaging/conan/test_package" "$work/test_package"  # which Conan builds where it lies
cd "$work"
"$conan" test test_package "pith/$version" "${settings[@]}" -o "pith/*:shared=$shared" >"$work/log" 2>&1 || { cat "$work/log"; fail "test_package"; }
grep -x "pith $version: .*" "$work/log" || { cat "$work/log"; fail "its test_package says nothing of version $version"; }

"$conan" install --requires="pith/$version" "${settings[@]}" -o "pith/*:shared=$shared" -g CMakeDeps -g CMakeToolchain -of "$work/deps" >"$work/log" 2>&1 ||
  { cat "$work/log"; fail "install"; }
cmake -S "$source/examples/embed" -B "$work/embed" -DCMAKE_TOOLCHAIN_FILE="$work/deps/conan_toolchain.cmake" -DCMAKE_BUILD_TYPE=Debug >"$work/log" 2>&1 &&
  cmake --build "$work/embed" >>"$work/log" 2>&1 || { cat "$work/log"; fail "examples/embed"; }
text=$("$work/embed/embed" "$source/tests/golden/tiny.q4.gguf" "The fox")
[ ${#text} -gt 50 ] || fail "examples/embed says nothing: $text"
echo "conan: examples/embed prints ${#text} bytes; 1 passed"
