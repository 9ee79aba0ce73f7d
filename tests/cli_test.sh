#!/usr/bin/env bash
# cli_test.sh PITH: the command's exit statuses, streams and refusals.
set -uo pipefail
pith=$1 root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checks=0
fail() { echo "cli: $*" >&2; exit 1; }
# expect STATUS TEXT COMMAND...: exit status, and a word that standard error must contain
expect() {
  local status=$1 text=$2
  shift 2
  "$@" >"$work/out" 2>"$work/err" </dev/null
  local got=$?
  [ "$got" -eq "$status" ] || fail "$* exits with $got, not $status: $(head -c 300 "$work/err")"
  [ -z "$text" ] || grep -qF -- "$text" "$work/err" || fail "$*: standard error lacks \"$text\": $(head -c 300 "$work/err")"
  checks=$((checks + 1))
}

expect 0 "tokens/s" "$pith" run -n 8 -p "The fox"
grep -q "^The fox" "$work/out" || fail "run does not begin with the prompt"
expect 0 "" "$pith" run -n 8 --json
python3 -c 'import json,sys; d = json.load(open(sys.argv[1])); assert d["tokens"] == 8 and d["text"]' "$work/out" || fail "run --json"
"$pith" run -n 24 --seed 5 2>/dev/null >"$work/a"; "$pith" run -n 24 --seed 5 --threads 2 --tier scalar 2>/dev/null >"$work/b"
cmp -s "$work/a" "$work/b" || fail "the same seed tells another story on another tier"
"$pith" run -n 24 --seed 6 2>/dev/null | cmp -s - "$work/a" && fail "another seed tells the same story"
"$pith" run -p "" -n 64 --stop e 2>/dev/null | grep -q e && fail "--stop did not stop"
expect 0 "" "$pith" info --json
python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["plan"]["cache_elements_per_token"] == 384 and d["plan"]["session_bytes"] > 0 and len(d["tensors"]) > 50
assert d["metadata"]["general.license"] and d["metadata"]["general.attribution"]' "$work/out" || fail "info --json"
# A shape that no file has: what it would take, before anything is written.
expect 0 "" "$pith" info minicpm3-4b --context 32768 --json
python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["config"]["parameters"] == 4073875968 and d["plan"]["cache_elements_per_token"] == 62 * 288
assert d["plan"]["cache_bytes"] <= 0.65 * 2**30 and 2e9 < d["plan"]["weights_bytes"] < 2.6e9, d["plan"]' "$work/out" || fail "info of a shape"
# Of experts, a token reads those that are chosen.
expect 0 "" "$pith" info moonlight-16b --context 4096 --json
python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
p, c = d["plan"], d["config"]
assert c["experts"] == 64 and c["used_experts"] == 6 and c["parameters"] == 15960110208, c
assert p["expert_bytes_per_token"] * 64 == p["expert_bytes"] * 6 and p["expert_bytes"] < p["weights_bytes"], p
assert p["mapped_bytes"] == 0 and p["weight_bytes_per_token"] < 2e9 < 8e9 < p["weights_bytes"], p' "$work/out" || fail "info of a shape with experts"
expect 0 "" "$pith" info qwen2.5-0.5b --tensors
expect 1 "No such file" "$pith" info minicpm3-5b
expect 0 "" "$pith" verify
expect 0 "" "$pith" bench --depth 0,16 -n 4 --repeat 1 --threads 1,2 --json
python3 -c '
import json, sys
runs = json.load(open(sys.argv[1]))["runs"]
assert len(runs) == 6 and all(r["tokens_per_s"] > 0 for r in runs)
hashes = {(r["phase"], r["depth"]): set() for r in runs}
for r in runs: hashes[r["phase"], r["depth"]].add(r["logits_hash"])
assert all(len(h) == 1 for h in hashes.values()), hashes
assert all(r["distinct_ids"] == 0 if r["phase"] == "decode" and r["depth"] == 0 else 4 < r["distinct_ids"] <= 16 for r in runs)' "$work/out" || fail "bench --json"
grep -q "a token reads .* MB of weights$" <("$pith" bench --depth 0 -n 1 --repeat 1) || fail "bench prints no bytes"
expect 1 "option --fill" "$pith" bench --fill repeat --depth 600 -n 1 --repeat 1
grep -q '"machine_read_gb_per_s": 0.0,' <("$pith" bench --depth 0 -n 1 --repeat 1 --skip-bandwidth --json) || fail "bench --skip-bandwidth"
expect 0 "" "$pith" synth m "$work/m.gguf"
expect 0 "" "$pith" info "$work/m.gguf" --json
python3 -c '
import json, os, sys
p = json.load(open(sys.argv[1]))["plan"]
assert p["mapped_bytes"] == os.path.getsize(sys.argv[2]) and 0 < p["mapped_bytes_in_memory"] <= p["mapped_bytes"], p' "$work/out" "$work/m.gguf" || fail "info of a mapped file"
printf 'Once upon a time there was a fox. He had a lantern.' >"$work/text"
expect 0 "" "$pith" eval --text "$work/text" --json
python3 -c 'import json,sys; d = json.load(open(sys.argv[1])); assert 1 < d["perplexity"] < 5000 and d["bytes"] == 51' "$work/out" || fail "eval --json"
# What of a file is text, and what parts it, whatever ends its lines; nothing goes unsaid.
count() {  # FIELDS TEXT: bytes, documents, empty documents, lines in CRLF
  printf "$2" >"$work/text"
  "$pith" eval --text "$work/text" --json >"$work/out" 2>/dev/null || fail "eval of $2"
  local got
  got=$(python3 -c '
import json, sys
d = json.load(open(sys.argv[1])); print(d["bytes"], d["documents"], d.get("empty_documents", 0), d.get("crlf_lines", 0))' "$work/out")
  [ "$got" = "$1" ] || fail "eval counts $got, not $1, in $2"
  checks=$((checks + 1))
}
count "10 1 0 0" 'A fox.\nYes'
count "10 1 0 0" 'A fox.\nYes\n'
count "14 1 0 0" '\n\nA fox.\n\nYes\n\n'
count "11 1 0 2" 'A fox.\r\nYes\r\n'
count "9 2 0 0" 'A fox.\n<|endoftext|>\nYes'
count "9 2 0 4" 'A fox.\r\n<|endoftext|>\r\nYes\r\n<|endoftext|>\r\n'
count "9 2 2 0" '<|endoftext|>\nA fox.\n<|endoftext|>\n<|endoftext|>\nYes\n<|endoftext|>'
count "38 1 0 0" 'A fox.\n <|endoftext|>\nYes<|endoftext|>\n'
: >"$work/empty"
expect 1 "option --text: the file is empty" "$pith" eval --text "$work/empty"
# A base whose numbers stand for other tokens.
python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read()); at = data.index(b"\3\0\0\0\0\0\0\0the"); data[at + 8:at + 11] = b"thq"
open(sys.argv[2], "wb").write(data)' "$root/tools/model/m.q4.gguf" "$work/other.gguf" || fail "no token to change"
expect 1 "option --base: its token" "$pith" eval --text "$work/text" --base "$work/other.gguf"
# Numbers that do not fit, prompts longer than the context, a context that memory may not hold.
expect 2 "--seed: -1 is not" "$pith" run -n 1 --seed -1
expect 2 "--seed: 18446744073709551616 is not below" "$pith" run -n 1 --seed 18446744073709551616
expect 0 "" "$pith" run -n 1 --seed 18446744073709551615
expect 0 "the first 5 are forgotten" "$pith" run -n 1 --context 4 -p "The fox and the hen and"
[ "$(taskset -c 0 "$pith" run -n 1 2>&1 >/dev/null | grep -c " 1 threads")" = 1 ] || fail "one CPU allowed, and more threads"
python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read()); at = data.index(b"context_length") + 18; data[at:at + 4] = (1 << 24).to_bytes(4, "little")
open(sys.argv[2], "wb").write(data)' "$root/tools/model/m.q4.gguf" "$work/long.gguf"
expect 0 "of the model's 16777216 tokens" "$pith" run "$work/long.gguf" -n 1
# Text that has a form.
printf '{"type":"object","properties":{"name":{"type":"string","maxLength":8},"ages":{"type":"array","items":{"type":"integer","minimum":0,"maximum":99},"maxItems":3}},"required":["name","ages"]}' >"$work/schema"
printf 'root ::= ("fox" | "owl") " and " ("hen" | "hare") "."' >"$work/gbnf"
for seed in 1 2 3; do
  "$pith" run -p "Once" --json-schema "$work/schema" --seed $seed --json >"$work/out" 2>"$work/err" || fail "run --json-schema"
  python3 -c '
