"""Token ids of places of a text that are equally far apart: [n, length], .npy.

    python3 tools/convert/text_ids.py MODEL.gguf tales.train.txt.xz OUT.npy --windows 16x1024

MODEL's vocabulary is read. A place begins at a line.
"""

import argparse
import lzma
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("train", "convert")]

import grouped  # noqa: E402
from trouble import Trouble, run  # noqa: E402

CHARACTERS = 16  # of a token, at most on average


def places(tokenizer, text, n, length):
    starts = [text.find("\n", len(text) * i // n) + 1 for i in range(n)]
    rows = [tokenizer.encode(text[s:s + CHARACTERS * length]).ids[:length] for s in starts]
    if min(map(len, rows)) < length:
        raise Trouble(f"the text is too short for {n} places of {length} tokens")
    return np.array(rows, np.int32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text", help="UTF-8, or such a file in .xz")
    parser.add_argument("out")
    parser.add_argument("--windows", default="16x1024", help="places and tokens of each")
    args = parser.parse_args()
    opened = lzma.open if args.text.endswith(".xz") else open
    with opened(args.text, "rt", encoding="utf-8") as file:
        text = file.read()
    ids = places(grouped.tokenizer_of(args.model), text, *map(int, args.windows.split("x")))
    np.save(args.out, ids)
    print(f"{ids.size:,} tokens of {len(ids)} places")


if __name__ == "__main__":
    run(main)
