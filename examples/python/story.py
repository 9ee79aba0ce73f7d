"""story.py [PROMPT] [--model FILE]: goes on from a prompt, streaming; without FILE, the built-in model tells a tale."""

import argparse

import pith


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt", nargs="?", default="Once upon a time")
    parser.add_argument("--model", help="a file that `pith quantize` made")
    parser.add_argument("--tokens", type=int, default=120, help="at most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with pith.Model(options.model) as model:
        print(options.prompt, end="", flush=True)
        for piece in model.generate(options.prompt, max_tokens=options.tokens, seed=options.seed):
            print(piece, end="", flush=True)
        print()


if __name__ == "__main__":
    main()
