"""Small models of random weights as published folders have them: config.json and safetensors; and their logits in float64.

Those that `transformers` knows are made by it; PLM, which it lacks, by the model in tools/train under PLM's names.
"""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "train"))

from model import Config, Model  # noqa: E402

VOCABULARY = 320
SHAPE = dict(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=3, max_position_embeddings=512,
             bos_token_id=1, eos_token_id=2, pad_token_id=None)
GROUPED = SHAPE | dict(num_attention_heads=4, num_key_value_heads=2)
LATENT = SHAPE | dict(num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=32, q_lora_rank=40, qk_nope_head_dim=16,
                      qk_rope_head_dim=8, v_head_dim=24)
EXPERTS = dict(first_k_dense_replace=1, n_routed_experts=8, num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=40,
               routed_scaling_factor=1.8, norm_topk_prob=True)
DENSE = dict(first_k_dense_replace=3, n_routed_experts=4, moe_intermediate_size=32)  # every layer is before the experts


def rope(theta, kind="default", **more):
    return dict(rope_parameters=dict(rope_theta=theta, rope_type=kind, **more))


YARN = dict(factor=4.0, original_max_position_embeddings=32, beta_fast=32, beta_slow=1)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
SHORT, LONG = [1.0, 1.1, 1.2, 1.3], [1.0, 1.5, 2.5, 4.0]  # LongRoPE's factors, of 4 pairs

# Name: (class of transformers without "Config", arguments).
MODELS = {
    "llama, tied": ("Llama", GROUPED | rope(1e5) | dict(tie_word_embeddings=True)),
    "llama, biases everywhere": ("Llama", GROUPED | rope(1e4) | dict(attention_bias=True, mlp_bias=True)),
    "llama, head width of its own": ("Llama", GROUPED | rope(1e4) | dict(head_dim=24)),
    "llama 3": ("Llama", GROUPED | rope(5e5, "llama3", **LLAMA3)),
    "llama, linear scaling": ("Llama", GROUPED | rope(1e4, "linear", factor=4.0)),
    "qwen2": ("Qwen2", GROUPED | rope(1e6)),
    "qwen2, yarn": ("Qwen2", GROUPED | rope(1e6, "yarn", **YARN)),
    "qwen2, yarn, magnitude given": ("Qwen2", GROUPED | rope(1e6, "yarn", attention_factor=1.3, **YARN)),
    "qwen3": ("Qwen3", GROUPED | rope(1e6) | dict(head_dim=24, rms_norm_eps=1e-4)),
    "qwen3, biases": ("Qwen3", GROUPED | rope(1e6) | dict(head_dim=16, attention_bias=True)),
    "minicpm3, long": ("MiniCPM3", LATENT | dict(scale_emb=12, scale_depth=1.4, dim_model_base=32) |
                       rope(1e4, "longrope", short_factor=SHORT, long_factor=LONG, factor=8.0,
                            original_max_position_embeddings=64)),
    "minicpm3, short": ("MiniCPM3", LATENT | dict(scale_emb=3, scale_depth=1.0, dim_model_base=64, tie_word_embeddings=False) |
                        rope(1e4, "longrope", short_factor=SHORT, long_factor=LONG, original_max_position_embeddings=512)),
    "minicpm3, magnitude given": ("MiniCPM3", LATENT |
                                  rope(1e4, "longrope", short_factor=SHORT, long_factor=LONG, attention_factor=1.2,
                                       original_max_position_embeddings=64)),
    "youtu": ("Youtu", LATENT | rope(1.6e6) | dict(tie_word_embeddings=True)),
    "youtu, halves": ("Youtu", LATENT | rope(1.6e6) | dict(rope_interleave=False, tie_word_embeddings=False)),
    "deepseek v2, yarn": ("DeepseekV2", LATENT | DENSE | rope(1e4, "yarn", mscale=0.707, mscale_all_dim=0.707, **YARN) |
                          dict(q_lora_rank=None)),
    "deepseek v2, biases": ("DeepseekV2", LATENT | DENSE | rope(1e4) | dict(attention_bias=True)),
    "deepseek v3, yarn": ("DeepseekV3", LATENT | DENSE | rope(1e4, "yarn", mscale=1.0, mscale_all_dim=1.0, **YARN)),
    "deepseek v3, rms_norm_eps": ("DeepseekV3", LATENT | DENSE | rope(1e4) | dict(rms_norm_eps=1e-3)),
    "plm": ("PLM", {}),
    "deepseek v2, experts": ("DeepseekV2", LATENT | EXPERTS | rope(1e4, "yarn", mscale=0.707, mscale_all_dim=0.707, **YARN) |
                             dict(q_lora_rank=None, n_shared_experts=2, topk_method="greedy", norm_topk_prob=False,
                                  routed_scaling_factor=1.0)),
    "deepseek v2, groups of experts": ("DeepseekV2", LATENT | EXPERTS | rope(1e4) |
                                       dict(topk_method="group_limited_greedy", n_group=4, topk_group=2, norm_topk_prob=False)),
    "deepseek v3, groups of experts": ("DeepseekV3", LATENT | EXPERTS | rope(1e4, "yarn", mscale=1.0, mscale_all_dim=1.0, **YARN) |
                                       dict(n_group=4, topk_group=2, num_nextn_predict_layers=0)),
    "moonlight": ("DeepseekV3", LATENT | EXPERTS | rope(5e4) | dict(q_lora_rank=None, n_group=1, topk_group=1, n_shared_experts=2,
                                                                    num_experts_per_tok=3, num_nextn_predict_layers=0)),
    "deepseek v3, weights not normed": ("DeepseekV3", LATENT | EXPERTS | rope(1e4) |
                                        dict(n_group=2, topk_group=1, norm_topk_prob=False, num_nextn_predict_layers=0)),
    "glm 4.7 flash": ("Glm4MoeLite", LATENT | EXPERTS | rope(1e6) | dict(n_group=1, topk_group=1, rms_norm_eps=1e-5)),
}