import json, sys
d = json.loads(json.load(open(sys.argv[1]))["text"].removeprefix("Once")); assert len(d["name"]) <= 8 and all(0 <= a <= 99 for a in d["ages"])' "$work/out" || fail "text of --json-schema"
  "$pith" run -p "" --grammar "$work/gbnf" --seed $seed 2>/dev/null | grep -qxE '(fox|owl) and (hen|hare)\.' || fail "text of --grammar"
done
expect 0 "ends before it fits" "$pith" run -n 1 --json-schema "$work/schema"
expect 1 "option --grammar: grammar: line 1" "$pith" run --grammar "$work/schema"
expect 1 "option --json-schema: file" "$pith" run --json-schema "$work/no such"
expect 2 "--grammar" "$pith" run --grammar "$work/gbnf" --json-schema "$work/schema"
expect 1 "a state does not hold" "$pith" run --grammar "$work/gbnf" --save-state "$work/state"
# Inputs that never end, or are less than they say.
mkfifo "$work/pipe"
expect 1 "not a regular file" timeout 20 "$pith" parity --trace "$work/pipe"
expect 1 "not a regular file" timeout 20 "$pith" synth "$work/pipe" "$work/x.gguf"
expect 1 "not a regular file" timeout 20 "$pith" parity --trace /dev/zero
expect 1 "is none of" "$pith" synth no-such-shape "$work/x.gguf"
trace() {  # HEADER SENTENCE: 4,000 bytes after the header of a trace
  python3 -c '
import struct, sys
text = eval(sys.argv[2]).encode(); open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + bytes(4000))' "$work/trace" "$1"
  expect 1 "$2" "$pith" parity --trace "$work/trace"
}
trace '"{" + ",".join("\"t%d\":{\"dtype\":\"F32\",\"shape\":[1,1000],\"data_offsets\":[0,4000]}" % i for i in range(1000)) + "}"' "shares bytes with others"
trace '"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,781e300]}}"' "is not a natural number"
# Token ids: their perplexity, the logits after each as a file of NumPy's, and what is refused by place and value.
printf '1, 2,3\n\t2 1,\n' >"$work/ids"
expect 0 "" "$pith" eval --ids "$work/ids" --logits "$work/logits.npy" --json
python3 -c '
import ast, json, struct, sys
d, file = json.load(open(sys.argv[1])), open(sys.argv[2], "rb").read()
size = struct.unpack("<H", file[8:10])[0]
head = ast.literal_eval(file[10:10 + size].decode())
assert file[:8] == b"\x93NUMPY\x01\x00" and file[9 + size:10 + size] == b"\n" and (10 + size) % 64 == 0
assert head == {"descr": "<f4", "fortran_order": False, "shape": (5, 2048)} and len(file) == 10 + size + 5 * 2048 * 4
assert d["tokens"] == 4 and 1 < d["perplexity"] < 1e6' "$work/out" "$work/logits.npy" || fail "eval --ids"
python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read()); data[-5000] ^= 4; open(sys.argv[2], "wb").write(data)' "$root/tools/model/m.q4.gguf" "$work/near.gguf"
expect 0 "" "$pith" eval --ids "$work/ids" --base "$work/near.gguf"
grep -q "^kl_mean" "$work/out" || fail "eval --ids --base"
# refuses IDS SENTENCE: a file with these ids
refuses() {
  printf "$1" >"$work/bad"
  expect 1 "$2" "$pith" eval --ids "$work/bad" --logits "$work/bad.npy"
  [ ! -e "$work/bad.npy" ] || fail "ids \"$1\" were refused and left a file"
}
refuses '1 2\n3, x7\n' "file $work/bad: id 4 in line 2: \"x7\" is no token id"
refuses '1 2.5' 'id 2 in line 1: "2.5" is no token id'
refuses '1 2048 3' "id 2 in line 1: 2048 is not within 0 .. 2047"
refuses '7,-1' "id 2 in line 1: -1 is not within 0 .. 2047"
refuses '99999999999999999999' "99999999999999999999 is not within 0 .. 2047"
refuses '1,,2' "id 2 in line 1: empty, before a comma"
refuses ',1' "id 1 in line 1: empty, before a comma"
refuses '1 \033[2J' 'id 2 in line 1: "?[2J" is no token id'
refuses '' "file $work/bad: holds no token id"
refuses ' \n' "holds no token id"
expect 1 "option --ids: 5 ids, and a context of 4" "$pith" eval --ids "$work/ids" --context 4 --logits "$work/bad.npy"
expect 0 "" "$pith" eval --ids "$work/ids" --context 4 --slide --logits "$work/slid.npy"
[ "$(wc -c <"$work/slid.npy")" -eq "$(wc -c <"$work/logits.npy")" ] || fail "eval --slide writes other sizes"
expect 1 "option --ids: one id" "$pith" eval --ids "$work/ids" --limit 1
expect 0 "" "$pith" eval --ids "$work/ids" --limit 1 --logits "$work/one.npy"
expect 1 "file $work/absent/x.npy: No such file" "$pith" eval --ids "$work/ids" --logits "$work/absent/x.npy"
expect 2 "--text" "$pith" eval --ids "$work/ids" --text "$work/text"
expect 2 "--ids" "$pith" eval --text "$work/text" --logits "$work/bad.npy"
expect 2 "--ids" "$pith" eval
# Tokens, choices and texts that are scored (tests/python/test_scores.py has the numbers).
expect 0 "tokens/s" "$pith" run -n 4 --logprobs 2
python3 -c '
import json, sys
told = [json.loads(line) for line in open(sys.argv[1])]
assert len(told) == 4 and all(len(t["top_logprobs"]) == 2 and t["logprob"] <= 0 for t in told), told' "$work/out" || fail "run --logprobs"
printf '{"context": "Once upon a", "choices": [" hammer", " time"], "answer": 1}\n' >"$work/tasks"
expect 0 "" "$pith" eval --choices "$work/tasks"
grep -q '^accuracy  *1' "$work/out" || fail "eval --choices"
expect 2 "--choices excludes --base" "$pith" eval --choices "$work/tasks" --base "$work/near.gguf"
expect 2 "--scores requires --choices" "$pith" eval --text "$work/text" --scores "$work/bad"
printf 'A fox.\nA hen.\n' >"$work/lines"
expect 0 "" "$pith" embed --file "$work/lines"
[ "$(grep -c '"embedding":' "$work/out")" = 2 ] || fail "embed of two lines"
"$pith" embed <&- >/dev/null 2>"$work/err" && fail "embed of no standard input succeeds"
grep -q "standard input: " "$work/err" || fail "embed does not say that standard input is closed"
expect 2 "excludes --prompt-cache" "$pith" run --prompt-cache "$work/x" --load-state "$work/x"
[ -z "$(ls -A "$work" | grep tmp)" ] || fail "temporary files are left: $(ls -A "$work")"
expect 0 "" "$pith" bench --text "$work/text" --depth 0,8 -n 4 --repeat 1
grep -q "distinct ids" "$work/out" || fail "bench prints no distinct ids"
expect 1 "option --text" "$pith" bench --text "$work/text" --depth 0,64 -n 4 --repeat 1

