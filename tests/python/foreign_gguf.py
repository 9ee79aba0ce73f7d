"""GGUF files as llama.cpp's converter lays them out, of the folders that tiny_models writes."""

import json
import math

import gguf
import numpy as np
from safetensors.numpy import load_file

NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
         "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
         "self_attn.kv_b_proj": "attn_kv_b",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
         "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
         "mlp.shared_experts.down_proj": "ffn_down_shexp"}
ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "minicpm3": "minicpm3", "plm": "plm",
                 "youtu": "deepseek2", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "glm4_moe_lite": "deepseek2"}


def name_of(published):
    """`blk.3.attn_q.weight` of `model.layers.3.self_attn.q_proj.weight`."""
    if published.endswith("mlp.gate.e_score_correction_bias"):
        return f"blk.{published.split('.')[2]}.exp_probs_b.bias"
    stem, ending = published.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, module = stem.split(".", 3)
        return f"blk.{layer}.{NAMES[module]}.{ending}"
    return f"{NAMES[stem]}.{ending}"


def paired(w, n_heads):
    """Rows of every head from halves (i, n + i) to neighbours (2i, 2i + 1)."""
    return w.reshape(n_heads, 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def stacked_experts(tensors):
    """[E, rows, cols] of the matrices of a layer's experts, taken out of `tensors`."""
    experts = {}
    for name in [name for name in tensors if ".mlp.experts." in name]:
        _, _, layer, _, _, expert, matrix, _ = name.split(".")
        stack = f"blk.{layer}.ffn_{matrix.removesuffix('_proj')}_exps.weight"
        experts.setdefault(stack, {})[int(expert)] = tensors.pop(name).astype(np.float32)
    return {name: np.stack([matrices[i] for i in range(len(matrices))]) for name, matrices in experts.items()}


def tensors_of(folder, config, split_up_projection):
    tensors = {}
    for file in folder.glob("*.safetensors"):
        tensors |= load_file(file)
    out = stacked_experts(tensors)
    out |= {name_of(name): value.astype(np.float32) for name, value in tensors.items()}
    if config["model_type"] == "llama":
        for name in list(out):
            if ".attn_q." in name or ".attn_k." in name:
                heads = config["num_attention_heads" if ".attn_q." in name else "num_key_value_heads"]
                out[name] = paired(out[name], heads)
    if split_up_projection:
        d_n, d_v = config["qk_nope_head_dim"], config["v_head_dim"]
        for name in [name for name in out if name.endswith(".attn_kv_b.weight")]:
            heads = out.pop(name).reshape(config["num_attention_heads"], d_n + d_v, -1)
            out[name.replace("kv_b", "k_b")] = np.ascontiguousarray(heads[:, :d_n].swapaxes(1, 2))
            out[name.replace("kv_b", "v_b")] = np.ascontiguousarray(heads[:, d_n:])
    return out


def llama3_factors(rope, head_width):
    """What Llama 3's converter writes as rope_freqs.weight: by how much every frequency is lowered."""
    out = []
    for i in range(head_width // 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (2 * i / head_width)
        turns = rope["original_max_position_embeddings"] / wave
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        smooth = min(max((turns - low) / (high - low), 0), 1)
        out.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(out, np.float32)


def add_rope(out, a, config):
    rope = config.get("rope_parameters") or dict(rope_theta=config["rope_theta"], rope_type="default")
    if a != "minicpm3":
        out.add_float32(f"{a}.rope.freq_base", rope["rope_theta"])
    kind = rope["rope_type"]
    if kind == "llama3":
        head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        out.add_tensor("rope_freqs.weight", llama3_factors(rope, head))
    elif kind == "linear":
        out.add_string(f"{a}.rope.scaling.type", "linear")
        out.add_float32(f"{a}.rope.scaling.factor", rope["factor"])
    elif kind == "yarn":
        out.add_string(f"{a}.rope.scaling.type", "yarn")
        out.add_float32(f"{a}.rope.scaling.factor", rope["factor"])
        out.add_uint32(f"{a}.rope.scaling.original_context_length", rope["original_max_position_embeddings"])
        if a == "deepseek2":
            out.add_float32(f"{a}.rope.scaling.yarn_log_multiplier", 0.1 * rope["mscale_all_dim"])
    elif kind == "longrope":
        out.add_string(f"{a}.rope.scaling.type", "longrope")
        out.add_uint32(f"{a}.rope.scaling.original_context_length", rope["original_max_position_embeddings"])
        for length in ("long", "short"):
            out.add_tensor(f"rope_factors_{length}.weight", np.array(rope[f"{length}_factor"], np.float32))


def add_latent_keys(out, a, config, split_up_projection):
    r, d_r = config["kv_lora_rank"], config["qk_rope_head_dim"]
    key, value = config["qk_nope_head_dim"] + d_r, config["v_head_dim"]
    out.add_uint32(f"{a}.attention.kv_lora_rank", r)
    out.add_uint32(f"{a}.rope.dimension_count", d_r)
    if config.get("q_lora_rank"):
        out.add_uint32(f"{a}.attention.q_lora_rank", config["q_lora_rank"])
    if split_up_projection:
        out.add_uint32(f"{a}.attention.key_length", r + d_r)
        out.add_uint32(f"{a}.attention.value_length", r)
        out.add_uint32(f"{a}.attention.key_length_mla", key)
        out.add_uint32(f"{a}.attention.value_length_mla", value)
    else:
        out.add_uint32(f"{a}.attention.key_length", key)
        out.add_uint32(f"{a}.attention.value_length", value)


def expert_keys(config):
    """(key, adding function, value)."""
    layers = config["num_hidden_layers"]
    if not config.get("n_routed_experts") or config["first_k_dense_replace"] >= layers:
        return [("leading_dense_block_count", "add_uint32", layers)]
    is_v2 = config["model_type"] == "deepseek_v2"
    out = [("leading_dense_block_count", "add_uint32", config["first_k_dense_replace"]),
           ("expert_count", "add_uint32", config["n_routed_experts"]),
           ("expert_used_count", "add_uint32", config["num_experts_per_tok"]),
           ("expert_shared_count", "add_uint32", config["n_shared_experts"]),
           ("expert_feed_forward_length", "add_uint32", config["moe_intermediate_size"]),
           ("expert_weights_scale", "add_float32", config["routed_scaling_factor"]),
           ("expert_weights_norm", "add_bool", config["norm_topk_prob"]),
           ("expert_gating_func", "add_uint32", 1 if is_v2 else 2)]
    if config.get("n_group"):
        out += [("expert_group_count", "add_uint32", config["n_group"]),
                ("expert_group_used_count", "add_uint32", config["topk_group"])]
    return out


def write(folder, path, split_up_projection=False, encode=None, keys=(), extra=None):
    """encode(name, array) -> (bytes array, GGMLQuantizationType) or None: how a matrix is stored; F32 otherwise.
    keys: (name after the architecture, adding function of GGUFWriter, value) of one's own, instead of that of the model; without a
    function it has none. extra: further tensors."""
    config = json.loads((folder / "config.json").read_text())
    a = ARCHITECTURES[config["model_type"]]
    out = gguf.GGUFWriter(path, a)
    heads = config["num_attention_heads"]
    kv_heads = 1 if split_up_projection else config["num_key_value_heads"]
    own = {key: (key, add, value) for key, add, value in keys}
    shape = [(key, "add_uint32", value) for key, value in
             dict(block_count=config["num_hidden_layers"], embedding_length=config["hidden_size"],
                  feed_forward_length=config["intermediate_size"], vocab_size=config["vocab_size"],
                  context_length=config["max_position_embeddings"]).items()]
    if a == "deepseek2":
        shape += expert_keys(config)
    for key, add, value in [own.pop(entry[0], entry) for entry in shape] + list(own.values()):
        if add:
            getattr(out, add)(f"{a}.{key}", value)
    out.add_uint32(f"{a}.attention.head_count", heads)
    out.add_uint32(f"{a}.attention.head_count_kv", kv_heads)
    out.add_float32(f"{a}.attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    if "kv_lora_rank" in config:
        add_latent_keys(out, a, config, split_up_projection)
    elif config.get("head_dim"):
        out.add_uint32(f"{a}.attention.key_length", config["head_dim"])
        out.add_uint32(f"{a}.attention.value_length", config["head_dim"])
    out.add_uint32("general.file_type", 0)
    add_rope(out, a, config)
    for name, value in (tensors_of(folder, config, split_up_projection) | (extra or {})).items():
        stored = encode(name, value) if encode and value.ndim > 1 else None
        if stored is None:
            out.add_tensor(name, value)
        else:
            out.add_tensor(name, stored[0], raw_dtype=stored[1])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path
