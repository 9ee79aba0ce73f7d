"""Random and adversarial texts for comparing tokenizers. PITH_TOKENIZER_TEXTS says how many of them per kind."""

import os
import random

N_TEXTS = int(os.environ.get("PITH_TOKENIZER_TEXTS", 2000))

# Digits of Unicode 17: the package's Digits knows them, its own patterns and pith's tables (16) do not yet.
TOO_NEW = {*range(0x11de0, 0x11dea), *range(0x16ff4, 0x16ff7)}

WORDS = ["the ", "'s", "'S", "'re", "'LL", "'Ve", "'ſ", "’s", "'", " ", "  ", "   ", "\n", "\r\n", "\n\n", " \n", "\t", "\v", "\r", "42", "1",
         "1234567", "½", "٣", "Ⅷ", "〇", ".", "...", "!?", "/", "//", "\n/", "-", "_", "$", "+", "\u00a0", "\u3000", "\u2028", "\u200b", "\u0301",
         "é", "É", "ß", "ǅ", "ʰ", "ª", "中", "中文", "文A", "aB", "AB", "Ab", "々", "⺀", "〆", "𖿰", "한글", "ㅏ", "ㄅ", "かな", "カナ", "ー", "ཀ", "ग्र", "ا",
         "！", "，", "。", "…", "“", "Ａｂ", "１", "🦊", "👩‍👩‍👧", "\x00", "\x04", "\x7f", "\x85", "\ufeff", "\ufffd", "\U0010ffff", "user",
         "<|im_start|>", "</s>", "<0x41>", "▁", "▁a", "def f(x):\n    return", "https://"]
RANGES = ((0x20, 0x7f), (0x20, 0x3000), (0x3000, 0xd800), (0xe000, 0x110000), (0x1f000, 0x20000))


def chance_of(seed=None):
    seed = random.randrange(2 ** 32) if seed is None else seed
    print("seed", seed)
    return random.Random(seed)


def character(chance):
    kind = chance.randrange(len(RANGES) + 3)
    if kind >= len(RANGES):
        return chance.choice(WORDS)
    code = chance.randrange(*RANGES[kind])
    return chr(code) if code not in TOO_NEW else "."


def text(chance):
    """Of a few characters, mostly; of some hundred now and then; of runs of one."""
    n = chance.choice((3, 10, 30, 30, 30, 300))
    parts = [character(chance) for _ in range(chance.randrange(1, n))]
    if chance.randrange(8) == 0:
        parts = [part * chance.randrange(1, 40) for part in parts[:6]]
    return "".join(parts)


def texts(n, seed=None):
    chance = chance_of(seed)
    return (text(chance) for _ in range(n))


def shortest(text, is_same):
    """A part of a text that is not the same: what a failure shows."""
    n = len(text)
    while n > 1:
        parts = [text[i:i + n] for i in range(0, len(text) - n + 1, max(1, n // 2))]
        smaller = next((part for part in parts if len(part) < len(text) and not is_same(part)), None)
        text, n = (smaller, len(smaller) - 1) if smaller is not None else (text, n * 3 // 4 if n > 3 else n - 1)
    return text
