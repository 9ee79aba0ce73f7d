"""Writes, for every pattern that pith knows, what the `tokenizers` package makes of it: pre_tokenizer_cases.tsv, pieces of texts,
and pre_tokenizers.json, what a tokenizer.json says of it.

    PYTHONPATH=tests/python python3 tests/golden/make_pre_tokenizer_cases.py

A line of the cases is a pattern's name and the pieces in hexadecimal, with spaces between.
"""

import json
from pathlib import Path

from test_tokenizer_kinds import KINDS, WHOLE_PIECES, package, splitter
from vocabulary_model import byte_alphabet

TEXTS = [
    "Hello, World! it's WE'LL don'T 'ſ they'Re  x",
    "12345 1a22 ٣½Ⅷ〇1〇22", "a  b   c\n\n d \n \t\n e\t f  ", " \r\n\r\nx\r\n", "\n", "   ",
    "camelCase HTTPServer ABC中DEF x中文Y ǅa éÉÉé caf\u0301E \u0301\u0301A",
    "中文，标点！ 々〆〇⺀ 한글ㅏㄅㄆ かなカナーx 　全角ＡＢ１２", "(a) [b]/ //\n/ ...!?\n\n $+=^~ #tag @x _y -z",
    "\x00\x01a\x7fb\x85c\u200bd\u2028e\u00a0f\u3000g", "🦊👩‍👩‍👧 ग्रा ཀླ ا١٢٣", "def f(x):\n    return x[0] + 1.5e-3  # ok\n", "'", "''s", "…“x”‘y’—：；",
    "\U00010400\U00010428 \U0001e900x \U0002a700\U0002a701", "a'sb A'S中 é'D", "x \u0301y  \u0301z", "1\u03012 a1b2", "end ", "end\n  ",
]


def main():
    alphabet = {c: byte for byte, c in enumerate(byte_alphabet())}
    lines, parts = [], {}
    for kind in KINDS:
        for text in TEXTS:
            pieces = [bytes(alphabet[c] for c in piece) for piece, _ in splitter(kind).pre_tokenize_str(text)]
            assert b"".join(pieces) == text.encode()
            lines.append(kind + "\t" + " ".join(piece.hex() for piece in pieces) + "\n")
        whole = json.loads(package(kind, {"a": 0}, []).to_str())
        parts[kind] = {"pre_tokenizer": whole["pre_tokenizer"], "model": {"ignore_merges": kind in WHOLE_PIECES}}
    folder = Path(__file__).parent
    (folder / "pre_tokenizer_cases.tsv").write_text("".join(lines))
    (folder / "pre_tokenizers.json").write_text(json.dumps(parts, indent=1) + "\n")


if __name__ == "__main__":
    main()
