#!/usr/bin/env bash
# foreign_command_test.sh NATIVE PROGRAM...: the pith command that was built for another system, as this machine runs it (PROGRAM: words,
# an emulator's among them), against this machine's own. What both print and write must be equal to the byte.
set -euo pipefail
native=$(realpath "$1")
shift
foreign=("${@:1:$#-1}" "$(realpath "${!#}")")
golden=$(cd "$(dirname "$0")/golden" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
checks=0
fail() { echo "foreign command: $*" >&2; exit 1; }
# Files are named as they lie here, so that sentences with their names are equal too.
cp "$golden/egmla.gguf" float.gguf
cp "$golden/tale.txt" tale.txt
printf 'The fox\nüber 漢字 – naïve\n' >lines.txt

# run HOW ARGUMENTS...: HOW is native or foreign; its output and status lie in HOW.out, HOW.err and HOW.status.
run() {
  local how=$1 status=0
  shift
  if [ "$how" = native ]; then "$native" "$@" >native.out 2>native.err </dev/null || status=$?
  else "${foreign[@]}" "$@" >foreign.out 2>foreign.err </dev/null || status=$?; fi
  echo "$status" >"$how.status"
}
# A session has addresses in it.
of_addresses=
[ "${PITH_FOREIGN_BITS:-64}" = 64 ] || of_addresses='|session_bytes'
# same STATUS ARGUMENTS...: both end with that status, and print the same, but for what the machine and its speed decide, and the last
# digits of a perplexity, whose exp is that of the system.
same() {
  local status=$1
  shift
  run native "$@"
  run foreign "$@"
  [ "$(cat foreign.status)" -eq "$status" ] || fail "$* ends with $(cat foreign.status), not $status: $(head -c 300 foreign.err)"
  [ "$(cat native.status)" -eq "$status" ] || fail "the native $* ends with $(cat native.status), not $status"
  sed -i -E '/^ *(tier|threads|tokens_per_s|mapped_bytes_in_memory'"$of_addresses"') /d; s/^((perplexity|bits_per_byte) .*\.[0-9]{9})[0-9]*$/\1/' native.out foreign.out
  cmp native.out foreign.out || fail "$* prints something else"
  checks=$((checks + 1))
}
# same_file NAME ARGUMENTS...: likewise, and the file that they write, once by each, has the same bytes.
same_file() {
  local name=$1
  shift
  run native "$@"
  mv "$name" native.file
  run foreign "$@"
  [ "$(cat native.status)$(cat foreign.status)" = 00 ] || fail "$*: $(head -c 300 foreign.err)"
  cmp native.file "$name" || fail "$* writes another file"
  checks=$((checks + 1))
}

same 0 --version
same 0 run -n 48 --seed 7 -p "The fox and the lantern"
[ "$(wc -c <foreign.out)" -gt 100 ] || fail "no story"
cp foreign.out story
same 0 run -n 24 --seed 8 --temp 0 --threads 2 -p "Zwölf Füchse – 漢字"
grep -q "^Zwölf Füchse – 漢字" foreign.out || fail "what is beyond ASCII does not come back"
same 0 run -n 8 --logprobs 3
same 0 run -n 8 --file tale.txt --context 64
same 0 info youtu-2b --context 32768  # of a size that addresses of 32 bits reach
same 0 eval --text tale.txt --limit 200
same 0 embed --file lines.txt --normalise
same 0 verify
same_file "Füchse 漢字.gguf" quantize float.gguf "Füchse 漢字.gguf"
same 0 verify "Füchse 漢字.gguf"
same 0 info "Füchse 漢字.gguf"
same_file "Füchse 漢字.gguf" quantize float.gguf "Füchse 漢字.gguf" --type q8  # over a file that is there
same 1 quantize float.gguf float.gguf
cmp "$golden/egmla.gguf" float.gguf || fail "an input was written over"
same 1 info absent.gguf
same 1 info /absent.gguf  # a path, and no option of Windows
same 1 quantize "$(basename "$golden")" out.gguf
same 2 run --no-such-option

# A prompt that is kept: written, read, and written over.
for prompt in "The fox and" "The fox and" "The fox and the hen"; do same 0 run -n 8 --prompt-cache cache -p "$prompt"; done

# A state that one of them saves is the other's too.
same_file state run -n 16 --seed 7 --save-state state
same 0 run -n 16 --load-state state
run native run -n 16 --load-state native.file
cmp native.out foreign.out || fail "a state goes on in another way"
"${foreign[@]}" run -n 16 --load-state state --save-state state >/dev/null 2>foreign.err || fail "a state over itself: $(cat foreign.err)"
# Speeds are the machine's, bits are not.
hashes() { grep -o '"logits_hash": *"[0-9a-f]*"' "$1"; }
for how in native foreign; do
  run $how bench --depth 0,16 -n 4 --repeat 1 --threads 1 --skip-bandwidth --json
  hashes $how.out >$how.hashes || fail "no hashes of $how: $(head -c 300 $how.err)"
done
cmp native.hashes foreign.hashes || fail "bench has other bits"
ls -A | grep tmp && fail "unfinished files"
# The control: another story is seen.
"${foreign[@]}" run -n 48 --seed 9 -p "The fox and the lantern" 2>/dev/null | cmp -s - story && fail "another seed tells the same story"

# Where serve was built in, it answers; elsewhere it says why not.
run foreign serve --port no-port
if grep -q "left out of this build" foreign.err; then
  served="without serve"
else
  "${foreign[@]}" serve --port 0 2>server.log &
  server=$!
  for _ in $(seq 300); do grep -q "^listening on" server.log && break || sleep 0.1; done
  url=$(sed -n 's/^listening on //p' server.log)
  body='{"model": "built-in", "prompt": "The fox", "max_tokens": 16, "temperature": 0}'
  answer=$(python3 -c 'import json, sys, urllib.request as u
request = u.Request(sys.argv[1] + "/v1/completions", sys.argv[2].encode(), {"Content-Type": "application/json"})
print(json.load(u.urlopen(request, timeout=60))["choices"][0]["text"], end="")' "$url" "$body") || { kill $server; fail "serve: $(cat server.log)"; }
  kill -INT $server
  wait $server || fail "serve ends with $?: $(cat server.log)"
  [ "The fox$answer" = "$("$native" run -n 16 --temp 0 -p "The fox" 2>/dev/null)" ] || fail "serve answers something else: $answer"
  served="serve answers"
  checks=$((checks + 1))
fi
echo "foreign command: $checks checks against the native one, $served; 1 passed"
