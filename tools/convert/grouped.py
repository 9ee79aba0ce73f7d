"""A GGUF file of architecture llama (Llama, SmolLM2) as a PyTorch model of grouped heads, and its vocabulary.

GGUF's names of tensors are those of tools/train/model.py, and llama's rotated pairs are neighbours (2i, 2i + 1) in it.
"""

import sys
from pathlib import Path

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from gguf_model import numbers  # noqa: E402
from model import Config, Model  # noqa: E402
from trouble import Trouble  # noqa: E402

# Field of Config: key after "llama."
KEYS = {"n_layers": "block_count", "width": "embedding_length", "n_heads": "attention.head_count",
        "n_kv_heads": "attention.head_count_kv", "feed_forward_width": "feed_forward_length",
        "context_length": "context_length", "rope_base": "rope.freq_base",
        "block_norm_epsilon": "attention.layer_norm_rms_epsilon"}
UNUSED = "rope_freqs.weight"  # Llama 3's divisors, which this reader does not know
CONTROL = 3                   # tokenizer.ggml.token_type


def config_of(reader, path):
    def value(key):
        field = reader.get_field(key)
        if field is None:
            raise Trouble(f"{path}: key {key} is missing")
        return field.contents()

    if value("general.architecture") != "llama":
        raise Trouble(f"{path}: key general.architecture is {value('general.architecture')!r}; only llama can be rewritten")
    c = {field: value(f"llama.{key}") for field, key in KEYS.items()}
    c["vocab_size"] = int(next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1])
    head = reader.get_field("llama.attention.key_length")
    c["value_width"] = head.contents() if head else c["width"] // c["n_heads"]
    turned = reader.get_field("llama.rope.dimension_count")
    if turned and turned.contents() != c["value_width"]:
        raise Trouble(f"{path}: key llama.rope.dimension_count: {turned.contents()} of {c['value_width']} lanes rotate; all must")
    scaling = reader.get_field("llama.rope.scaling.type")
    if (scaling and scaling.contents() != "none") or any(t.name == UNUSED for t in reader.tensors):
        raise Trouble(f"{path}: a scaled rotary embedding cannot be rewritten yet")
    return Config(attention="mha", tied=all(t.name != "output.weight" for t in reader.tensors), **c)


def empty(config):
    """A model whose parameters are yet to be written; drawing them takes seconds."""
    with torch.device("meta"):
        model = Model(config)
    return model.to_empty(device="cpu").requires_grad_(False).eval()


def load(path):
    """The model in float32, quantised weights as the floats that they stand for."""
    reader = gguf.GGUFReader(path)
    config = config_of(reader, path)
    model = empty(config)
    tensors = {t.name: numbers(t) for t in reader.tensors}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if missing or unexpected:
        raise Trouble(f"{path}: tensor {(missing + unexpected)[0]} is missing or not one of a llama without biases")
    return model


def tokenizer_of(path):
    """The vocabulary of a file whose pattern is SmolLM2's, as the `tokenizers` package has it."""
    fields = gguf.GGUFReader(path).fields
    read = {key: fields[f"tokenizer.ggml.{key}"].contents() for key in ("pre", "tokens", "token_type", "merges")}
    if read["pre"] != "smollm":
        raise Trouble(f"{path}: key tokenizer.ggml.pre is {read['pre']!r}; only smollm is known here")
    out = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(read["tokens"])},
                               merges=[tuple(m.split(" ")) for m in read["merges"]], unk_token="<|endoftext|>"))
    out.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    out.decoder = decoders.ByteLevel()
    out.add_special_tokens([AddedToken(t, special=True, normalized=False)
                            for t, kind in zip(read["tokens"], read["token_type"]) if kind == CONTROL])
    return out
