"""Every pre-tokeniser against the `tokenizers` package (and tiktoken, which Kimi-K2 is published for), on vocabularies that the
package trains here: same ids for random and adversarial texts.

Needs the library (PITH_LIBRARY) and the pith command (PITH_COMMAND). PITH_TOKENIZER_TEXTS raises how many texts each comparison
has (2000); from 20,000 on, every character of Unicode is compared as well, not just some.
"""

import json
import random
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import libpith
from random_texts import N_TEXTS, TOO_NEW, chance_of, shortest, texts
from vocabulary_model import CONTROL, NORMAL, UNUSED, USER_DEFINED, byte_alphabet, model_of

TALE = Path(__file__).resolve().parents[1] / "golden" / "tale.txt"
SPECIALS = 4  # PITH_ENCODE_SPECIALS

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = ("A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌ"
         "ῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")
WIDE = "[一-龥\u0800-一가-\ud7ff]+"
WORDS = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}%s]*[\p{Ll}\p{Lm}\p{Lo}\p{M}%s]+" + CONTRACTIONS + "?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}%s]+[\p{Ll}\p{Lm}\p{Lo}\p{M}%s]*" + CONTRACTIONS + "?")
NO_HAN = r"&&[^\p{Han}]"
KIMI = r"[\p{Han}]+|" + WORDS % ((NO_HAN,) * 4) + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# The patterns as published; "words" is GPT-2's, in the package itself.
KINDS = {
    "gpt-2": ["words"],
    "smollm": ["digits", "words"],
    "llama-bpe": [LLAMA3],
    "glm4": [LLAMA3],
    "qwen2": [LLAMA3.replace("{1,3}", "")],
    "deepseek-llm": ["[\r\n]", rf"\s?[{CASED}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", WIDE, "digits"],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", WIDE, "digits"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
                    "[!\"#$%&'" r"()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
                    r"|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "youtu": ["[가-힣ㄱ-\u318e]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
              WORDS % (("",) * 4) + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "kimi-k2": [KIMI],
}
WHOLE_PIECES = {"llama-bpe", "glm4", "youtu", "kimi-k2"}  # ignore_merges


def splitter(kind):
    def step(pattern):
        if pattern == "digits":
            return pre_tokenizers.Digits(individual_digits=True)
        if pattern == "words":
            return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        return pre_tokenizers.Split(Regex(pattern), "isolated")

    steps = [step(pattern) for pattern in KINDS[kind]]
    if KINDS[kind][-1] != "words":
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    return pre_tokenizers.Sequence(steps)


def package(kind, vocabulary, merges):
    out = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=kind in WHOLE_PIECES))
    out.pre_tokenizer = splitter(kind)
    out.decoder = decoders.ByteLevel()
    return out


def trained(kind, seed):
    """(vocabulary, merges) that the package makes of a tale and of random texts, some of them many times."""
    chance = random.Random(seed)
    lines = TALE.read_text("utf-8").splitlines(keepends=True)
    lines += [text * chance.randrange(1, 4) for text in texts(600, chance.randrange(2 ** 32))]
    out = Tokenizer(models.BPE())
    out.pre_tokenizer = splitter(kind)
    out.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=4000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                       show_progress=False))
    model = json.loads(out.to_str())["model"]
    return model["vocab"], [tuple(m) for m in model["merges"]]


def pairs(seed):
    """Any two bytes merge, in an order drawn: where a piece ends shows in the ids."""
    chance = random.Random(seed)
    alphabet = byte_alphabet()
    merges = [(left, right) for left in alphabet for right in alphabet]
    chance.shuffle(merges)
    tokens = alphabet + [left + right for left, right in merges]
    return {token: i for i, token in enumerate(tokens)}, merges


class Both:
    """A vocabulary as the package and as the library have it, with some added tokens at the end."""

    SPECIAL, USERS = ["<|im_start|>", "<|im_end|>", "<|im", "</s>"], ["a b", "  \n"]

    def __init__(self, folder, kind, vocabulary, merges):
        types = [NORMAL] * len(vocabulary) + [CONTROL] * 4 + [USER_DEFINED] * 2 + [UNUSED] * 2
        tokens = sorted(vocabulary, key=vocabulary.get) + self.SPECIAL + self.USERS + ["[PAD0]", "[PAD1]"]
        self.n, self.vocabulary, self.merges = len(vocabulary), vocabulary, merges
        self.plain, self.special = package(kind, vocabulary, merges), package(kind, vocabulary, merges)
        self.special.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in self.SPECIAL])
        for one in (self.plain, self.special):
            one.add_tokens([AddedToken(name, normalized=False) for name in self.USERS])
        self.ours = libpith.Tokenizer(model_of(folder, tokens, types, [" ".join(m) for m in merges], pre=kind))

    def expected(self, text):
        """Special tokens are text; without them, the package counts the users' tokens from another id on."""
        ids = self.plain.encode(text, add_special_tokens=False).ids
        return [i if i < self.n else i + len(self.SPECIAL) for i in ids]

    def is_same(self, text):
        ids = self.ours.encode(text)
        return (ids == self.expected(text) and self.ours.decode(ids) == text.encode()
                and self.ours.encode(text, SPECIALS) == self.special.encode(text, add_special_tokens=False).ids)

    def check(self, text):
        if not self.is_same(text):
            pytest.fail(f"ids differ for {shortest(text, self.is_same)!r}")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module", params=["trained", "pairs"])