expect 0 "" "$pith" verify "$work/m.gguf"
expect 0 "" "$pith" run "$work/m.gguf" -n 4
# One flipped bit in the weights is found and named.
python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read()); data[-5000] ^= 1; open(sys.argv[2], "wb").write(data)' "$work/m.gguf" "$work/flipped.gguf"
expect 1 "tensor blk." "$pith" verify "$work/flipped.gguf"
# And in what stands before the weights, or between them; what nothing opens is not written.
python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read()); data[data.index(b"general.name") + 24] ^= 4; open(sys.argv[2], "wb").write(data)' "$work/m.gguf" "$work/flipped.gguf"
expect 1 "the header" "$pith" verify "$work/flipped.gguf"
expect 1 "option --verify: the header" "$pith" run --verify "$work/flipped.gguf" -n 1
expect 1 "option --verify: the header" "$pith" eval --verify "$work/flipped.gguf" --text "$work/text"
expect 1 "option --verify: the header" "$pith" chat --verify "$work/flipped.gguf"
expect 0 "" "$pith" run --verify "$work/m.gguf" -n 1
python3 -c '
import sys
data = open(sys.argv[1], "rb").read(); open(sys.argv[2], "wb").write(data + bytes(63) + b"x")' "$work/m.gguf" "$work/flipped.gguf"
expect 1 "between tensors" "$pith" verify "$work/flipped.gguf"
echo '{"attention.kind":"mha","block_count":1,"embedding_length":1,"attention.head_count":1,"attention.value_length":8,"feed_forward_length":1,"vocab_size":4194305,"context_length":4,"tied":true}' >"$work/wide.json"
expect 1 "key tokenizer.ggml.tokens" "$pith" synth "$work/wide.json" "$work/wide.gguf"
[ ! -e "$work/wide.gguf" ] || fail "a model that nothing opens is written"

