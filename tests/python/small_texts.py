"""Texts and a tokenizer of 300 tokens to train on for a moment."""

import lzma
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "train"))

import tokenizer as tokenizer_trainer  # noqa: E402

WORDS = "a fox found the lantern in snow and it was still warm so they sat down until the moon had gone home".split()


def story(rng, n_words):
    return " ".join(rng.choices(WORDS, k=n_words)) + "."


def write_small_texts(folder, tokens=300):
    """tales and novels, packed, and tales.val.txt: the same in every run; and tokenizer.json."""
    rng = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    tales, novels = ([story(rng, 300) for _ in range(4)] for _ in range(2))
    for name, texts in (("tales", tales), ("novels", novels)):
        with lzma.open(folder / f"{name}.train.txt.xz", "wt", encoding="utf-8") as file:
            file.write("\n<|endoftext|>\n".join(texts) + "\n<|endoftext|>\n")
    (folder / "tales.val.txt").write_text(story(rng, 200) + "\n", encoding="utf-8")
    tokenizer_trainer.train(tales + novels, tokens).save(str(folder / "tokenizer.json"))