def both(request, kind, tmp_path_factory):
    libpith.library()
    seed = random.randrange(2 ** 32)
    print("seed of the vocabulary", seed)
    vocabulary, merges = trained(kind, seed) if request.param == "trained" else pairs(seed)
    out = Both(tmp_path_factory.mktemp(kind), kind, vocabulary, merges)
    out.is_trained, out.seed = request.param == "trained", seed
    return out


def test_random_texts(both):
    print("seed of the vocabulary", both.seed)
    n, longest = 0, 0
    for text in texts(N_TEXTS // 2):
        both.check(text)
        n, longest = n + 1, max(longest, len(text))
    print(n, "texts, the longest of", longest, "characters")


def test_long_texts(both):
    chance = chance_of()
    for _ in range(2):
        both.check("".join(text for text in texts(150, chance.randrange(2 ** 32))))


def test_every_character(both, kind):
    """Each between others of several kinds, or by itself."""
    if both.is_trained:
        pytest.skip("any two bytes merge in the other vocabulary")
    chance = chance_of()
    blocks = [*range(0, 0x40000, 0x20), *range(0xe0000, 0xe0400, 0x20)]
    if N_TEXTS < 20_000:
        blocks = [*range(0, 0x500, 0x20), *chance.sample(blocks, 150)]
    for first in blocks:  # in small texts, for the package takes quadratic time
        codes = [c for c in range(first, first + 0x20) if not 0xd800 <= c < 0xe000 and c not in TOO_NEW]
        c = [chr(code) for code in codes]
        both.check("".join(f"n{x}N {x}1{x}.{x}中{x} \n{x}\n {x}{x}" for x in c))


def test_the_comparison_sees_a_difference(both, kind):
    text = "it'S 12345 (x)\n\n é中 Ab/\n"
    others = [name for name in KINDS if KINDS[name] != KINDS[kind]]
    differing = [name for name in others if splitter(name).pre_tokenize_str(text) != splitter(kind).pre_tokenize_str(text)]
    assert len(differing) >= len(others) - 1
    if both.is_trained:
        return
    chance, both_saw = random.Random(0), 0
    for name in differing:
        other = package(name, both.vocabulary, both.merges)
        for sample in [text, *texts(20, chance.randrange(2 ** 32))]:
            both_saw += other.encode(sample).ids != both.expected(sample)
    assert both_saw > len(differing)


def canonical_merges(tokens):
    """For tokens in the order of their ranks, the two parts that ranks alone make each of: what a file has of a tiktoken
    vocabulary."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    merges = []
    for token in tokens[256:]:
        parts = [token[i:i + 1] for i in range(len(token))]
        while len(parts) > 2:
            rank, at = min((ranks.get(parts[i] + parts[i + 1], len(tokens)), i) for i in range(len(parts) - 1))
            if rank >= ranks[token]:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            merges.append(parts)
    return merges


def test_kimi_against_tiktoken(tmp_path):
    tiktoken = pytest.importorskip("tiktoken")
    libpith.library()
    seed = random.randrange(2 ** 32)
    print("seed of the vocabulary", seed)
    vocabulary, _ = trained("kimi-k2", seed)
    alphabet = {c: byte for byte, c in enumerate(byte_alphabet())}
    longer = [bytes(alphabet[c] for c in token) for token in sorted(vocabulary, key=vocabulary.get) if len(token) > 1]
    tokens = [bytes([byte]) for byte in range(256)] + longer
    names = byte_alphabet()
    written = ["".join(names[byte] for byte in token) for token in tokens]
    merges = ["{} {}".format(*("".join(names[byte] for byte in part) for part in merge)) for merge in canonical_merges(tokens)]
    ours = libpith.Tokenizer(model_of(tmp_path, written, [NORMAL] * len(tokens), merges, pre="kimi-k2"))
    theirs = tiktoken.Encoding("kimi", pat_str=KIMI, mergeable_ranks={token: i for i, token in enumerate(tokens)}, special_tokens={})
    is_same = lambda text: ours.encode(text) == theirs.encode_ordinary(text)  # noqa: E731
    for text in texts(N_TEXTS):
        if not is_same(text):
            pytest.fail(f"ids differ for {shortest(text, is_same)!r}")