PLM = dict(attention="latent", feed_forward="relu2", vocab_size=VOCABULARY, n_layers=3, width=64, n_heads=4,
           feed_forward_width=96, context_length=512, value_width=24, content_width=16, rope_width=8, latent_width=32,
           rope_base=1e5)
PLM_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
             "attn_q": "self_attn.q_proj", "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
             "attn_kv_a_norm": "self_attn.kv_a_layernorm", "attn_kv_b": "self_attn.kv_b_proj",
             "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj"}
PLM_KEYS = SHAPE | dict(model_type="plm", architectures=["PLMForCausalLM"], num_attention_heads=4, num_key_value_heads=4,
                        q_lora_rank=None, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=24,
                        hidden_act="relu2", rms_norm_eps=1e-6, rope_theta=1e5, rope_scaling=None, tie_word_embeddings=True,
                        attention_bias=False, torch_dtype="float32")


@torch.no_grad()
def draw(model, dtype):
    """Every parameter by chance, of the precision `dtype`: gammas away from 1 and biases away from 0, so that one that is
    forgotten shows."""
    corrections = [(name, b) for name, b in model.named_buffers() if name.endswith("correction_bias")]
    for name, p in list(model.named_parameters()) + corrections:
        if "norm" in name:
            p.copy_(1 + 0.3 * torch.randn_like(p))
        elif name.endswith("bias"):  # of experts' scores too
            p.copy_(0.2 * torch.randn_like(p))
        else:
            p.copy_(torch.randn_like(p) * (1.0 if "emb" in name else 1.5 * p.shape[-1] ** -0.5))
        p.copy_(p.to(dtype).to(p.dtype))
    return model


def plm_name(name):
    """`model.layers.3.self_attn.q_proj.weight` of `blk.3.attn_q.weight`."""
    stem, ending = name.rsplit(".", 1)
    if not stem.startswith("blk."):
        return f"{PLM_NAMES[stem]}.{ending}"
    _, layer, matrix = stem.split(".")
    return f"model.layers.{layer}.{PLM_NAMES[matrix]}.{ending}"


def write_plm(folder, dtype):
    model = draw(Model(Config(**PLM)), dtype)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {plm_name(name): value.detach().to(dtype).contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(PLM_KEYS))
    model = model.double()
    return lambda ids: model(ids[None])[0]


def ids_of(seed, n=120):
    """What tests of a model of that seed evaluate."""
    return np.random.default_rng(seed).integers(3, VOCABULARY, n)


def chosen(model, ids, noise=0.0):
    """Which experts every token goes to: an array for every layer that has some, [T, used], rising. noise: on routers' logits, as
    the layers after them see it."""
    out, handles = [], []
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith("mlp.gate"):
                weight = module.weight
                handles.append((weight, weight.clone()))
                weight.mul_(1 + noise * torch.randn_like(weight))
                handles.append(module.register_forward_hook(lambda _, __, y: out.append(y[2].sort(-1)[0].numpy())))
        model(torch.tensor(np.asarray(ids, dtype=np.int64))[None])
        for handle in handles:
            if isinstance(handle, tuple):
                handle[0].copy_(handle[1])
            else:
                handle.remove()
    return out


def is_steady(model, ids):
    """Whether no token's choice of experts hangs on a hundred-thousandth of a router's weights: rounding moves none."""
    wanted = chosen(model, ids)
    return all(np.array_equal(a, b) for _ in range(3) for a, b in zip(wanted, chosen(model, ids, 1e-5)))


def write(name, folder, seed, dtype=torch.float32, shard_size=None, **changes):
    """Writes the folder; returns the function of its logits: ids [n] to [n, vocabulary] in float64. changes: of the arguments."""
    torch.manual_seed(seed)
    kind, arguments = MODELS[name]
    arguments = arguments | changes
    if kind == "PLM":
        function = write_plm(folder, dtype)
    else:
        import transformers
        config = getattr(transformers, kind + "Config")(**arguments)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager",
                                                              experts_implementation="eager").eval()
        draw(model, dtype)
        while not is_steady(model, ids_of(seed)):
            draw(model, dtype)
        # A copy is what is saved: with the parameters the frequencies of the rotation would lose digits.
        saved = copy.deepcopy(model).to(dtype)
        saved.save_pretrained(folder, **({"max_shard_size": shard_size} if shard_size else {}))
        model = model.double()
        function = lambda ids: model(ids[None]).logits[0]  # noqa: E731

    def logits(ids):
        with torch.no_grad():
            return function(torch.tensor(np.asarray(ids, dtype=np.int64))).numpy()
    logits.model = None if kind == "PLM" else model
    return logits


def edit(folder, **changes):
    """Sets keys of config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        config.pop(key, None)
        if value is not None:
            config[key] = value
    path.write_text(json.dumps(config))


def write_with_words(name, folder, seed):
    """The same with the built-in model's vocabulary: a model of texts. `.tokenizer`: that of the `tokenizers` package."""
    from tokenizers import Tokenizer
    words = Path(__file__).resolve().parents[2] / "tools" / "model" / "tokenizer.json"
    logits = write(name, folder, seed, vocab_size=2048)
    (folder / "tokenizer.json").write_text(words.read_text("utf-8"), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>",
                                                                  add_bos_token=True)))
    logits.tokenizer = Tokenizer.from_file(str(words))
    return logits
