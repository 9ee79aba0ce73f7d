"""How far models are from the one that they were made of: perplexity, KL divergence and greedy agreement, on token ids.

    python3 tools/convert/fidelity.py MODEL.gguf MADE.gguf... --ids self.npy --text wikitext2.test.txt > ROWS.csv
    python3 tools/convert/fidelity.py MODEL.gguf --sizes 96+288f 64+128 --text wikitext2.test.txt

MODEL is of architecture llama, the others are float files of architecture egmla. --sizes: rotary and latent elements of models made on
the way, as latent.py makes them, with its most important slots or, after an f, with the fastest pairs of all groups; the text
behind the windows that are measured (or --calibrate) is what they are made by. KL in nats, of the original's next token.
"""

import argparse
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("train", "convert")]

import gguf_model  # noqa: E402
import grouped  # noqa: E402
import latent  # noqa: E402
from trouble import Trouble, run  # noqa: E402

COLUMNS = "model,rotary,latent,gate,calibrated_on,text,windows,tokens,perplexity,original_perplexity,kl_nats,greedy_agreement"


def windows(tokenizer, path, n, length, after=0):
    """[n, length] ids of a text, from its token `after` on."""
    ids = tokenizer.encode(Path(path).read_text("utf-8")[:12 * (after + n * length)]).ids[after:]
    if len(ids) < n * length:
        raise Trouble(f"{path}: {len(ids):,} tokens; {n * length:,} are asked for")
    return np.array(ids[:n * length], np.int32).reshape(n, length)


@torch.no_grad()
def compare(model, original, ids):
    """(perplexity, the original's, mean KL, part of tokens with the same likeliest next one) over ids [n, T]."""
    loss = base = kl = same = n = 0.0
    for row in torch.as_tensor(ids).long():
        p, q = (m(row[None])[0, :-1].log_softmax(-1) for m in (original, model))
        target = row[1:, None]
        base -= float(p.gather(-1, target).double().sum())
        loss -= float(q.gather(-1, target).double().sum())
        kl += float((p.exp() * (p - q)).sum(-1).double().sum())
        same += int((p.argmax(-1) == q.argmax(-1)).sum())
        n += len(target)
    return math.exp(loss / n), math.exp(base / n), kl / n, same / n


def made(original, stats, size):
    """The model of a size such as 64+128 or 96+288f."""
    match = re.fullmatch(r"(\d+)\+(\d+)(f?)", size)
    if not match:
        raise Trouble(f"--sizes {size}: ROTARY+LATENT, and an f for the fastest pairs")
    rotary, rank = int(match[1]), int(match[2])
    c = original.c
    kept = (latent.fastest(c, rotary // 2 // c.n_kv_heads) if match[3]
            else latent.most_important(original, stats, rotary // 2))
    return latent.rewrite(original, stats, kept, rank)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("made", nargs="*")
    parser.add_argument("--sizes", nargs="+", default=[])
    parser.add_argument("--ids", help="[n, length], .npy")
    parser.add_argument("--text")
    parser.add_argument("--windows", default="2x384", help="of the text, from its beginning: number and tokens")
    parser.add_argument("--calibrate", help="[n, length], .npy; 4 x 256 tokens of the text if left out")
    args = parser.parse_args()
    original, texts = grouped.load(args.model), {}
    n, length = map(int, args.windows.split("x"))
    if args.ids:
        texts[Path(args.ids).name] = np.load(args.ids)
    if args.text:
        tokenizer = grouped.tokenizer_of(args.model)
        texts[Path(args.text).name] = windows(tokenizer, args.text, n, length)
    if not texts or (args.sizes and not (args.calibrate or args.text)):
        raise Trouble("--text or --ids says what is measured, and --text or --calibrate what --sizes are made by")
    if args.sizes:
        stats = latent.statistics(original, np.load(args.calibrate) if args.calibrate
                                  else windows(tokenizer, args.text, 4, 256, n * length))
    calibrated_on = Path(args.calibrate or args.text or "").name
    makers = [(Path(path).name, "", lambda p=path: gguf_model.load(p, torch.float32).eval()) for path in args.made]
    makers += [(size, calibrated_on, lambda s=size: made(original, stats, s)) for size in args.sizes]
    print(COLUMNS)
    for name, by, make in makers:
        model = make()
        c = model.c
        for text, ids in texts.items():
            ppl, base, kl, same = compare(model, original, ids)
            print(f"{name},{c.rope_width},{c.latent_width},{c.gate},{by},{text},{len(ids)}x{ids.shape[1]},{ids.size - len(ids)},"
                  f"{ppl:.3f},{base:.3f},{kl:.4f},{same:.4f}", flush=True)


if __name__ == "__main__":
    run(main)
