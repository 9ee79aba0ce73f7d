"""Trains a model, or goes on training it.

    python3 tools/train/train.py OUT --data ../shared/data --minutes 60 [--resume CHECKPOINT | --init WEIGHTS | --go-on]
    python3 tools/train/train.py OUT --shape eg-up-layer-lgz3 --tokens 50000000 --go-on

OUT receives checkpoint.pt (weights, optimiser, counters; written whole or not at all), checkpoint.previous.pt (the one before it),
log.csv, and at the end weights.bf16.safetensors (as of tools/model/save_weights.py). Learning rates follow tools/train/schedule.py.
SIGTERM and Ctrl-C end the run as the end of the time does. With --init only the weights are taken: the optimiser starts afresh.
--resume goes on from the checkpoint before where CHECKPOINT is damaged; --go-on does so from OUT's own checkpoint if it has one, or
takes weights and counters of its weights.bf16.safetensors. Numbers that are no longer finite end the run before they are saved.
Windows depend on the seed and the step alone: runs of one seed and batch read the same text, stopped in between or not. On a GPU, and
with --bf16 on a CPU, products are in bf16.

Exit status 75: a run of --tokens has stopped before its last token, and --go-on goes on.
"""

import argparse
import csv
import hashlib
import math
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import checkpoint
import data
import shapes
from model import Model
from schedule import Schedule
from trouble import Trouble, run

REPOSITORY = Path(__file__).resolve().parents[2]
MATRIX_LR, TABLE_LR = 0.02, 3e-3  # Muon; AdamW
CLIP = 1.0
STOPPED = os.EX_TEMPFAIL
WEIGHTS = "weights.bf16.safetensors"


def optimizers(model):
    """Muon for the matrices inside the layers; AdamW, without decay, for embedding, gate tables and norms."""
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embd" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() < 2 or "embd" in n]
    return [torch.optim.Muon(matrices, lr=MATRIX_LR, momentum=0.95, weight_decay=0.05, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, lr=TABLE_LR, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)]


def validation_windows(path, tokenizer, cache, context):
    """(inputs, targets) [n, context]: consecutive windows, each led by id 0."""
    stream = data.tokens(path, tokenizer, cache)
    n = len(stream) // context
    targets = torch.from_numpy(stream[:n * context].astype("int64")).view(n, context)
    return torch.cat((torch.zeros(n, 1, dtype=torch.int64), targets[:, :-1]), 1), targets


@torch.no_grad()
def validation_loss(model, windows, limit, batch, device):
    total, count = 0.0, 0
    for i in range(0, min(limit, len(windows[0])), batch):
        x, y = (w[i:i + batch].to(device) for w in windows)
        total += model.loss(x, y).item() * y.numel()
        count += y.numel()
    return total / count


class Texts:
    """Streams of tokens to train on and their shares of the windows, windows to validate with, and what turns nats per token into
    bits per byte."""

    def __init__(self, folder, tokenizer, context, novels):
        cache, held_out = REPOSITORY / "build" / "tokens", folder / "tales.val.txt"
        self.streams, self.shares = [], []
        for name, share in (("tales", 1 - novels), ("novels", novels)):
            if share > 0:
                path = folder / f"{name}.train.txt.xz"
                self.streams.append(data.tokens(path, tokenizer, cache))
                self.shares.append(share)
                if len(self.streams[-1]) <= context:
                    raise Trouble(f"{path}: {len(self.streams[-1]):,} tokens; windows of {context} are drawn from it")
        self.windows = validation_windows(held_out, tokenizer, cache, context)
        n_tokens = len(data.tokens(held_out, tokenizer, cache))
        if len(self.windows[0]) == 0:
            raise Trouble(f"{held_out}: {n_tokens:,} tokens; a window of validation has {context}")
        self.bits_per_byte = n_tokens / sum(len(d.encode()) for d in data.documents(held_out)) / math.log(2)


