#!/usr/bin/env bash
# streams_test.sh PITH: where the command's output goes, and what is said when it can't: closed descriptors, full devices, files that are none,
# signals half-way.
set -uo pipefail
pith=$1
golden=$(cd "$(dirname "$0")" && pwd)/golden/egmla.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
checks=0
fail() { echo "streams: $*" >&2; exit 1; }
# expect STATUS TEXT COMMAND_LINE: exit status, and a word that standard error must contain
expect() {
  rm -f err
  bash -c "$3" 2>err
  local got=$?
  [ "$got" -eq "$1" ] || fail "$3 exits with $got, not $1: $(head -c 300 err)"
  [ -z "$2" ] || grep -qF -- "$2" err || fail "$3: standard error lacks \"$2\": $(head -c 300 err)"
  checks=$((checks + 1))
}
export PITH=$pith
expect 0 "" '$PITH run -n 4 >story'
grep -q "^Once upon" story || fail "no story"

# Standard output that cannot take it.
for command in "run -n 4" "run -n 4 --json" "info" "info --json" "verify" "--help" "--version" "bench --depth 0 -n 1 --repeat 1 --threads 1"; do
  expect 1 "standard output: No space left on device" "\$PITH $command >/dev/full"
  expect 1 "standard output: Bad file descriptor" "\$PITH $command >&-"
  expect 0 "" "\$PITH $command >/dev/null"
done
# A reader that has seen enough is no trouble.
expect 0 "" '{ $PITH info --tensors; echo $? >status; } | head -n 1 >/dev/null; exit $(cat status)'
expect 0 "" '{ $PITH run -n 64; echo $? >status; } | head -c 4 >out; exit $(cat status)'

# Standard error is for people.
expect 0 "" '$PITH run -n 4 >out 2>/dev/full'
cmp -s story out || fail "a full standard error changes the story"
expect 0 "" '$PITH run -n 4 >out 2>&-'
cmp -s story out || fail "a closed standard error changes the story"
expect 1 "" '$PITH info absent.gguf 2>/dev/full'

# Closed descriptors: no file gets their numbers.
expect 1 "" '$PITH run -n 4 --save-state state >&- 2>&-'
expect 0 "" '$PITH run -n 4 --save-state state >out <&- 2>&-'
cmp -s story out || fail "closed descriptors change the story"
head -c 7 state | grep -q PITHRUN || fail "something else is in the state: $(head -c 40 state)"
expect 0 "" '$PITH run -n 4 --load-state state >out'

# Files: who may read them, and what stands there already.
[ "$(stat -c %a state)" = 600 ] || fail "a state is readable by others: $(stat -c %a state)"
chmod 644 state
expect 0 "" '$PITH run -n 4 --save-state state >out'
[ "$(stat -c %a state)" = 600 ] || fail "a state that is written over is readable by others"
expect 0 "" 'umask 027; $PITH synth m shared.gguf; chmod 604 shared.gguf; [ "$(stat -c %a shared.gguf)" = 604 ] && $PITH synth m shared.gguf'
[ "$(stat -c %a shared.gguf)" = 604 ] || fail "a file that is written over has other permissions: $(stat -c %a shared.gguf)"
expect 0 "" 'umask 027; $PITH synth m new.gguf'
[ "$(stat -c %a new.gguf)" = 640 ] || fail "the umask is not heeded: $(stat -c %a new.gguf)"
echo '{"layers": 1}' >bad.json
expect 1 "" '$PITH synth bad.json x.gguf'
[ ! -e x.gguf ] || fail "a refused shape leaves a file"
long=$(printf 'x%.0s' $(seq 250))
expect 0 "" "\$PITH run -n 4 --save-state $long >out"
[ -s "$long" ] || fail "no state under a long name"
ln -s target link
expect 0 "" '$PITH run -n 4 --save-state link >out'
[ -L link ] && [ -s target ] && cmp -s target state || fail "a link is not followed"
ln -s nowhere/target dangling
expect 1 "option --save-state: file dangling: No such file or directory" '$PITH run -n 4 --save-state dangling'
expect 0 "" '$PITH run -n 4 --save-state /dev/null >out'
[ -c /dev/null ] || fail "a device has become a file"
expect 1 "file /dev/full: No space left on device" '$PITH run -n 4 --save-state /dev/full'
expect 0 "" '$PITH synth m /dev/null'
expect 0 "/dev/null: " "\$PITH quantize $golden /dev/null"
mkfifo pipe
expect 0 "" 'cat pipe >got & $PITH run -n 4 --save-state pipe >out; wait'
[ -p pipe ] && cmp -s got state || fail "a pipe is not written as it is"
expect 1 "file .: Is a directory" '$PITH run -n 4 --save-state .'
# A file that must not grow.
expect 1 "File too large" 'ulimit -f 1; $PITH run -n 4 --save-state large'
[ ! -e large ] || fail "half a state is left"

# Signals half-way leave nothing: a state's file is there before the text is told.
for signal in TERM HUP; do
  rm -f out  # that of the command before
  "$pith" run -n 0 --temp 0 -p "The fox" --save-state half >out 2>/dev/null &
  for _ in $(seq 200); do [ -s out ] && break; sleep 0.05; done
  ls -A | grep -q '^\.pith\..*\.tmp$' || fail "no file is being written"
  kill -s "$signal" $!
  wait $! 2>/dev/null
  status=$?
  [ "$status" -gt 128 ] || fail "SIG$signal ends the command with $status"
  [ -z "$(ls -A | grep tmp)" ] && [ ! -e half ] || fail "SIG$signal leaves $(ls -A | grep -e tmp -e half)"
  checks=$((checks + 1))
done

# What a stranger wrote into a file does not speak to the terminal.
expect 0 "" '$PITH synth m m.gguf'
python3 - <<'PYTHON' || fail "no hostile file"
data, plain, hostile = open("m.gguf", "rb").read(), b"random weights", b"\x1b]0;bad\x07\xc2\x9b1\xff--"
assert data.count(plain) == 1 and len(plain) == len(hostile)
open("hostile.gguf", "wb").write(data.replace(plain, hostile))
PYTHON
expect 0 "" '$PITH info m.gguf >out'
grep -q "random weights" out || fail "info lacks the description"
expect 0 "" '$PITH info hostile.gguf --tensors >out'
grep -qF '\x1b]0;bad\x07\x9b1\xff--' out || fail "info does not show what the description holds: $(grep description out)"
LC_ALL=C grep -q '[^[:print:][:space:]]' out && fail "control characters reach the terminal"

[ -z "$(ls -A | grep tmp)" ] || fail "temporary files are left: $(ls -A)"
# Nothing that is written while the program runs decides where it jumps.
if command -v readelf >/dev/null; then
  readelf -lW "$pith" | grep GNU_RELRO >/dev/null && readelf -dW "$pith" | grep NOW >/dev/null || fail "the command is not bound at once"
  readelf -sW "$pith" | grep __stack_chk_fail >/dev/null || fail "the command has no stack protector"
  checks=$((checks + 1))
fi
echo "streams: $checks commands behave; 1 passed"
