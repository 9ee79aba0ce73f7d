"""Trains a byte-level BPE tokenizer: GPT-2's pattern, all 256 bytes, id 0 = <|endoftext|> (begins and ends documents)."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from data import END_OF_TEXT, MAX_VOCABULARY, documents  # noqa: E402
from trouble import Trouble, beside, run  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402


LEAST = 257  # tokens: all bytes, and END_OF_TEXT


def train(texts, vocab_size):
    """Raises Trouble where the texts have too few pairs for as many tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[END_OF_TEXT], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise Trouble(f"--vocab {vocab_size:,}: these texts have pairs for {tokenizer.get_vocab_size():,} tokens")
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the texts")
    parser.add_argument("--vocab", type=int, default=2048)
    parser.add_argument("--out", type=Path, default=Path("tools/model/tokenizer.json"))
    args = parser.parse_args()
    if not LEAST <= args.vocab <= MAX_VOCABULARY:
        raise Trouble(f"--vocab {args.vocab}: {LEAST} to {MAX_VOCABULARY} can be trained")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = train(documents(args.data / "tales.train.txt.xz"), args.vocab)
    with beside(args.out) as temporary:
        tokenizer.save(str(temporary))


if __name__ == "__main__":
    run(main)
