"""Trains and measures models that differ in their attention alone: of equal size, on equal text. docs/paper.md has the table.

    python3 tools/train/compare.py OUT --width 192 --tokens 50000000 --seeds 1 2 3 --pith build/release/pith [--cost | --time]

OUT/KIND/seedN is a run of tools/train/train.py. When it is trained it has a result.json, to which `pith eval` adds bits per byte and
perplexity in float32 and int4. OUT/KIND/cost.json is its RAM, and with --time its speed, with --depth tokens in the cache. A second
call leaves out what is done and goes on with what is not; OUT/options.json holds all calls to one size. Without --pith runs are
trained alone; a later call measures them. After every call tools/train/table.py writes the table.

Exit status 75: something is left for another call (the time is over, or SIGTERM or Ctrl-C came); 1: a run failed, and the others
went on.
"""

import argparse
import csv
import hashlib
import json
import math
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import checkpoint
import data
import measure
import shapes
import table
import train
from model import Model
from trouble import Trouble, run, write_json

# What the claims are about comes first, with all seeds; then what else a model may choose.
FIRST = ("mha", "mla-d3", "eg-up-layer-lgz3", "eg-up-layer-lgz1")
OPTIONS = ("width", "layers", "context", "tokens", "batch", "novels", "bf16")  # what makes runs of one table comparable


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    train.add_common_arguments(parser)
    parser.add_argument("--tokens", type=train.number(int, 1), required=True, help="of every run")
    parser.add_argument("--seeds", type=train.number(int, 0), nargs="+", default=[1, 2, 3])
    parser.add_argument("--kinds", nargs="+", choices=list(shapes.KINDS), default=list(shapes.KINDS))
    parser.add_argument("--pith", type=Path, help="the command that measures what is trained")
    parser.add_argument("--eval-tokens", type=train.number(int, 0), default=0, help="of the held-out text, to be scored; 0: all")
    parser.add_argument("--cost", action="store_true", help="measure RAM")
    parser.add_argument("--time", action="store_true", help="measure RAM and decode speed, where nothing else runs")
    parser.add_argument("--depth", type=train.number(int, 1), default=4096, help="tokens in the cache for --cost and --time")
    parser.add_argument("--beside", action="store_true", help="evaluate a run while the next is trained: for a GPU's machine")
    args = parser.parse_args(argv)
    if args.pith is None and (args.cost or args.time):
        parser.error("--cost and --time need --pith")
    return args


