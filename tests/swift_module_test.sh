#!/usr/bin/env bash
# swift_module_test.sh: the C side of bindings/swift. clang reads its module map as Swift's importer does, a program that imports the
# module compiles, and every name of pith.h that the Swift sources use is one that the module has.
set -euo pipefail
command -v clang >/dev/null || { echo "skipped: no clang here"; exit 0; }
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "swift module: $*" >&2; exit 1; }
module=$source/bindings/swift/Sources/CPith/module.modulemap
compile() {
  clang -x objective-c -std=c11 -fsyntax-only -Werror -fmodules -fmodules-cache-path="$work/cache" -fmodule-map-file="$module" \
        -I "$source/include" "$1" 2>"$work/errors"
}
printf '@import CPith;\nint main(void) { return pith_version_number() == PITH_VERSION_NUMBER ? PITH_OK : 1; }\n' >"$work/imports.m"
compile "$work/imports.m" || fail "$(cat "$work/errors")"
sed 1d "$work/imports.m" >"$work/without.m"
! compile "$work/without.m" || fail "a program without the import compiles"

names=$(grep -rhoE '\b(pith|PITH)_[A-Za-z0-9_]+' "$source/bindings/swift/Sources/Pith" | sort -u)
[ "$(echo "$names" | wc -l)" -gt 40 ] || fail "too few names to be true: $names"
# All that is a value or a function may stand alone in a statement; a type, in sizeof.
uses() {
  echo '@import CPith;'
  echo 'void use(void) {'
  for name in $1; do
    if grep -qE "^(typedef .*|\} )$name;|^typedef enum $name |^typedef struct $name " "$source/include/pith/pith.h"; then
      echo "  (void)sizeof($name*);"
    else
      echo "  (void)($name);"
    fi
  done
  echo '}'
}
uses "$names" >"$work/uses.m"
compile "$work/uses.m" || fail "$(cat "$work/errors")"
uses "pith_no_such_name" >"$work/uses.m"
! compile "$work/uses.m" || fail "a name that is not there is found"
echo "swift module: $(echo "$names" | wc -l) names; 1 passed"
