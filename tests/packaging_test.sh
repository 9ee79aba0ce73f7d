#!/usr/bin/env bash
# packaging_test.sh BUILD MODEL: pith inside other people's builds - add_subdirectory, FetchContent, vcpkg's port - and in Debian
# packages. Every program that links it prints the text of the one that links the installed build (tests/install_test.sh).
#
# The library is compiled without optimisation here: as fast as it can be compiled, and with the same results. With ccache, once.
set -euo pipefail
build=$1 model=$2 source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "packaging: $*" >&2; exit 1; }
passed=0
pass() { echo "ok: $*"; passed=$((passed + 1)); }
if command -v ccache >/dev/null; then  # trees lie alike below their builds, so that one's objects are the next one's
  export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1
fi
quick=(-DCMAKE_BUILD_TYPE=Quick -DCMAKE_CXX_FLAGS_QUICK=-O0 "-DLANGUAGES=C;CXX" -DEMBED_SOURCE="$source/examples/embed/embed.c")
# What only tools and tests need is not to be looked for, even where it is installed.
for package in fmt nlohmann_json OpenSSL CLI11 doctest Eigen3 OpenMP benchmark; do quick+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON"); done

# configure NAME OPTION..: the parent project, in $work/NAME.
configure() { cmake -S "$source/tests/packaging" -B "$work/$1" -G Ninja "${quick[@]}" "${@:2}" >"$work/$1.log" 2>&1; }
must_configure() { configure "$@" || { cat "$work/$1.log"; fail "$1 is not configured"; }; }
# refuses NAME PATTERN OPTION..: configuring fails, and says why.
refuses() {
  ! configure "$1" "${@:3}" || fail "$1: was taken"
  tr -s ' \n' ' ' <"$work/$1.log" | grep -e "$2" >/dev/null || { cat "$work/$1.log"; fail "$1: does not say: $2"; }
}
# says PROGRAM: its text is that of the installed build.
says() { [ "$("$1" "$model" "The fox")" = "$expected" ] || fail "$1 prints another text"; }
links_shared() { ldd "$1" | grep 'libpith\.so\.0 =>' >/dev/null; }
no_leaks() { [ ! -s "$work/$1/leaks.txt" ] || fail "$1 leaves behind: $(cat "$work/$1/leaks.txt")"; }

