#!/usr/bin/env bash
# kotlin_test.sh BUILD [FOLDER]: compiles bindings/kotlin against the build's library, and tests/kotlin and examples/kotlin with it; runs both.
# The compiler and kotlinx.coroutines are those of the package of tools/ci/kotlin.lock, which FOLDER has or gets.
set -euo pipefail
build=$(cd "$1" && pwd) source=$(cd "$(dirname "$0")/.." && pwd) packages=${2:-$1/kotlin}
command -v javac >/dev/null || { echo "skipped: no javac here (openjdk-17-jdk-headless)"; exit 0; }
if [ ! -d "$packages/run_kotlin_kernel/jars" ]; then
  download=$(mktemp -d)
  trap 'rm -rf "$download"' EXIT
  "${PITH_PYTHON:-python3}" -m pip download -q --no-deps --require-hashes -r "$source/tools/ci/kotlin.lock" -d "$download" ||
    { echo "skipped: the package of tools/ci/kotlin.lock is not to be had"; exit 0; }
  mkdir -p "$packages"
  python3 -m zipfile -e "$download"/*.whl "$packages"
  rm -rf "$download"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jars=$packages/run_kotlin_kernel/jars
libraries=$(ls "$jars"/kotlin-jupyter-kernel-*-all.jar):$(ls "$jars"/kotlin-stdlib-*.jar)

cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$source/bindings/kotlin" -B "$work/jni" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" \
      -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror" >/dev/null
cmake --build "$work/jni" >/dev/null &
native=$!
mkdir "$work/classes" "$work/stubs"
javac -d "$work/stubs" $(find "$source/tests/kotlin/android" -name "*.java")
java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-stdlib -no-reflect -Werror \
     -cp "$libraries:$work/stubs" -d "$work/classes" "$source/bindings/kotlin/src" "$source/bindings/kotlin/android" \
     "$source/tests/kotlin/PithTest.kt" "$source/examples/kotlin/Story.kt" "$source/examples/android/StoryActivity.kt"
wait "$native"

# 2>&1: what -Xcheck:jni has to say.
run() { timeout 300 java -Xcheck:jni -Djava.library.path="$work/jni" --add-opens java.base/java.io=ALL-UNNAMED -cp "$libraries:$work/stubs:$work/classes" "$@" 2>&1; }
story=$(run StoryKt "$source/tools/model/m.q4.gguf" "The fox and the lantern")
[ ${#story} -gt 200 ] && [[ $story == "The fox and the lantern"* ]] || { echo "examples/kotlin says: $story"; exit 1; }
run PithTestKt "$source/tools/model/m.q4.gguf" "$source/tests/golden/tiny.q4.gguf" | tee "$work/said"
! grep -E 'WARNING in native|FATAL ERROR in native' "$work/said"  # of -Xcheck:jni
