#!/usr/bin/env bash
# install_test.sh BUILD MODEL: installs the build into a scratch prefix, then builds and runs the examples against it by
# find_package, and the one in C by pkg-config too, static and shared.
set -euo pipefail
build=$1 model=$2 source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
for example in embed chat cancel; do
  cmake -S "$source/examples/$example" -B "$work/$example" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
  cmake --build "$work/$example" >/dev/null
done
by_cmake=$("$work/embed/embed" "$model" "The fox")
answers=$(printf 'Who are you?\nWhere is the fox?\n' | timeout 60 "$work/chat/chat" "$model" chatml)
[ "$(echo "$answers" | grep -c '^> ')" -ge 2 ] || { echo "chat does not answer: $answers"; exit 1; }
cancelled=$(timeout 60 "$work/cancel/cancel" "$model")
echo "$cancelled" | grep '^session: cancelled after [0-9]* of 1000000 tokens' || { echo "not cancelled: $cancelled"; exit 1; }
# By pkg-config, where the tree lies: all of it linked statically, and with the shared library.
pc=$(find "$work/prefix" -name pith.pc)
export PKG_CONFIG_PATH=${pc%/*}
libraries=${pc%/pkgconfig/pith.pc}
gcc -std=c99 "$source/examples/embed/embed.c" -static $(pkg-config --static --cflags --libs pith) -o "$work/by_pkg_config_static"
gcc -std=c99 "$source/examples/embed/embed.c" $(pkg-config --cflags --libs pith) -Wl,-rpath,"$libraries" -o "$work/by_pkg_config_shared"
ldd "$work/by_pkg_config_shared" | grep "libpith\.so\.0 => $work" >/dev/null || { echo "pkg-config does not link the shared library"; exit 1; }
! ldd "$work/by_pkg_config_static" >/dev/null 2>&1 || { echo "pkg-config --static links shared libraries"; exit 1; }
by_pkg_config=$("$work/by_pkg_config_shared" "$model" "The fox")
[ "$("$work/by_pkg_config_static" "$model" "The fox")" = "$by_pkg_config" ]
# What pith::pith is: static, unless BUILD_SHARED_LIBS or a component asks; a component that there is not is refused.
mkdir "$work/kind"
printf '%s\n' 'cmake_minimum_required(VERSION 3.25)' 'project(kind C)' 'find_package(pith 0.3 REQUIRED COMPONENTS ${COMPONENTS})' \
  'get_target_property(kind pith::pith TYPE)' 'message("kind: ${kind}")' >"$work/kind/CMakeLists.txt"
kind() { cmake -S "$work/kind" -B "$work/kind/build" --fresh -DCMAKE_PREFIX_PATH="$work/prefix" "$@" 2>&1 | sed -n 's/^kind: //p'; }
[ "$(kind)" = STATIC_LIBRARY ] && [ "$(kind -DBUILD_SHARED_LIBS=ON)" = SHARED_LIBRARY ] && [ "$(kind -DCOMPONENTS=shared)" = SHARED_LIBRARY ] &&
  [ "$(kind -DCOMPONENTS=static -DBUILD_SHARED_LIBS=ON)" = STATIC_LIBRARY ] && [ -z "$(kind -DCOMPONENTS=dynamic)" ] ||
  { echo "pith::pith is another library than was asked for"; exit 1; }
# A program of the version without a promise is not taken for one of this.
mkdir "$work/old" && printf 'cmake_minimum_required(VERSION 3.25)\nproject(old C)\nfind_package(pith 0.1 REQUIRED)\n' >"$work/old/CMakeLists.txt"
! cmake -S "$work/old" -B "$work/old/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null 2>&1 || { echo "find_package(pith 0.1) finds it"; exit 1; }
[ -n "$by_cmake" ] && [ "$by_cmake" = "$by_pkg_config" ]
[ ! -e "$work/prefix/bin/pith" ] || "$work/prefix/bin/pith" --version
echo "install: both ways print the same ${#by_cmake} bytes; 1 passed"