def check_options(state, fresh, path):
    """Refuses to go on from `state` as something else than it was: `fresh` is what a new run would begin with."""
    before, now = asdict(state["config"]), asdict(fresh["config"])
    for field in before:
        if before[field] != now[field]:
            raise Trouble(f"{path}: its model has {field} {before[field]}, --tokenizer and --shape say {now[field]}")
    if state.get("tokenizer", fresh["tokenizer"]) != fresh["tokenizer"]:
        raise Trouble(f"{path}: was trained with another --tokenizer of the same size")


def resume(path, fresh, model, optimizer_list, device):
    """The state to go on from; model and optimisers receive what it holds."""
    state = checkpoint.read_weights(path) if path.suffix == ".safetensors" else checkpoint.read_latest(path, device)
    check_options(state, fresh, path)
    checkpoint.put_weights(model, state["model"], path)
    try:
        for o, s in zip(optimizer_list, state.get("optimizers", [])):
            o.load_state_dict(s)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Trouble(f"{path}: the optimisers' state is none of this trainer: {error}") from error
    return fresh | {name: state[name] for name in checkpoint.COUNTERS}


def to_go_on_from(out):
    """The checkpoint or the weights that a run has left in its folder, or None."""
    path, weights = out / "checkpoint.pt", out / WEIGHTS
    if path.exists() or checkpoint.previous(path).exists():
        return path
    return weights if weights.exists() else None


def number(kind, least, most=math.inf):
    """A number of an argument, `least` to `most`."""
    def read(text):
        value = kind(text)
        if not least <= value <= most or value == math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not {least} " + ("or more" if most == math.inf else f"to {most}"))
        return value
    read.__name__ = kind.__name__  # which argparse names where the text is no number
    return read


def add_common_arguments(parser):
    """What is said of one run and of several in the same way."""
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--novels", type=number(float, 0, 1), default=0.0, metavar="SHARE",
                        help="of the windows, drawn from novels.train.txt.xz; the others are of tales.train.txt.xz")
    parser.add_argument("--tokenizer", type=Path, default=REPOSITORY / "tools" / "model" / "tokenizer.json")
    parser.add_argument("--width", type=number(int, 1), default=192, help="of a shape that is a kind of attention")
    parser.add_argument("--layers", type=number(int, 1), default=12, help="likewise")
    parser.add_argument("--context", type=number(int, 2), default=512, help="likewise")
    parser.add_argument("--batch", type=number(int, 1), default=4)
    parser.add_argument("--threads", type=number(int, 1), default=2)
    parser.add_argument("--save-seconds", type=number(float, 0), default=240.0, help="time between two checkpoints")
    parser.add_argument("--pause-minutes", type=number(float, 0), metavar="MINUTES",
                        help="stop after as many, with learning rates as they are then")
    parser.add_argument("--bf16", action="store_true", help="products in bf16 on a CPU too: faster on one that has AMX")
    parser.add_argument("--eager", action="store_true", help="without torch.compile: slower steps, no compiler needed")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser)
    parser.add_argument("--shape", choices=shapes.NAMES, default="m")
    parser.add_argument("--tokens", type=number(int, 1), help="of the whole run: learning rates follow them, and not the time")
    parser.add_argument("--minutes", type=number(float, 0),
                        help="of training, 60 without --tokens; with --tokens of this call, loading included: learning rates "
                             "fall before its end")
    parser.add_argument("--seed", type=number(int, 0), default=1)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", type=Path)
    start.add_argument("--init", type=Path)
    start.add_argument("--go-on", action="store_true", help="from what OUT has, if it has anything")
    args = parser.parse_args(argv)
    if args.tokens is None and args.minutes is None:
        args.minutes = 60
    if args.go_on:
        args.resume = to_go_on_from(args.out)
    return args


def stop_on_signals():
    """A list that is no longer empty once SIGTERM or Ctrl-C came; a second Ctrl-C interrupts."""
    stopped = []

    def stop(*_):
        stopped.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopped


class Log:
    """log.csv, a line for every checkpoint."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        if path.stat().st_size == 0:
            self.add("step", "tokens", "seconds", "lr", "train_loss", "val_loss", "val_bpb")

    def add(self, *cells):
        csv.writer(self.file).writerow(cells)


def main(argv=None, stopped=None):
    """`stopped`: of a caller that trains one model after another, its list of stop_on_signals()."""
    began, args = time.time(), arguments(argv)
    pause = math.inf if args.pause_minutes is None else began + 60 * args.pause_minutes
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    n_ids = data.read_tokenizer(args.tokenizer)[1]
    model = Model(shapes.named(args.shape, n_ids, args.width, args.layers, args.context)).to(device)
    context = model.c.context_length
    texts = Texts(args.data, args.tokenizer, context, args.novels)
    state = {"config": model.c, "step": 0, "tokens": 0, "seconds": 0.0,
             "tokenizer": hashlib.sha256(args.tokenizer.read_bytes()).hexdigest()}
    optimizer_list = optimizers(model)
    if args.init:
        checkpoint.put_weights(model, checkpoint.read_weights(args.init)["model"], args.init)
    if args.resume:
        state = resume(args.resume, state, model, optimizer_list, device)
    loss_of = model.loss
    if not args.eager:
        torch.compiler.reset()  # of a process that trains one model after another, what was compiled for those before
        loss_of = torch.compile(model.loss)
    log, path, saved_step = Log(args.out / "log.csv"), args.out / "checkpoint.pt", None
    stopped = stop_on_signals() if stopped is None else stopped
    schedule = Schedule(state["step"], args.tokens, None if args.minutes is None else 60 * args.minutes,
                        None if args.tokens is None else began)
    first_step, seconds_before, average = state["step"], state["seconds"], None
    start = last_save = time.time()

    def give_up(why):
        good = "this run has saved no checkpoint" if saved_step is None else f"{path} is of step {saved_step:,}"
        raise Trouble(f"step {state['step']:,}: {why}; {good}")

    def save():
        nonlocal saved_step
        state["seconds"] = seconds_before + time.time() - start
        try:
            checkpoint.write(path, state | {"model": model.state_dict(),
                                            "optimizers": [o.state_dict() for o in optimizer_list]})
        except (Trouble, OSError) as error:
            give_up(error if isinstance(error, Trouble) else f"{path} cannot be written: {error.strerror}")
        saved_step = state["step"]

    def record(share, limit):
        save()  # first: what follows may fail
        loss = validation_loss(model, texts.windows, limit, args.batch, device)
        log.add(state["step"], state["tokens"], round(state["seconds"], 1), MATRIX_LR * share,
                "" if average is None else round(average, 4), round(loss, 4), round(loss * texts.bits_per_byte, 4))
        if not math.isfinite(loss):
            give_up(f"the validation loss is {loss}; the checkpoint before is {checkpoint.previous(path)}")

    share = 0.0
    while not schedule.has_ended(state["step"], state["tokens"]) and time.time() < pause and not stopped:
        share = schedule.rate(state["step"], state["tokens"])
        for o, peak in zip(optimizer_list, (MATRIX_LR, TABLE_LR)):
            o.param_groups[0]["lr"] = peak * share
        rng = np.random.default_rng((args.seed, state["step"]))
        x, y = (t.to(device) for t in data.batch(texts.streams, texts.shares, args.batch, context, rng))
        with torch.autocast(device, torch.bfloat16, enabled=args.bf16 or device == "cuda"):
            loss = loss_of(x, y)
        if not math.isfinite(loss.item()):
            give_up(f"the training loss is {loss.item()}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for o in optimizer_list:
            o.step()
            o.zero_grad()
        state["step"] += 1
        state["tokens"] += x.numel()
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if state["step"] % 50 == 0:
            rate = (state["step"] - first_step) * x.numel() / (time.time() - start)
            print(f"step {state['step']}  tokens {state['tokens']:,}  loss {average:.3f}  {rate:.0f} tokens/s", flush=True)
        if time.time() - last_save > args.save_seconds:
            record(share, 32)
            last_save = time.time()
    is_whole = args.tokens is None or state["tokens"] >= args.tokens
    if average is not None or args.tokens is not None and is_whole:  # a whole run may have ended before its last line was written
        record(share, len(texts.windows[0]))
        checkpoint.write_weights(args.out / WEIGHTS, state | {"model": model.state_dict()})
    return 0 if is_whole else STOPPED


if __name__ == "__main__":
    run(main)