# 20 tokens, saved, and 20 more are the 40 tokens of one run; a prompt goes on from a state as from the text before it.
text() { "$pith" run --temp 0 "$@" 2>"$work/err" | head -c -1; }
text -n 40 -p "The fox" >"$work/whole"
text -n 20 -p "The fox" --save-state "$work/state" >"$work/parts"
text -n 20 --load-state "$work/state" --save-state "$work/state" --threads 2 >>"$work/parts"
cmp -s "$work/whole" "$work/parts" || fail "a saved state tells another story: $(cat "$work/err")"
# In calls of other lengths only this form of attention promises the same bits.
form="--attention materialise"
text $form -n 12 -p "The fox and the hen" >"$work/whole"
text $form -n 1 -p "The fox" --stop "$(text $form -n 1 -p "The fox" | tail -c +8)" --save-state "$work/prompt" >/dev/null
text $form -n 12 -p " and the hen" --load-state "$work/prompt" >"$work/parts"
[ "The fox$(cat "$work/parts")" = "$(cat "$work/whole")" ] || fail "a prompt after --load-state tells another story"
# Draws, the penalty's window and what --stop holds back go on too: a stop string that begins before the cut ends the text after it.
tell() { "$pith" run --temp 0.9 --repeat-penalty 1.3 --repeat-window 20 -p "The fox" "$@" 2>"$work/err" | head -c -1; }
go_on() { "$pith" run --temp 0.9 --repeat-penalty 1.3 --repeat-window 20 --load-state "$work/cut" "$@" 2>"$work/err" | head -c -1; }
tell -n 60 --seed 3 >"$work/whole"
tell -n 20 --seed 3 --save-state "$work/cut" >"$work/parts"
bytes=$(wc -c <"$work/parts")
go_on -n 40 >"$work/rest"
cat "$work/parts" "$work/rest" | cmp -s - "$work/whole" || fail "a saved state draws other tokens: $(cat "$work/err")"
go_on -n 40 --seed 4 | cmp -s - "$work/rest" && fail "--seed after --load-state draws the same tokens"
stop=$(tail -c +$((bytes - 2)) "$work/whole" | head -c 8)
tell -n 60 --seed 3 --stop "$stop" >"$work/whole"
tell -n 20 --seed 3 --stop "$stop" --save-state "$work/cut" >"$work/parts"
[ "$(wc -c <"$work/parts")" -lt "$bytes" ] || fail "nothing was held back for --stop \"$stop\""
go_on -n 40 --stop "$stop" >>"$work/parts"
cmp -s "$work/whole" "$work/parts" || fail "--stop \"$stop\" does not stop across a saved state: $(cat "$work/parts")"
[ "$(wc -c <"$work/whole")" -lt "$bytes" ] || fail "--stop \"$stop\" does not stop"
go_on -n 40 >"$work/rest"  # without --stop, what was held back comes out
[ "$(head -c 3 "$work/rest")" = "$(echo "$stop" | head -c 3)" ] || fail "what --stop held back is lost: $(cat "$work/rest")"
cp "$work/state" "$work/before"
expect 1 "option --load-state: state: option capacity" "$pith" run --load-state "$work/state" --save-state "$work/state" --context 99
expect 1 "option --load-state: state: option attention" "$pith" run --load-state "$work/state" --attention materialise
expect 1 "another model" "$pith" run "$work/m.gguf" --load-state "$work/state"
expect 1 "option --load-state: file" "$pith" run --load-state "$work/absent"
expect 1 "option --load-state: state: not a whole file" "$pith" run --load-state "$work/text"
expect 1 "option --save-state: file" "$pith" run --save-state "$work/absent/state"
python3 -c '
import sys
data = bytearray(open(sys.argv[1], "rb").read()); data[len(data) // 2] ^= 4; open(sys.argv[2], "wb").write(data)
open(sys.argv[3], "wb").write(data[:-1])' "$work/state" "$work/flipped" "$work/short"
expect 1 "option --load-state: state: its bytes do not have the stored hash" "$pith" run --load-state "$work/flipped"
expect 1 "option --load-state: state: " "$pith" run --load-state "$work/short"
cmp -s "$work/state" "$work/before" || fail "a refused run changed the state"
[ -z "$(ls -A "$work" | grep tmp)" ] || fail "temporary files are left: $(ls -A "$work")"

# A conversation through pipes. Greedily, so that the same conversation has the same answers.
expect 1 "pith chat MODEL" "$pith" chat
expect 1 "key tokenizer.chat_template: missing; choose one with --template: " "$pith" run --chat -p Hi
expect 1 'option --template: "chatlm" is none of' "$pith" chat --template chatlm
expect 1 "option --chat" "$pith" run --chat --template chatml
expect 1 "option n_keep" "$pith" chat --template chatml --system "You are a fox with a lantern." --context 16
say() { "$pith" chat --template mistral --temp 0 -n 12 "$@" 2>"$work/err"; }
printf 'The fox\nThe hen\n' | say >"$work/talk" || fail "chat: $(cat "$work/err")"
[ "$(wc -l <"$work/talk")" -ge 2 ] || fail "chat gave fewer answers than questions: $(cat "$work/talk")"
printf 'The fox\n' | say >"$work/first"
"$pith" run --chat --template mistral --temp 0 -n 12 -p "The fox" 2>/dev/null | cmp -s - "$work/first" || fail "run --chat answers otherwise"
printf 'The hen\n' | say >"$work/second"
cat "$work/first" "$work/second" | cmp -s - "$work/talk" && fail "the second answer knows nothing of the first question"
printf 'The fox\n/reset\nThe hen\n' | say | cmp -s - <(cat "$work/first" "$work/second") || fail "/reset does not forget"
printf 'The fox\n/save %s\n' "$work/said" | say | cmp -s - "$work/first" || fail "/save changes the answer: $(cat "$work/err")"
printf '/load %s\nThe hen\n' "$work/said" | say >"$work/rest"
cat "$work/first" "$work/rest" | cmp -s - "$work/talk" || fail "/load goes on otherwise: $(cat "$work/err")"
printf 'The fox\n/load %s\n/load %s\n/nonsense\n/save\nThe hen\n' "$work/text" "$work/absent" | say | cmp -s - "$work/talk" || fail "a refused /load changes the talk"
for word in "not a whole file" "absent" '"/nonsense" is no command' '"/save" is no command'; do
  grep -qF "$word" "$work/err" || fail "chat does not say $word: $(cat "$work/err")"
done
printf 'The fox \\\nand the hen\n' | say >"$work/a"
printf '"""The fox \nand the hen"""\n' | say >"$work/b"
printf '"""\nThe fox \nand the hen\n"""\n' | say >"$work/c"
cmp -s "$work/a" "$work/b" || fail "two ways to say two lines differ"
[ -s "$work/c" ] || fail "a message between quotes has no answer"
printf 'The fox\n' | say --system "You tell of a king." | cmp -s - "$work/first" && fail "--system changes nothing"
# Longer than the cache: the system's message stays, and the answers go on.
for _ in $(seq 12); do echo "The fox and the hen"; done | say --system "Hen." --context 96 >"$work/long" || fail "a long talk: $(cat "$work/err")"
[ ! -s "$work/err" ] || fail "a long talk: $(cat "$work/err")"
# Ctrl-C ends an answer and not the program.
mkfifo "$work/questions"
"$pith" chat --template chatml --temp 0 -n 0 <"$work/questions" >"$work/out" 2>"$work/err" &
exec 9>"$work/questions"
echo "The fox" >&9
for _ in $(seq 100); do [ "$(wc -c <"$work/out")" -gt 200 ] && break; sleep 0.1; done
kill -INT $! || fail "chat ended before Ctrl-C: $(cat "$work/err")"
for _ in $(seq 100); do [ "$(tail -c 1 "$work/out" | wc -l)" -eq 1 ] && break; sleep 0.1; done
echo "/nonsense" >&9
exec 9>&-
wait $! || fail "chat ends with $? after Ctrl-C"
grep -q nonsense "$work/err" || fail "chat took no line after Ctrl-C"

# The runtime against the reference of the same file, against a golden trace, and what it refuses.
golden=$(cd "$(dirname "$0")" && pwd)/golden
float=(--activations f32 --cache f32)
expect 0 "" "$pith" parity --ids 1,2,3,2,1 "${float[@]}" --max-relative 2e-5 --html "$work/report.html"
grep -q "<svg" "$work/report.html" || fail "parity --html has no plot"
expect 0 "" "$pith" parity "$golden/egmla.gguf" "${float[@]}" --trace "$golden/egmla.pytorch.safetensors" --max-relative 2e-5 --json
python3 -c 'import json,sys; d = json.load(open(sys.argv[1])); assert len(d["tensors"]) == 27 and d["first_unexplained"] is None' "$work/out" || fail "parity --json"
expect 1 "option --max-relative: layer.0." "$pith" parity "$golden/egmla.gguf" --trace "$golden/egmla.pytorch.safetensors" --max-relative 2e-5
expect 1 "option --explained: embedding" "$pith" parity "$golden/egmla.gguf" --weights q8 --trace "$golden/egmla.pytorch.safetensors" --explained --margin 0
expect 1 "another model" "$pith" parity "$golden/egmla.gguf" --trace "$golden/latent_gate.pytorch.safetensors"
expect 1 "another model" "$pith" parity --trace "$golden/egmla.pytorch.safetensors"
expect 1 "option --trace, --text, --ids or --tokens-of" "$pith" parity
expect 1 "trace $work/empty.trace" "$pith" parity --trace "$work/empty.trace"
expect 1 "token 99999" "$pith" parity --ids 1,99999
expect 2 "--trace" "$pith" parity --ids 1,2 --trace "$golden/egmla.pytorch.safetensors"
# A GPU answers, or is said to be absent.
"$pith" parity --ids 1,2,3 --reference cuda "${float[@]}" --max-relative 2e-5 >/dev/null 2>"$work/err"
status=$?
[ "$status" -eq 0 ] || { [ "$status" -eq 3 ] && grep -q "no CUDA device" "$work/err"; } || fail "parity --reference cuda: status $status: $(cat "$work/err")"

expect 2 "" "$pith"
expect 2 "" "$pith" run --no-such-option
expect 2 "--cache" "$pith" run --cache i7
expect 2 "" "$pith" quantize only-one-argument
expect 1 "No such file" "$pith" run "$work/absent.gguf"
expect 1 "not a regular file" "$pith" run "$work"
mkfifo "$work/fifo"
expect 1 "not a regular file" timeout 5 "$pith" run "$work/fifo"
: >"$work/empty.gguf"
expect 1 "header" "$pith" run "$work/empty.gguf"
expect 1 "option tier" "$pith" run --tier neon9000
expect 1 "option n_keep" "$pith" run --context 8 --keep 8
expect 2 "--chunk" "$pith" run --chunk 4000
expect 0 "" "$pith" bench --json --depth 40 --prompt 20 -n 0 --repeat 1 --chunk 16
python3 -c 'import json,sys; assert [(r["phase"], r["tokens"], r["depth"]) for r in json.load(open(sys.argv[1]))["runs"]] == [("prefill", 40, 0), ("prefill", 20, 40)]' \
  "$work/out" || fail "bench --prompt"
for option in "temperature --temp -1" "temperature --temp nan" "top_p --top-p 0" "min_p --min-p -1" "repeat_penalty --repeat-penalty 0" \
              "repeat_window --repeat-window 4294967295"; do
  # shellcheck disable=SC2086
  set -- $option
  expect 1 "option $1" "$pith" run "$2" "$3"
done
expect 0 "" "$pith" run -n 4 --top-k 0 --min-p 0 --repeat-window 0 --seed 0 --pool 0
expect 1 "packed already" "$pith" quantize "$work/m.gguf" "$work/again.gguf"
expect 1 "input file" "$pith" quantize "$work/m.gguf" "$work/m.gguf"
expect 1 "argument SHAPE" "$pith" synth no-such-shape "$work/x.gguf"
[ ! -e "$work/again.gguf" ] || fail "a failed quantize left a file"

# A closed pipe and Ctrl-C end it quietly.
"$pith" run -n 300 2>"$work/err" | head -c 10 >/dev/null
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "a closed pipe gives status ${PIPESTATUS[0]}"
# interrupt COMMAND...: Ctrl-C after half a second
interrupt() {
  "$@" >"$work/out" 2>"$work/err" &
  sleep 0.5
  kill -INT $! 2>/dev/null || fail "$* ended before Ctrl-C: $(head -c 300 "$work/err")"
  wait $!
  local status=$?
  [ "$status" -eq 0 ] || fail "$*: Ctrl-C gives status $status: $(head -c 300 "$work/err")"
}
# Greedily the fox goes round and round. The state holds all that was shown.
interrupt "$pith" run --temp 0 -n 0 -p "The fox" --save-state "$work/state"
[ -s "$work/out" ] || fail "Ctrl-C lost the text"
shown=$(grep -oE 'text [0-9]+' "$work/err" | cut -c6-)
text -n $((shown + 10)) -p "The fox" >"$work/whole"
{ head -c -1 "$work/out"; text -n 10 --load-state "$work/state"; } >"$work/parts"
cmp -s "$work/whole" "$work/parts" || fail "the state of an interrupted text tells another story after $shown tokens"
# Within a long prompt, the state holds what was read so far.
python3 -c 'print("The fox had a lantern. " * 50000)' >"$work/long"
interrupt "$pith" run --file "$work/long" --context 64 --save-state "$work/state"
expect 0 "tokens/s" "$pith" run --load-state "$work/state" --context 64 -p " Then" -n 4
# A long prompt shows how far it is, on a terminal alone; the answer does not depend on it.
head -c 24000 "$work/long" >"$work/medium"
expect 0 "tokens/s" "$pith" run --file "$work/medium" --context 4096 -n 1
grep -q 'prompt \[' "$work/err" && fail "a progress bar went into a file"
if command -v script >/dev/null; then
  script -qec "'$pith' run --file '$work/medium' --context 4096 -n 1" /dev/null >"$work/terminal" </dev/null
  grep -q 'prompt \[#* *\] *[0-9]* %, [0-9]* tokens/s' "$work/terminal" || fail "no progress bar on a terminal"
fi
echo "cli: $checks commands behave; 1 passed"
