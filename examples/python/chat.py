"""chat.py [MODEL] [--system TEXT] [--template NAME]: a conversation. A line of input is a message; Ctrl-C ends an answer, Ctrl-D
the conversation.

The messages are a list that the program keeps. The model keeps what it has read of it: an answer costs the new message alone.
"""

import argparse

import pith


def answer(model, messages, n_tokens):
    """Prints an answer as it comes; what was said of it."""
    generation = model.chat(messages, max_tokens=n_tokens)
    try:
        for piece in generation:
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        print(" ...", end="")
    print()
    return generation.text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="a file that `pith quantize` made")
    parser.add_argument("--system", help="what the model is told before all else")
    parser.add_argument("--template", help="such as chatml; the file's own without it")
    parser.add_argument("--tokens", type=int, default=400, help="of an answer at most")
    options = parser.parse_args()
    messages = [{"role": "system", "content": options.system}] if options.system else []
    with pith.Model(options.model, template=options.template) as model:
        while True:
            try:
                question = input("> ")
            except (EOFError, KeyboardInterrupt):
                print()
                return
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer(model, messages, options.tokens)})


if __name__ == "__main__":
    main()
