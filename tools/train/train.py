"""Trains the built-in model, or goes on training it.

    python3 tools/train/train.py OUT --data ../shared/data --minutes 60 [--resume CHECKPOINT | --init WEIGHTS]

OUT receives checkpoint.pt (weights, optimiser, counters; written whole or not at all) and log.csv. Learning rates warm up over
100 steps, stay, and fall linearly over the last quarter of the time. SIGTERM ends the run as the end of the time does. With
--init only the weights are taken: the optimiser starts afresh.
"""

import argparse
import csv
import math
import os
import signal
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

import data
from model import Model, shape_m

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


def save(path, state):
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--tokenizer", type=Path, default=REPOSITORY / "tools" / "model" / "tokenizer.json")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--eager", action="store_true", help="without torch.compile: slower steps, no compiler needed")
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Model(shape_m()).to(device)
    context, cache = model.c.context_length, REPOSITORY / "build" / "tokens"
    train = data.tokens(args.data / "tales.train.txt.xz", args.tokenizer, cache)
    windows = validation_windows(args.data / "tales.val.txt", args.tokenizer, cache, context)
    n_bytes = sum(len(d.encode()) for d in data.documents(args.data / "tales.val.txt"))
    bits_per_byte = len(data.tokens(args.data / "tales.val.txt", args.tokenizer, cache)) / n_bytes / math.log(2)
    state = {"config": model.c, "step": 0, "tokens": 0, "seconds": 0.0}
    optimizer_list = optimizers(model)
    if args.init:
        model.load_state_dict({k: v.float() for k, v in load_file(args.init).items()})
    if args.resume:
        state = torch.load(args.resume, map_location=device, weights_only=False)
        model.load_state_dict(state["model"])
        for o, s in zip(optimizer_list, state.get("optimizers", [])):
            o.load_state_dict(s)
    loss_of = model.loss if args.eager else torch.compile(model.loss)
    generator = torch.Generator().manual_seed(args.seed + state["step"])
    log = csv.writer(open(args.out / "log.csv", "a", buffering=1))
    if (args.out / "log.csv").stat().st_size == 0:
        log.writerow(["step", "tokens", "seconds", "lr", "train_loss", "val_loss", "val_bpb"])
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    start, end, first_step, average = time.time(), time.time() + 60 * args.minutes, state["step"], None
    last_save, seconds_before = start, state["seconds"]

    def record(share, limit):
        loss = validation_loss(model, windows, limit, args.batch, device)
        state["seconds"] = seconds_before + time.time() - start
        log.writerow([state["step"], state["tokens"], round(state["seconds"], 1), MATRIX_LR * share, round(average, 4),
                      round(loss, 4), round(loss * bits_per_byte, 4)])
        save(args.out / "checkpoint.pt", state | {"model": model.state_dict(),
                                                  "optimizers": [o.state_dict() for o in optimizer_list]})

    share = 0.0
    while time.time() < end and not stopped:
        left = (end - time.time()) / (DECAY_SHARE * (end - start))
        share = min(1.0, (state["step"] - first_step + 1) / WARM_UP_STEPS) * min(1.0, max(0.03, left))
        for o, peak in zip(optimizer_list, (MATRIX_LR, TABLE_LR)):
            o.param_groups[0]["lr"] = peak * share
        x, y = (t.to(device) for t in data.batch(train, args.batch, context, generator))
        loss = loss_of(x, y)
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
        if time.time() - last_save > 240:
            record(share, 32)
            last_save = time.time()
    if average is not None:
        record(share, len(windows[0]))


if __name__ == "__main__":
    main()
