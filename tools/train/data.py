"""Text files of documents, separated by lines `<|endoftext|>`; their tokens, cached as uint16."""

import hashlib
import lzma
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from trouble import Trouble, beside

END_OF_TEXT = "<|endoftext|>"
MAX_VOCABULARY = 1 << 16  # ids are kept in 16 bits
DOCUMENTS_AT_ONCE = 1000  # some MB of text: what the tokenizer returns takes a hundred times as much


def read_text(path):
    """The text of a file, unpacked if it is an .xz."""
    path = Path(path)
    try:
        with (lzma.open(path, "rb") if path.suffix == ".xz" else open(path, "rb")) as file:
            return file.read().decode("utf-8")
    except (lzma.LZMAError, EOFError) as error:
        raise Trouble(f"{path}: no whole .xz file: {error}") from error
    except UnicodeDecodeError as error:
        raise Trouble(f"{path}: no UTF-8 at byte {error.start:,}") from error


def documents(path):
    parts = ("\n" + read_text(path)).split(f"\n{END_OF_TEXT}\n")
    return [d for d in (p.strip("\n") for p in parts) if d]


def read_tokenizer(path):
    """(tokenizer, number of ids)"""
    content = Path(path).read_bytes()
    try:
        tokenizer = Tokenizer.from_buffer(content)
        n_ids = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    except Exception as error:  # the package raises no narrower kind
        raise Trouble(f"{path}: no tokenizer: {error}") from error
    if not 0 < n_ids <= MAX_VOCABULARY:
        raise Trouble(f"{path}: {n_ids:,} token ids; 1 to {MAX_VOCABULARY:,} can be trained")
    return tokenizer, n_ids


def cached_tokens(path):
    """None where the file is missing or cut."""
    try:
        return np.load(path)
    except (FileNotFoundError, EOFError, ValueError):
        return None


def tokens(path, tokenizer_path, cache):
    """All tokens of a file, each document led by id 0; tokenised once into the folder `cache`."""
    key = hashlib.sha256(Path(tokenizer_path).read_bytes() + Path(path).read_bytes()).hexdigest()[:12]
    cached = Path(cache) / f"{Path(path).name.split('.txt')[0]}.{key}.npy"
    ids = cached_tokens(cached)
    if ids is None:
        tokenizer, texts, parts = read_tokenizer(tokenizer_path)[0], documents(path), [np.zeros(0, np.uint16)]
        for i in range(0, len(texts), DOCUMENTS_AT_ONCE):
            encoded = tokenizer.encode_batch_fast(texts[i:i + DOCUMENTS_AT_ONCE], add_special_tokens=False)
            parts += [np.array([0] + e.ids, dtype=np.uint16) for e in encoded]
        ids = np.concatenate(parts)
        cached.parent.mkdir(parents=True, exist_ok=True)
        with beside(cached) as temporary, open(temporary, "wb") as file:
            np.save(file, ids)
    return ids


def batch(streams, shares, n, context, rng):
    """n random windows, each of a stream chosen by its share: inputs [n, context] that begin with id 0, as every context does at
    run time, and the next ids."""
    chosen = rng.choice(len(streams), size=n, p=shares)
    starts = [int(rng.integers(len(streams[c]) - context)) for c in chosen]
    windows = torch.from_numpy(np.stack([streams[c][s:s + context] for c, s in zip(chosen, starts)]).astype(np.int64))
    return torch.cat((torch.zeros(n, 1, dtype=torch.int64), windows[:, :-1]), 1), windows
