"""A float GGUF (F32, F16, BF16) as a PyTorch model."""

import sys
from pathlib import Path

import gguf
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from model import Config, Model  # noqa: E402

# Key after "egmla." -> field of Config. What a file lacks keeps Config's default.
KEYS = {"vocab_size": "vocab_size", "block_count": "n_layers", "embedding_length": "width", "attention.head_count": "n_heads",
        "feed_forward_length": "feed_forward_width", "context_length": "context_length", "attention.value_length": "value_width",
        "attention.key_length_content": "content_width", "rope.dimension_count": "rope_width", "attention.kv_lora_rank": "latent_width",
        "attention.q_lora_rank": "query_latent_width", "attention.head_count_kv": "n_kv_heads", "attention.kind": "attention",
        "attention.gate": "gate", "attention.gate_norm": "gate_norm", "attention.gate_length": "gate_width",
        "attention.layer_group_size": "layer_group_size", "attention.kv_norm": "kv_norm", "block_norm": "block_norm",
        "feed_forward.kind": "feed_forward", "attention.layer_norm_rms_epsilon": "block_norm_epsilon",
        "block_norm_epsilon": "block_norm_epsilon", "attention.kv_norm_epsilon": "kv_norm_epsilon",
        "attention.q_norm_epsilon": "q_norm_epsilon", "attention.gate_norm_epsilon": "gate_norm_epsilon",
        "embedding_scale": "embedding_scale", "residual_scale": "residual_scale", "logit_scale": "logit_scale",
        "rope.freq_base": "rope_base", "rope.interleaved": "rope_interleaved", "rope.scaling.type": "rope_scaling",
        "rope.scaling.factor": "rope_factor", "rope.scaling.original_context_length": "rope_original_context",
        "rope.scaling.yarn_log_multiplier": "yarn_log_multiplier", "rope.scaling.yarn_beta_fast": "yarn_beta_fast",
        "rope.scaling.yarn_beta_slow": "yarn_beta_slow"}


def numbers(tensor):
    """A tensor of the file as torch.float32, in its own shape [rows, cols] or [n]."""
    flat = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return torch.from_numpy(flat.astype("float32").reshape([int(n) for n in reversed(tensor.shape)]))


def load(path, dtype=torch.float64):
    """The model of a float file, in `dtype`. A tensor that the model has no place for is refused, except LongRoPE's tables."""
    reader = gguf.GGUFReader(path)
    values = {field: reader.get_field("egmla." + key).contents() for key, field in KEYS.items() if reader.get_field("egmla." + key)}
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
