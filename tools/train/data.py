"""Text files of documents, separated by lines `<|endoftext|>`; their tokens, cached as uint16."""

import hashlib
import lzma
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"


def read_text(path):
    """The text of a file, unpacked if it is an .xz."""
    path = Path(path)
    return (lzma.open(path, "rb") if path.suffix == ".xz" else open(path, "rb")).read().decode("utf-8")


def documents(path):
    parts = ("\n" + read_text(path)).split(f"\n{END_OF_TEXT}\n")
    return [d for d in (p.strip("\n") for p in parts) if d]


def tokens(path, tokenizer_path, cache):
    """All tokens of a file, each document led by id 0; tokenised once into the folder `cache`."""
    key = hashlib.sha256(Path(tokenizer_path).read_bytes() + Path(path).read_bytes()).hexdigest()[:12]
    cached = Path(cache) / f"{Path(path).name.split('.txt')[0]}.{key}.npy"
    if not cached.exists():
        encoded = Tokenizer.from_file(str(tokenizer_path)).encode_batch_fast(documents(path), add_special_tokens=False)
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.save(cached, np.concatenate([np.array([0] + e.ids, dtype=np.uint16) for e in encoded]))
    return np.load(cached)


def batch(stream, n, context, generator):
    """n random windows: inputs [n, context] that begin with id 0, as every context does at run time, and the next ids."""
    starts = torch.randint(len(stream) - context, (n,), generator=generator).tolist()
    windows = torch.from_numpy(np.stack([stream[s:s + context] for s in starts]).astype(np.int64))
    return torch.cat((torch.zeros(n, 1, dtype=torch.int64), windows[:, :-1]), 1), windows
