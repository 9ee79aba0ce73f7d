#!/usr/bin/env bash
# packages_test.sh: tools/ci/install_packages runs sudo only for who said yes. Commands that would change the machine, and the user's
# number, are stand-ins of this test's.
set -uo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
mkdir "$work/bin"
stand_in() { printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1" && chmod +x "$work/bin/$1"; }
stand_in dpkg-query 'case "$*" in *here*) echo "install ok installed";; *) exit 1;; esac'
stand_in sudo "echo sudo \"\$@\" >>$work/ran"
stand_in apt-get "echo apt-get \"\$@\" >>$work/ran"
printf '%s\n' here 'absent-one  # why' absent-two >"$work/list"
echo here >"$work/complete"
export PATH="$work/bin:$PATH"
unset PITH_YES

# expect WHAT STATUS RAN: compares the last call's status and how many commands ran.
expect() {
  local ran=0
  [ ! -f "$work/ran" ] || ran=$(wc -l <"$work/ran")
  [ "$status" -eq "$2" ] && [ "$ran" -eq "$3" ] && return
  echo "$1: status $status for $2, $ran commands for $3: $(cat "$work/out" "$work/ran" 2>&1)"
  failures=$((failures + 1))
}

call() {  # install_packages ARGUMENT.., without a terminal
  rm -f "$work/ran"
  "$repository/tools/ci/install_packages" "$@" </dev/null >"$work/out" 2>&1
  status=$?
}

answer() {  # install_packages on a terminal whose user types $1
  rm -f "$work/ran"
  printf '%s\n' "$1" | script -qec "$repository/tools/ci/install_packages $work/list" /dev/null >"$work/out" 2>&1
  status=$?
}

stand_in id 'echo 1000'
call "$work/complete"
expect "nothing is missing" 0 0
call "$work/list"
expect "nobody can be asked" 1 0
grep -q 'sudo apt-get install --no-install-recommends absent-one absent-two' "$work/out" || { echo "no command: $(cat "$work/out")"; failures=$((failures + 1)); }
PITH_YES=1 call "$work/list"
expect "PITH_YES" 0 2
PITH_YES=0 call "$work/list"
expect "PITH_YES of 0" 1 0
if command -v script >/dev/null; then
  answer y
  expect "yes" 0 2
  answer n
  expect "no" 1 0
  answer ''
  expect "no answer" 1 0
fi
stand_in id 'echo 0'
call "$work/list"
expect "root" 0 2
grep -q sudo "$work/ran" && { echo "root ran sudo"; failures=$((failures + 1)); }

[ "$failures" -eq 0 ] && echo "all package cases pass"
exit "$failures"
