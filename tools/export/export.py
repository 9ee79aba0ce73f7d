"""Exports a checkpoint as a float GGUF: names and metadata only, the numbers as they are (float32).

    python3 tools/export/export.py CHECKPOINT OUT.gguf [--tokenizer tools/model/tokenizer.json] [--attribution FILE.tsv]
"""

import argparse
import json
import sys
from pathlib import Path

import gguf
import torch

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "train"))

import checkpoint  # noqa: E402
from config_keys import written  # noqa: E402
from trouble import Trouble, beside, run  # noqa: E402

SOURCES = """Public-domain books (mlschmitt/classic-books-markdown), FairytaleQA (uci-soe, Apache-2.0; texts from Project Gutenberg),
African Storybook and Pratham Books' StoryWeaver (global-asp/asp-source, global-asp/pb-source; only stories marked public domain or
CC-BY). CC-BY stories, title (author): """


def attribution(path):
    """Sources, and every CC-BY book of the table: title and people."""
    if not path:
        return SOURCES.replace("\n", " ") + "none named."
    rows = [line.split("\t") for line in Path(path).read_text("utf-8").splitlines()[1:]]
    return SOURCES.replace("\n", " ") + "; ".join(" - ".join(cell for cell in row if cell) for row in rows if row)


def write_config(writer, c):
    """The keys of the model file that say the shape."""
    add = {"integer": writer.add_uint32, "real": writer.add_float32, "boolean": writer.add_bool, "word": writer.add_string}
    for key, value in written(c):
        add[key["kind"]](f"egmla.{key['key']}", value)


NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # tokenizer.ggml.token_type


def token_table(tokenizer, rows):
    """(texts, types) [rows] of a tokenizer.json: the vocabulary, over it the added tokens, and names for what neither has. A
    model's embedding may have more rows than there are tokens."""
    types = {index: NORMAL for index in tokenizer["model"]["vocab"].values()}
    texts = {index: text for text, index in tokenizer["model"]["vocab"].items()}
    if len(texts) != len(tokenizer["model"]["vocab"]):
        raise Trouble("two tokens have one id")
    for token in tokenizer["added_tokens"]:
        texts[token["id"]] = token["content"]
        types[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    for index, text in texts.items():
        if not 0 <= index < rows:
            raise Trouble(f"token {index:,} ({text!r}): the model has {rows:,} rows")
    return [texts.get(i, f"[PAD{i}]") for i in range(rows)], [types.get(i, UNUSED) for i in range(rows)]


def check_kind(tokenizer):
    """That of tools/train/tokenizer.py alone is written, since its pattern has a name here."""
    splits = {name: (tokenizer["pre_tokenizer"] or {}).get(name) for name in ("type", "add_prefix_space", "use_regex")}
    if tokenizer["model"]["type"] != "BPE" or tokenizer["normalizer"] or splits != {
            "type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
        raise Trouble("no byte-level BPE with GPT-2's pattern")


def write_tokenizer(writer, path, rows):
    """`rows`: of the model's embedding."""
    try:
        tokenizer = json.loads(Path(path).read_text("utf-8"))
        check_kind(tokenizer)
        texts, types = token_table(tokenizer, rows)
        merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    except Trouble as trouble:
        raise Trouble(f"{path}: {trouble}") from trouble
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Trouble(f"{path}: no tokenizer.json: {error!r}") from error
    writer.add_string("tokenizer.ggml.model", "gpt2")
    writer.add_string("tokenizer.ggml.pre", "gpt-2")
    writer.add_array("tokenizer.ggml.tokens", texts)
    writer.add_array("tokenizer.ggml.token_type", types)
    writer.add_array("tokenizer.ggml.merges", merges)
    writer.add_uint32("tokenizer.ggml.bos_token_id", 0)
    writer.add_uint32("tokenizer.ggml.eos_token_id", 0)


def export(model, path, tokenizer=None, texts=()):
    """Writes the model, or leaves `path` as it is; `texts` are (key, string) of the general section."""
    with beside(path) as temporary:
        write(gguf.GGUFWriter(str(temporary), "egmla"), model, tokenizer, texts)


def write(writer, model, tokenizer, texts):
    for key, value in texts:
        writer.add_string(key, value)
    write_config(writer, model.c)
    if tokenizer:
        write_tokenizer(writer, tokenizer, model.c.vocab_size)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(name, tensor.detach().float().cpu().numpy())
    if model.c.rope_scaling == "longrope":
        for which in ("short", "long"):
            factors = torch.tensor(getattr(model.c, f"rope_factors_{which}"), dtype=torch.float32)
            writer.add_tensor(f"rope_factors_{which}.weight", factors.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--tokenizer", default=REPOSITORY / "tools" / "model" / "tokenizer.json")
    parser.add_argument("--attribution", help="table of CC-BY texts: a header line, then tab-separated cells")
    parser.add_argument("--name", default="pith M")
    args = parser.parse_args()
    model, state = checkpoint.read_model(args.checkpoint)
    export(model, args.out, args.tokenizer, [
        ("general.name", args.name),
        ("general.description", f"EG-MLA story model, trained on fairy tales for {state['tokens']:,} tokens"),
        ("general.license", "cc-by-4.0"),
        ("general.attribution", attribution(args.attribution))])


if __name__ == "__main__":
    run(main)