class Run:
    """One kind and seed, in its folder."""

    def __init__(self, args, kind, seed):
        self.args, self.kind, self.seed = args, kind, seed
        self.folder = args.out / kind / f"seed{seed}"
        self.result = self.folder / "result.json"

    def __str__(self):
        return f"{self.kind} seed {self.seed}"

    def read(self):
        """Its result so far, or None."""
        try:
            return json.loads(self.result.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise Trouble(f"{self.result}: no JSON; remove it, and the run is measured again: {error}") from error

    def is_evaluated(self):
        return "pith" in (self.read() or {})

    def command(self):
        """That of the whole run."""
        a = self.args
        words = [self.folder, "--data", a.data, "--novels", a.novels, "--tokenizer", a.tokenizer, "--shape", self.kind,
                 "--width", a.width, "--layers", a.layers, "--context", a.context, "--tokens", a.tokens, "--batch", a.batch,
                 "--seed", self.seed, *["--bf16"] * a.bf16, "--go-on"]
        return [str(word) for word in words]

    def train(self, minutes, stopped):
        """Trains on, and says whether all tokens are read."""
        a = self.args
        more = ["--threads", str(a.threads), "--save-seconds", str(a.save_seconds)] + ["--eager"] * a.eager
        if minutes < math.inf:
            more += ["--pause-minutes", str(max(0.0, minutes))]
        if train.main(self.command() + more, stopped) == train.STOPPED:
            return False
        with open(self.folder / "log.csv") as file:
            last = list(csv.DictReader(file))[-1]
        config = checkpoint.read(self.folder / "checkpoint.pt")["config"]
        of_tokens, lookups = shapes.parameters(config)
        write_json(self.result, {
            "kind": self.kind, "seed": self.seed, "parameters": of_tokens, "lookup_parameters": lookups,
            "feed_forward_width": config.feed_forward_width, "cached_elements": shapes.cached_elements(config),
            "tokens": int(last["tokens"]), "seconds": float(last["seconds"]), "torch_loss": float(last["val_loss"]),
            "torch_bits_per_byte": float(last["val_bpb"]), "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "command": shlex.join(["python3", "tools/train/train.py", *self.command()])})
        return True

    def trained_model(self):
        """(model, the type of its weights): of its checkpoint, or of the bf16 weights where only they came from another machine."""
        path = train.to_go_on_from(self.folder)
        if path is None:
            raise Trouble(f"{self.folder}: has a result and neither a checkpoint nor weights")
        is_rounded = path.suffix == ".safetensors"
        state = checkpoint.read_weights(path) if is_rounded else checkpoint.read_latest(path)
        if state["tokens"] < self.args.tokens:
            raise Trouble(f"{path}: of {state['tokens']:,} tokens; the run has {self.args.tokens:,}")
        model = Model(state["config"])
        checkpoint.put_weights(model, state["model"], path)
        return model, "bf16" if is_rounded else "float32"

    def evaluate(self, until):
        """Adds what `pith eval` says to the result. Of a run that cannot be read the result goes, so that it is trained on."""
        a = self.args
        try:
            model, weights = self.trained_model()
        except Trouble:
            self.result.unlink()
            raise
        found = measure.perplexities(a.pith, model, a.tokenizer, a.data / "tales.val.txt", a.threads, a.eval_tokens, until)
        write_json(self.result, self.read() | {"weights": weights, "pith": found})


def runs_in_order(args):
    groups = ([k for k in args.kinds if k in FIRST], [k for k in args.kinds if k not in FIRST])
    return [Run(args, kind, seed) for group in groups for seed in args.seeds for kind in group]


def hold_to_options(args):
    """One folder, one size: what the folder was begun with is kept there."""
    path = args.out / "options.json"
    tokenizer = hashlib.sha256(args.tokenizer.read_bytes()).hexdigest()[:12]
    now = {name: getattr(args, name) for name in OPTIONS} | {"tokenizer": tokenizer}
    args.out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return write_json(path, now)
    before = json.loads(path.read_text("utf-8"))
    for name, value in now.items():
        if before.get(name) != value:
            raise Trouble(f"--{name}: {path} says {before.get(name)}, this call {value}; take another folder")


class Comparison:
    """A call: what is to be done, until when, and what became of it."""

    def __init__(self, args):
        self.args, self.stopped, self.failed = args, train.stop_on_signals(), []
        self.until = math.inf if args.pause_minutes is None else time.time() + 60 * args.pause_minutes

    def is_over(self):
        return bool(self.stopped) or time.time() >= self.until

    def attempt(self, what, act):
        """act(), or its trouble on standard error; another run may do better. What time ended is no failure."""
        try:
            return act()
        except (Trouble, OSError, RuntimeError) as error:  # RuntimeError: PyTorch's, such as no memory
            if not self.is_over():
                self.failed.append(what)
                print(f"{what}: {error}", file=sys.stderr, flush=True)

    def evaluate(self, run):
        if not self.is_over() and not run.is_evaluated():
            print(f"{run}: evaluating", flush=True)
            self.attempt(run, lambda: run.evaluate(self.until))

    def train_and_evaluate(self, runs):
        begun = []
        with ThreadPoolExecutor(1) as pool:
            for run in runs:
                if self.is_over():
                    break
                if run.read() is None:
                    print(f"{run}: training", flush=True)
                    if not self.attempt(run, lambda: run.train((self.until - time.time()) / 60, self.stopped)):
                        continue
                if self.args.pith:
                    begun.append(pool.submit(self.evaluate, run))
                    if not self.args.beside:
                        begun[-1].result()
        for evaluation in begun:
            evaluation.result()  # raises what evaluate() did

    def is_measured(self, kind):
        path = self.args.out / kind / "cost.json"
        return path.exists() and (json.loads(path.read_text("utf-8"))["timed"] or not self.args.time)

    def measure_cost(self, kind):
        a = self.args
        n_ids = data.read_tokenizer(a.tokenizer)[1]
        model = Model(shapes.compared(kind, n_ids, a.width, a.layers, a.context))
        tokens, repeat = (32, 3) if a.time else (1, 1)
        found = measure.cost(a.pith, model, a.tokenizer, a.depth, a.threads, tokens, repeat, self.until)
        (a.out / kind).mkdir(exist_ok=True)
        write_json(a.out / kind / "cost.json", found | {"timed": a.time})


def main(argv=None):
    args = arguments(argv)
    hold_to_options(args)
    comparison, runs = Comparison(args), runs_in_order(args)
    comparison.train_and_evaluate(runs)
    to_measure = args.kinds if args.cost or args.time else []
    for kind in to_measure:
        if not comparison.is_over() and not comparison.is_measured(kind):
            print(f"{kind}: measuring", flush=True)
            comparison.attempt(kind, lambda: comparison.measure_cost(kind))
    table.write(args.out)
    is_done = all(run.is_evaluated() if args.pith else run.read() for run in runs) and all(map(comparison.is_measured, to_measure))
    if comparison.failed:
        raise Trouble(f"failed: {', '.join(map(str, comparison.failed))}; the table has what there is")
    return 0 if is_done else train.STOPPED


if __name__ == "__main__":
    run(main)
