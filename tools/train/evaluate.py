"""Bits per byte of a checkpoint in PyTorch float32, by the rule of `pith eval`: documents with id 0 between them, cut into
consecutive windows of the context length, each led by id 0, every token predicted; the bytes are those of the documents.

    python3 tools/train/evaluate.py CHECKPOINT TEXT
"""

import argparse
import math
from pathlib import Path

import torch

import checkpoint
import data
from trouble import Trouble, run

REPOSITORY = Path(__file__).resolve().parents[2]


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokenizer", default=REPOSITORY / "tools" / "model" / "tokenizer.json")
    args = parser.parse_args()
    model, _ = checkpoint.read_model(args.checkpoint)
    tokenizer, n_ids = data.read_tokenizer(args.tokenizer)
    if n_ids > model.c.vocab_size:
        raise Trouble(f"{args.tokenizer}: {n_ids:,} token ids, the model has {model.c.vocab_size:,}")
    tokenizer.encode_special_tokens = True  # what is written in the text is text
    documents = data.documents(args.text)
    n_bytes = sum(len(d.encode()) for d in documents)
    ids = [i for d in documents for i in [0] + tokenizer.encode(d).ids][1:]
    if not ids:
        raise Trouble(f"{args.text}: no token to predict")
    window, nats = model.c.context_length - 1, 0.0
    for i in range(0, len(ids), window):
        target = torch.tensor([ids[i:i + window]])
        inputs = torch.cat((torch.zeros(1, 1, dtype=torch.int64), target[:, :-1]), 1)
        nats += model.loss(inputs, target).item() * target.numel()
    print(f"tokens {len(ids)}  perplexity {math.exp(nats / len(ids)):.4f}  bits_per_byte {nats / math.log(2) / n_bytes:.4f}")


if __name__ == "__main__":
    run(main)
