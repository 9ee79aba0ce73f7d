"""Trains the built-in model, or goes on training it.

    python3 tools/train/train.py OUT --data ../shared/data --minutes 60 [--resume CHECKPOINT | --init WEIGHTS]

OUT receives checkpoint.pt (weights, optimiser, counters; written whole or not at all), checkpoint.previous.pt (the one before it)
and log.csv. Learning rates warm up over 100 steps, stay, and fall linearly over the last quarter of the time. SIGTERM and Ctrl-C
end the run as the end of the time does. With --init only the weights are taken: the optimiser starts afresh. --resume goes on from
the checkpoint before where CHECKPOINT is damaged. Numbers that are no longer finite end the run before they are saved.
"""

import argparse
import csv
import hashlib
import math
import signal
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

import checkpoint
import data
from model import Model, shape_m
from trouble import Trouble, run

REPOSITORY = Path(__file__).resolve().parents[2]
MATRIX_LR, TABLE_LR = 0.02, 3e-3  # Muon; AdamW
WARM_UP_STEPS = 100
DECAY_SHARE = 0.25                # of the time
CLIP = 1.0


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
    """Tokens to train on, windows to validate with, and what turns nats per token into bits per byte."""

    def __init__(self, folder, tokenizer, context):
        cache, train, held_out = REPOSITORY / "build" / "tokens", folder / "tales.train.txt.xz", folder / "tales.val.txt"
        self.train = data.tokens(train, tokenizer, cache)
        if len(self.train) <= context:
            raise Trouble(f"{train}: {len(self.train):,} tokens; windows of {context} are drawn from it")
        self.windows = validation_windows(held_out, tokenizer, cache, context)
        n_tokens = len(data.tokens(held_out, tokenizer, cache))
        if len(self.windows[0]) == 0:
            raise Trouble(f"{held_out}: {n_tokens:,} tokens; a window of validation has {context}")
        self.bits_per_byte = n_tokens / sum(len(d.encode()) for d in data.documents(held_out)) / math.log(2)


def take_weights(model, path):
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise Trouble(f"{path}: no whole safetensors file: {error}") from error
    checkpoint.check_finite(tensors, path)
    checkpoint.put_weights(model, tensors, path)


def check_options(state, fresh, path):
    """Refuses to go on from `state` as something else than it was: `fresh` is what a new run would begin with."""
    before, now = asdict(state["config"]), asdict(fresh["config"])
    for field in before:
        if before[field] != now[field]:
            raise Trouble(f"{path}: its model has {field} {before[field]}, --tokenizer and this trainer say {now[field]}")
    if state.get("tokenizer", fresh["tokenizer"]) != fresh["tokenizer"]:
        raise Trouble(f"{path}: was trained with another --tokenizer of the same size")


def resume(path, fresh, model, optimizer_list, device):
    """The state to go on from; model and optimisers receive what it holds."""
    state = checkpoint.read_latest(path, device)
    check_options(state, fresh, path)
    checkpoint.put_weights(model, state["model"], path)
    try:
        for o, s in zip(optimizer_list, state.get("optimizers", [])):
            o.load_state_dict(s)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Trouble(f"{path}: the optimisers' state is none of this trainer: {error}") from error
    return fresh | {name: state[name] for name in checkpoint.COUNTERS}


def number(kind, least):
    """A number of an argument, `least` or more."""
    def read(text):
        value = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not {least} or more")
        return value
    read.__name__ = kind.__name__  # which argparse names where the text is no number
    return read


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--tokenizer", type=Path, default=REPOSITORY / "tools" / "model" / "tokenizer.json")
    parser.add_argument("--minutes", type=number(float, 0), default=60)
    parser.add_argument("--batch", type=number(int, 1), default=4)
    parser.add_argument("--threads", type=number(int, 1), default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-seconds", type=number(float, 0), default=240, help="time between two checkpoints")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", type=Path)
    start.add_argument("--init", type=Path)
    parser.add_argument("--eager", action="store_true", help="without torch.compile: slower steps, no compiler needed")
    return parser.parse_args()


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


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Model(shape_m(data.read_tokenizer(args.tokenizer)[1])).to(device)
    context = model.c.context_length
    texts = Texts(args.data, args.tokenizer, context)
    state = {"config": model.c, "step": 0, "tokens": 0, "seconds": 0.0,
             "tokenizer": hashlib.sha256(args.tokenizer.read_bytes()).hexdigest()}
    optimizer_list = optimizers(model)
    if args.init:
        take_weights(model, args.init)
    if args.resume:
        state = resume(args.resume, state, model, optimizer_list, device)
    loss_of = model.loss if args.eager else torch.compile(model.loss)
    generator = torch.Generator().manual_seed(args.seed + state["step"])
    log, stopped, path, saved_step = Log(args.out / "log.csv"), stop_on_signals(), args.out / "checkpoint.pt", None
    start, end, first_step, average = time.time(), time.time() + 60 * args.minutes, state["step"], None
    last_save, seconds_before = start, state["seconds"]

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
        log.add(state["step"], state["tokens"], round(state["seconds"], 1), MATRIX_LR * share, round(average, 4),
                round(loss, 4), round(loss * texts.bits_per_byte, 4))
        if not math.isfinite(loss):
            give_up(f"the validation loss is {loss}; the checkpoint before is {checkpoint.previous(path)}")

    share = 0.0
    while time.time() < end and not stopped:
        left = (end - time.time()) / (DECAY_SHARE * (end - start))
        share = min(1.0, (state["step"] - first_step + 1) / WARM_UP_STEPS) * min(1.0, max(0.03, left))
        for o, peak in zip(optimizer_list, (MATRIX_LR, TABLE_LR)):
            o.param_groups[0]["lr"] = peak * share
        x, y = (t.to(device) for t in data.batch(texts.train, args.batch, context, generator))
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
    if average is not None:
        record(share, len(texts.windows[0]))


if __name__ == "__main__":
    run(main)
