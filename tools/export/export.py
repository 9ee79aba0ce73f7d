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

from config_keys import written  # noqa: E402
from model import Model  # noqa: E402

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


def write_tokenizer(writer, path):
    model = json.loads(Path(path).read_text("utf-8"))
    special = {t["id"] for t in model["added_tokens"]}
    vocab = sorted(model["model"]["vocab"].items(), key=lambda item: item[1])
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["model"]["merges"]]
    writer.add_string("tokenizer.ggml.model", "gpt2")
    writer.add_string("tokenizer.ggml.pre", "gpt-2")
    writer.add_array("tokenizer.ggml.tokens", [text for text, _ in vocab])
    writer.add_array("tokenizer.ggml.token_type", [3 if index in special else 1 for _, index in vocab])
    writer.add_array("tokenizer.ggml.merges", merges)
    writer.add_uint32("tokenizer.ggml.bos_token_id", 0)
    writer.add_uint32("tokenizer.ggml.eos_token_id", 0)


def export(model, path, tokenizer=None, texts=()):
    """Writes the model; `texts` are (key, string) of the general section."""
    writer = gguf.GGUFWriter(str(path), "egmla")
    for key, value in texts:
        writer.add_string(key, value)
    write_config(writer, model.c)
    if tokenizer:
        write_tokenizer(writer, tokenizer)
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
    checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=False)
    model = Model(checkpoint["config"])
    model.load_state_dict(checkpoint["model"])
    export(model, args.out, args.tokenizer, [
        ("general.name", args.name),
        ("general.description", f"EG-MLA story model, trained on fairy tales for {checkpoint['tokens']:,} tokens"),
        ("general.license", "cc-by-4.0"),
        ("general.attribution", attribution(args.attribution))])


if __name__ == "__main__":
    main()
