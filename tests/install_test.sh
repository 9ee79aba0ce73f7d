#!/usr/bin/env bash
# install_test.sh BUILD MODEL: installs the build into a scratch prefix, then builds and runs the examples against it by
# find_package, and the one in C by pkg-config too.
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
# The .pc file names the prefix of the configuration; a moved tree says so.
pc=$(find "$work/prefix" -name pith.pc)
flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$work/prefix" --static --cflags --libs pith)
gcc -std=c99 "$source/examples/embed/embed.c" $flags -Wl,-rpath,"$(dirname "$(find "$work/prefix" -name libpith.so)")" -o "$work/by_pkg_config"
by_pkg_config=$("$work/by_pkg_config" "$model" "The fox")
# A program of the version without a promise is not taken for one of this.
mkdir "$work/old" && printf 'cmake_minimum_required(VERSION 3.25)\nproject(old C)\nfind_package(pith 0.1 REQUIRED)\n' >"$work/old/CMakeLists.txt"
! cmake -S "$work/old" -B "$work/old/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null 2>&1 || { echo "find_package(pith 0.1) finds it"; exit 1; }
[ -n "$by_cmake" ] && [ "$by_cmake" = "$by_pkg_config" ]
[ ! -e "$work/prefix/bin/pith" ] || "$work/prefix/bin/pith" --version
echo "install: both ways print the same ${#by_cmake} bytes; 1 passed"
