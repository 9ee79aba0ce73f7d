"""A float GGUF (F32, F16, BF16) as a PyTorch model."""

import sys
from pathlib import Path

import gguf
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from config_keys import KEYS  # noqa: E402
from model import Config, Model  # noqa: E402


def numbers(tensor):
    """A tensor of the file as torch.float32, in its own shape [rows, cols] or [n]."""
    flat = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return torch.from_numpy(flat.astype("float32").reshape([int(n) for n in reversed(tensor.shape)]))


def load(path, dtype=torch.float64):
    """The model of a float file, in `dtype`. A tensor that the model has no place for is refused, except LongRoPE's tables."""
    reader = gguf.GGUFReader(path)
    fields = [(key["field"], reader.get_field("egmla." + key["key"])) for key in KEYS if key["use"] != "packed"]
    values = {name: field.contents() for name, field in fields if field}  # what a file lacks keeps Config's default
    tensors = {t.name: numbers(t) for t in reader.tensors}
    for which in ("short", "long"):
        if f"rope_factors_{which}.weight" in tensors:
            values[f"rope_factors_{which}"] = tuple(tensors.pop(f"rope_factors_{which}.weight").double().tolist())
    config = Config(**values, tied="output.weight" not in tensors)
    config.bias = any(name.endswith(("attn_output.bias", "ffn_down.bias")) for name in tensors)
    if config.attention == "latent":
        config.n_kv_heads = 0
    model = Model(config).to(dtype)
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    wrong = unexpected + [name for name in missing if not name.endswith(".bias")]  # an absent bias is 0, as initialised
    if wrong:
        raise ValueError(f"{path}: tensor {wrong[0]} is missing or not one of this configuration")
    return model
