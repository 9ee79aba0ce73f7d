#!/usr/bin/env bash
# install_test.sh BUILD MODEL: installs the build into a scratch prefix, then builds and runs the embedding example against it
# by find_package and by pkg-config.
set -euo pipefail
build=$1 model=$2 source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$source/examples/embed" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build" >/dev/null
by_cmake=$("$work/build/embed" "$model" "The fox")
# The .pc file names the prefix of the configuration; a moved tree says so.
pc=$(find "$work/prefix" -name pith.pc)
flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$work/prefix" --static --cflags --libs pith)
gcc -std=c99 "$source/examples/embed/embed.c" $flags -Wl,-rpath,"$(dirname "$(find "$work/prefix" -name libpith.so)")" -o "$work/embed"
by_pkg_config=$("$work/embed" "$model" "The fox")
[ -n "$by_cmake" ] && [ "$by_cmake" = "$by_pkg_config" ]
"$work/prefix/bin/pith" --version
echo "install: both ways print the same ${#by_cmake} bytes; 1 passed"
