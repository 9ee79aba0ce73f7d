"""What the `pith` command says of a model of PyTorch: perplexity of a text, memory, speed.

Two precisions: float32 (weights, activations, cache) and int4 (weights; activations and cache int8, as `pith run` has them).
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import shapes
from trouble import Trouble

REPOSITORY = Path(__file__).resolve().parents[2]
PRECISIONS = {"float32": ("f32", ["--activations", "f32", "--cache", "f32"]), "int4": ("q4", [])}


def call(*command, until=math.inf):
    """What a command printed; trouble with its last sentence where it failed, or where it was not done at the time `until`."""
    left = None if until == math.inf else max(0.0, until - time.time())
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=left)
    except subprocess.TimeoutExpired as expired:
        raise Trouble(f"{Path(command[0]).name} {command[1]}: the time is over") from expired
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise Trouble(f"{Path(command[0]).name} {command[1]}: {said[-1]}")
    return done.stdout


@contextmanager
def packed(pith, model, tokenizer):
    """{precision: packed file} of a model, for as long as it is asked."""
    sys.path.insert(0, str(REPOSITORY / "tools" / "export"))
    try:
        from export import export
    except ImportError as error:
        raise Trouble(f"{error}: models are handed to {pith} by it; pip install gguf") from error
    with tempfile.TemporaryDirectory() as folder:
        floats = Path(folder) / "model.gguf"
        export(model, floats, tokenizer, [("general.name", "compared")])
        files = {}
        for precision, (kind, _) in PRECISIONS.items():
            files[precision] = Path(folder) / f"{kind}.gguf"
            call(pith, "quantize", floats, files[precision], "--type", kind)
        yield files


def perplexities(pith, model, tokenizer, text, threads, limit, until=math.inf):
    """{precision: {"perplexity", "bits_per_byte", "tokens"}} of the first `limit` tokens of a text; 0: of all."""
    found = {}
    with packed(pith, model, tokenizer) as files:
        for precision, (_, options) in PRECISIONS.items():
            said = json.loads(call(pith, "eval", files[precision], "--text", text, "--threads", threads, "--limit", limit,
                                   "--json", *options, until=until))
            found[precision] = {name: said[name] for name in ("perplexity", "bits_per_byte", "tokens")}
    return found


def cost(pith, model, tokenizer, depth, threads, tokens, repeat, until=math.inf):
    """{precision: {"resident_bytes", "cache_bytes", "tokens_per_s": [one a repetition]}} of decoding `tokens` after `depth`, and
    what did it. It depends on the shape alone: the model may be untrained."""
    found = {"depth": depth, "threads": threads}
    with packed(pith, model, tokenizer) as files:
        for precision, (_, options) in PRECISIONS.items():
            said = json.loads(call(pith, "bench", files[precision], "--depth", depth, "--threads", threads, "-n", tokens,
                                   "--repeat", repeat, "--skip-bandwidth", "--json", *options, until=until))
            runs = [run for run in said["runs"] if run["phase"] == "decode"]
            found[precision] = {"resident_bytes": max(run["resident_bytes"] for run in runs), "cache_bytes": runs[0]["cache_bytes"],
                                "tokens_per_s": [run["tokens_per_s"] for run in runs]}
            found |= {name: said[name] for name in ("cpu", "tier", "commit")}
        elements = json.loads(call(pith, "info", files["int4"], "--json"))["plan"]["cache_elements_per_token"]
    if elements != shapes.cached_elements(model.c):
        raise Trouble(f"{pith} caches {elements} elements per token, tools/train/shapes.py says {shapes.cached_elements(model.c)}")
    return found