cmake --install "$build" --prefix "$work/prefix" >/dev/null
must_configure found -DHOW=find_package -DLANGUAGES=C -DCMAKE_PREFIX_PATH="$work/prefix" -DEXPECT_KIND=static
cmake --build "$work/found" >/dev/null
expected=$("$work/found/embed" "$model" "The fox")
[ ${#expected} -gt 50 ] || fail "the installed library says nothing: $expected"
pass "find_package"

# What the library needs, and no more: neither tools nor tests.
archive=$work/pith.tar.gz
tar -C "$source" -czf "$archive" CMakeLists.txt cmake include simd src system
mkdir -p "$work/sub/_deps/pith-src"
tar -C "$work/sub/_deps/pith-src" -xzf "$archive"
must_configure sub -DHOW=add_subdirectory -DPITH_TREE="$work/sub/_deps/pith-src" -DEXPECT_KIND=static
no_leaks sub
cmake --build "$work/sub" >/dev/null
says "$work/sub/embed"
! links_shared "$work/sub/embed" || fail "pith::pith is shared without BUILD_SHARED_LIBS"
[ ! -e "$work/sub/_deps/pith-build/libpith.so" ] || fail "the library that nothing links was built"
cmake --install "$work/sub" --prefix "$work/sub/installed" >/dev/null
[ "$(cd "$work/sub/installed" && find . -type f)" = ./bin/embed ] || fail "installed besides the program: $(find "$work/sub/installed")"
pass "add_subdirectory"

must_configure fetched -DHOW=FetchContent -DPITH_TREE="file://$archive" -DBUILD_SHARED_LIBS=ON -DEXPECT_KIND=shared
no_leaks fetched
cmake --build "$work/fetched" >/dev/null
says "$work/fetched/embed"
links_shared "$work/fetched/embed" || fail "pith::pith is static with BUILD_SHARED_LIBS"
pass "FetchContent"

# The check for leaks sees one of each kind.
must_configure leaking -DHOW=add_subdirectory -DPITH_TREE="$work/sub/_deps/pith-src" -DEXPECT_KIND=static -DLEAKY=ON
for leak in 'cache LEAKED_CACHE' 'cache LEAKED_OPTION' 'variable LEAKED_VARIABLE' 'variable CMAKE_CXX_STANDARD' 'target leaked_target' \
            'test leaked_test' 'property COMPILE_DEFINITIONS LEAKED_DEFINITION' 'package LeakedPackage'; do
  grep -e "^$leak" "$work/leaking/leaks.txt" >/dev/null || fail "not seen: $leak"
done
pass "leaks are seen"

tree=(-DHOW=add_subdirectory "-DPITH_TREE=$work/sub/_deps/pith-src" -DEXPECT_KIND=static)
case $(uname -m) in x86_64 | aarch64)
  refuses no_xsimd 'libxsimd-dev on Debian.*set PITH_XSIMD_INCLUDE' "${tree[@]}" -DPITH_XSIMD_INCLUDE=/nowhere ;;
esac
refuses with_tests 'PITH_TESTS: inside another project' "${tree[@]}" -DPITH_TESTS=ON
refuses other_kind 'PITH_INSTALL_KINDS: "dynamic"' "${tree[@]}" -DPITH_INSTALL=ON -DPITH_INSTALL_KINDS=dynamic
pass "refusals"

# vcpkg's port, by the functions that it calls; then a program by the package.
mkdir -p "$work/vcpkg/_deps/pith-src"
tar -C "$work/vcpkg/_deps/pith-src" -xzf "$archive"
cp -r "$source/packaging" "$source/LICENSE" "$source/NOTICE" "$source/sbom.spdx.json" "$work/vcpkg/_deps/pith-src"
cmake -DPORT="$work/vcpkg/_deps/pith-src/packaging/vcpkg/pith" -DPACKAGE="$work/vcpkg/package" -DBUILD="$work/vcpkg" -DLINKAGE=static \
      -P "$source/tests/packaging/vcpkg.cmake"
must_configure by_vcpkg -DHOW=find_package -DCMAKE_PREFIX_PATH="$work/vcpkg/package" -DEXPECT_KIND=static -DBUILD_SHARED_LIBS=ON
cmake --build "$work/by_vcpkg" >/dev/null
says "$work/by_vcpkg/embed"
[ ! -e "$work/vcpkg/package/lib/libpith.so" ] && grep -q Apache "$work/vcpkg/package/share/pith/copyright" || fail "the port's package has other files"
version=$(sed -n 's/^project(pith VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")
grep -q "\"version\": \"$version\"" "$source/packaging/vcpkg/pith/vcpkg.json" || fail "packaging/vcpkg/pith/vcpkg.json is not of version $version"
pass "vcpkg's port, emulated"

if ! command -v dpkg-shlibdeps >/dev/null || ! command -v file >/dev/null; then
  echo "skipped: Debian packages: no dpkg-shlibdeps and file here (apt-get install dpkg-dev file)"
else
  (cd "$build" && cpack -G DEB -B "$work/deb" >"$work/cpack.log" 2>&1) || { cat "$work/cpack.log"; fail "cpack -G DEB"; }
  for package in "$work"/deb/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  field() { dpkg-deb -f "$work/deb/$1"_"$version"-1_*.deb "$2"; }
  field libpith-dev Depends | grep -qx "libpith0 (= $version-1)" || fail "libpith-dev depends on: $(field libpith-dev Depends)"
  field libpith0 Depends | grep -q libc6 || fail "libpith0 depends on: $(field libpith0 Depends)"
  ! field libpith0 Depends | grep -E 'libstdc|libgcc|libgomp' || fail "libpith0 depends on a C++ runtime"
  for package in libpith0 libpith-dev; do [ -s "$work/root/usr/share/doc/$package/copyright" ] || fail "$package has no copyright"; done
  for kind in static shared; do
    must_configure "deb_$kind" -DHOW=find_package -DLANGUAGES=C -DCOMPONENTS=$kind -DCMAKE_PREFIX_PATH="$work/root/usr" -DEXPECT_KIND=$kind
    cmake --build "$work/deb_$kind" >/dev/null
    says "$work/deb_$kind/embed"
  done
  links_shared "$work/deb_shared/embed" || fail "the component shared is static"
  if [ -e "$build/pith" ]; then
    "$work/root/usr/bin/pith" --version | grep -q "$version" || fail "the packaged command is not of version $version"
  fi
  pass "Debian packages: $(cd "$work/deb" && du -b ./*.deb | sort -k2 | awk '{printf "%s%s %d KB", n++ ? ", " : "", substr($2, 3), $1 / 1000}')"
fi
echo "$passed passed"
