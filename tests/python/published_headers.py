"""Headers of GGUF files in the shapes of published models: keys, vocabularies of their size, every tensor at its place. The weights are a
hole in a sparse file, zeros of up to a terabyte, so that what a loader says of a header costs no disk.

Shapes are those of the models' config.json; keys and tensors as llama.cpp's converters name them.
"""

import struct
from dataclasses import dataclass, field

from gguf_rules import ARRAY, BLOCKS, STRING

F32, U32, I32, REAL, BOOLEAN = 0, 4, 5, 6, 7  # a tensor's type; a value's
Q8_0, Q4_K, Q6_K, BF16, IQ1_S = 8, 12, 14, 30, 19
ALIGNMENT = 32
CONTROL, NORMAL, UNKNOWN, BYTE = 3, 1, 2, 6


@dataclass
class Published:
    architecture: str
    keys: dict           # after "architecture.": (type, value)
    tensors: dict        # name: (dims, fastest first)
    vocabulary: int
    pre: str = ""        # of byte-level BPE; SentencePiece where it is empty
    matrices: int = Q4_K  # the type of matrices whose rows are whole blocks of it
    ones: list = field(default_factory=list)  # tensors of 1.0

    def changed(self, architecture=None, matrices=None, **keys):
        """Other keys, of other types or none: name=(type, value), with __ for a dot; None takes a key away."""
        named = {name.replace("__", "."): value for name, value in keys.items()}
        merged = {name: value for name, value in (self.keys | named).items() if value is not None}
        return Published(architecture or self.architecture, merged, self.tensors, self.vocabulary, self.pre,
                         matrices or self.matrices, self.ones)


def counts(layers, width, ffn, heads, context):
    return {"block_count": (U32, layers), "embedding_length": (U32, width), "feed_forward_length": (U32, ffn),
            "attention.head_count": (U32, heads), "context_length": (U32, context),
            "attention.layer_norm_rms_epsilon": (REAL, 1e-6)}


def ends(width, vocabulary, tied):
    out = {"token_embd.weight": (width, vocabulary), "output_norm.weight": (width,)}
    return out if tied else out | {"output.weight": (width, vocabulary)}


def dense(prefix, width, ffn, gated=True):
    out = {f"{prefix}ffn_up.weight": (width, ffn), f"{prefix}ffn_down.weight": (ffn, width)}
    return out | {f"{prefix}ffn_gate.weight": (width, ffn)} if gated else out


def grouped(architecture, layers, width, heads, kv_heads, ffn, vocabulary, base, context, pre, head=0, tied=False, factors=False):
    """llama and its like."""
    head_width = head or width // heads
    keys = counts(layers, width, ffn, heads, context) | {
        "attention.head_count_kv": (U32, kv_heads), "rope.freq_base": (REAL, base), "vocab_size": (U32, vocabulary)}
    if architecture == "llama":
        keys["rope.dimension_count"] = U32, head_width
    if head:
        keys |= {"attention.key_length": (U32, head), "attention.value_length": (U32, head)}
    tensors = ends(width, vocabulary, tied)
    if factors:
        tensors["rope_freqs.weight"] = (head_width // 2,)
    for layer in range(layers):
        p = f"blk.{layer}."
        tensors |= {p + "attn_norm.weight": (width,), p + "ffn_norm.weight": (width,),
                    p + "attn_q.weight": (width, heads * head_width), p + "attn_k.weight": (width, kv_heads * head_width),
                    p + "attn_v.weight": (width, kv_heads * head_width), p + "attn_output.weight": (heads * head_width, width)}
        if architecture == "qwen2":
            tensors |= {p + f"attn_{x}.bias": (n * head_width,) for x, n in (("q", heads), ("k", kv_heads), ("v", kv_heads))}
        if architecture == "qwen3":
            tensors |= {p + f"attn_{x}_norm.weight": (head_width,) for x in "qk"}
        tensors |= dense(p, width, ffn)
    return Published(architecture, keys, tensors, vocabulary, pre, ones=["rope_freqs.weight"] if factors else [])


def experts(prefix, width, e):
    stack = (width, e["width"], e["count"])
    out = {f"{prefix}ffn_gate_inp.weight": (width, e["count"]), f"{prefix}ffn_gate_exps.weight": stack,
           f"{prefix}ffn_up_exps.weight": stack, f"{prefix}ffn_down_exps.weight": (e["width"], width, e["count"])}
    shared = e["width"] * e["shared"]
    out |= {f"{prefix}ffn_{x}_shexp.weight": (width, shared) for x in ("gate", "up")}
    out[f"{prefix}ffn_down_shexp.weight"] = (shared, width)
    return out | {f"{prefix}exp_probs_b.bias": (e["count"],)} if e["gating"] == 2 else out


def expert_keys(e):
    out = {"expert_count": (U32, e["count"]), "expert_used_count": (U32, e["used"]), "expert_shared_count": (U32, e["shared"]),
           "expert_feed_forward_length": (U32, e["width"]), "leading_dense_block_count": (U32, e["dense"]),
           "expert_weights_scale": (REAL, e["scale"]), "expert_gating_func": (U32, e["gating"]),
           "expert_weights_norm": (BOOLEAN, e["norm"])}
    if "groups" in e:
        out |= {"expert_group_count": (U32, e["groups"][0]), "expert_group_used_count": (U32, e["groups"][1])}
    return out


def up_projection(prefix, heads, latent, nope, value, split):
    if not split:
        return {f"{prefix}attn_kv_b.weight": (latent, heads * (nope + value))}
    return {f"{prefix}attn_k_b.weight": (nope, latent, heads), f"{prefix}attn_v_b.weight": (latent, value, heads)}


def latent(architecture, layers, width, heads, query, r, nope, rope, value, ffn, vocabulary, context, pre, base=None, e=None,
           yarn=None, split=True, tied=False, next_layers=0):
    """DeepSeek-V2 and its like. `split`: halves of the up-projection, as newer files have them; `e`: experts."""
    keys = counts(layers + next_layers, width, ffn, heads, context) | {
        "attention.kv_lora_rank": (U32, r), "rope.dimension_count": (U32, rope), "vocab_size": (U32, vocabulary)}
    if query:
        keys["attention.q_lora_rank"] = U32, query
    if base:
        keys["rope.freq_base"] = REAL, base
    if split:
        keys |= {"attention.head_count_kv": (U32, 1), "attention.key_length": (U32, r + rope), "attention.value_length": (U32, r),
                 "attention.key_length_mla": (U32, nope + rope), "attention.value_length_mla": (U32, value)}
    else:
        keys |= {"attention.head_count_kv": (U32, heads), "attention.key_length": (U32, nope + rope)}
        if architecture != "minicpm3":  # whose converter leaves it to width / heads
            keys["attention.value_length"] = U32, value
    if yarn:
        factor, original, multiplier = yarn
        keys |= {"rope.scaling.type": (STRING, "yarn"), "rope.scaling.factor": (REAL, factor),
                 "rope.scaling.original_context_length": (U32, original), "rope.scaling.yarn_log_multiplier": (REAL, multiplier)}
    if next_layers:
        keys["nextn_predict_layers"] = U32, next_layers
    tensors, ones = ends(width, vocabulary, tied), []
    if architecture == "minicpm3":
        keys |= {"rope.scaling.type": (STRING, "longrope"), "rope.scaling.original_context_length": (U32, context)}
        ones = ["rope_factors_long.weight", "rope_factors_short.weight"]
        tensors |= {name: (rope // 2,) for name in ones}
    if e:
        keys |= expert_keys(e)
    for layer in range(layers + next_layers):
        p = f"blk.{layer}."
        tensors |= {p + "attn_norm.weight": (width,), p + "ffn_norm.weight": (width,),
                    p + "attn_kv_a_mqa.weight": (width, r + rope), p + "attn_kv_a_norm.weight": (r,),
                    p + "attn_output.weight": (heads * value, width)}
        if query:
            tensors |= {p + "attn_q_a.weight": (width, query), p + "attn_q_a_norm.weight": (query,),
                        p + "attn_q_b.weight": (query, heads * (nope + rope))}
        else:
            tensors[p + "attn_q.weight"] = (width, heads * (nope + rope))
        tensors |= up_projection(p, heads, r, nope, value, split)
        tensors |= experts(p, width, e) if e and layer >= e["dense"] else dense(p, width, ffn, architecture != "plm")
    return Published(architecture, keys, tensors, vocabulary, pre, ones=ones)


LITE = dict(count=64, used=6, shared=2, width=1408, dense=1, scale=1.0, gating=1, norm=False)
LARGE = dict(count=256, used=8, shared=1, width=2048, dense=3, scale=2.5, gating=2, norm=True, groups=(8, 4))
V2_LITE = ("deepseek2", 27, 2048, 16, 0, 512, 128, 64, 128, 10944, 102400, 163840, "deepseek-llm", 1e4, LITE, (40, 4096, 0.0707))
V3 = ("deepseek2", 61, 7168, 128, 1536, 512, 128, 64, 128, 18432, 129280, 163840, "deepseek-v3", 1e4, LARGE, (40, 4096, 0.1))
V2 = ("deepseek2", 60, 5120, 128, 1536, 512, 128, 64, 128, 12288, 102400, 163840, "deepseek-llm", 1e4,
      dict(LITE, count=160, width=1536, scale=16.0, groups=(8, 3)), (40, 4096, 0.1))
MISTRAL = ("llama", 32, 4096, 32, 8, 14336)

ACCEPTED = {
    "smollm2-135m": grouped("llama", 30, 576, 9, 3, 1536, 49152, 1e5, 8192, "smollm", tied=True),
    "smollm2-360m": grouped("llama", 32, 960, 15, 5, 2560, 49152, 1e5, 8192, "smollm", tied=True),
    "smollm2-1.7b": grouped("llama", 24, 2048, 32, 32, 8192, 49152, 130000, 8192, "smollm", tied=True),
    "tinyllama-1.1b": grouped("llama", 22, 2048, 32, 4, 5632, 32000, 1e4, 2048, ""),
    "llama-2-7b": grouped("llama", 32, 4096, 32, 32, 11008, 32000, 1e4, 4096, ""),
    "llama-2-13b": grouped("llama", 40, 5120, 40, 40, 13824, 32000, 1e4, 4096, ""),
    "llama-3.1-8b": grouped("llama", 32, 4096, 32, 8, 14336, 128256, 5e5, 131072, "llama-bpe", factors=True),
    "llama-3.2-1b": grouped("llama", 16, 2048, 32, 8, 8192, 128256, 5e5, 131072, "llama-bpe", tied=True, factors=True),
    "llama-3.1-70b": grouped("llama", 80, 8192, 64, 8, 28672, 128256, 5e5, 131072, "llama-bpe", factors=True),
    "mistral-7b-v0.3": grouped(*MISTRAL, 32768, 1e6, 32768, ""),
    "qwen2.5-0.5b": grouped("qwen2", 24, 896, 14, 2, 4864, 151936, 1e6, 32768, "qwen2", tied=True),
    "qwen2.5-7b": grouped("qwen2", 28, 3584, 28, 4, 18944, 152064, 1e6, 32768, "qwen2"),
    "qwen3-0.6b": grouped("qwen3", 28, 1024, 16, 8, 3072, 151936, 1e6, 40960, "qwen2", head=128, tied=True),
    "qwen3-8b": grouped("qwen3", 36, 4096, 32, 8, 12288, 151936, 1e6, 40960, "qwen2", head=128),
    "minicpm3-4b": latent("minicpm3", 62, 2560, 40, 768, 256, 64, 32, 64, 6400, 73448, 32768, "", split=False, tied=True),
    "plm-1.8b": latent("plm", 32, 2048, 16, 0, 512, 128, 64, 128, 8192, 151936, 4096, "qwen2", 1e5, split=False, tied=True),
    "youtu-2b": latent("deepseek2", 32, 2048, 16, 1536, 512, 128, 64, 128, 6144, 128256, 131072, "youtu", 1.6e6, tied=True),
    "deepseek-v2-lite": latent(*V2_LITE),
    "deepseek-v2-lite, older layout": latent(*V2_LITE, split=False),
    "deepseek-v2": latent(*V2),
    "deepseek-v3": latent(*V3),
    "deepseek-v3, older layout": latent(*V3, split=False),
    "moonlight-16b": latent("deepseek2", 27, 2048, 16, 0, 512, 128, 64, 128, 11264, 163840, 8192, "kimi-k2", 5e4,
                            dict(LITE, gating=2, norm=True, scale=2.446)),
    "kimi-k2": latent("deepseek2", 61, 7168, 64, 1536, 512, 128, 64, 128, 18432, 163840, 131072, "kimi-k2", 5e4,
                      dict(LARGE, count=384, dense=1, scale=2.827, groups=(1, 1)), (32, 4096, 0.1)),
    "glm-4.7-flash": latent("deepseek2", 47, 2048, 20, 768, 512, 192, 64, 256, 10240, 154880, 202752, "glm4", 1e6,
                            dict(LITE, used=4, shared=1, width=1536, scale=1.8, gating=2, norm=True), next_layers=1),
}

SMALL = ACCEPTED["smollm2-135m"]
FLASH = ACCEPTED["deepseek-v2-lite"]
UNKNOWN_ARCHITECTURES = ("gemma2", "gemma3", "phi3", "gpt2", "falcon", "mamba", "bert", "t5", "qwen2moe", "qwen3moe", "olmo2", "command-r",
                         "mistral4", "glm-dsa", "kimi-linear", "bailingmoe3", "openpangu")
REFUSED = {name: (SMALL.changed(architecture=name), f"key general.architecture: \"{name}\" is not one of egmla, llama")
           for name in UNKNOWN_ARCHITECTURES} | {
    "mixtral-8x7b": (grouped(*MISTRAL, 32000, 1e6, 32768, "").changed(expert_count=(U32, 8), expert_used_count=(U32, 2)),
                     "key llama.expert_count: mixtures of experts (8 of them)"),
    "mistral-7b-v0.1": (grouped(*MISTRAL, 32000, 1e4, 32768, "").changed(attention__sliding_window=(U32, 4096)),
                        "key llama.attention.sliding_window: sliding windows"),
    "a part of a head rotates": (SMALL.changed(rope__dimension_count=(U32, 16)), "key llama.rope.dimension_count: heads of which a part"),
    "deepseek-v3.2": (FLASH.changed(attention__indexer__top_k=(U32, 2048)), "key deepseek2.attention.indexer.top_k: not known"),
    "another choice of experts": (FLASH.changed(expert_gating_func=(U32, 4)), "key deepseek2.expert_gating_func: 4 is not known"),
    "one bit a weight": (FLASH.changed(matrices=IQ1_S), "type IQ1_S is not read"),
    "no epsilon": (SMALL.changed(attention__layer_norm_rms_epsilon=None), "key llama.attention.layer_norm_rms_epsilon: missing"),
    "one layer more than its tensors": (SMALL.changed(block_count=(U32, 31)), "tensor blk.30.attn_norm.weight: missing"),
    "another width than its tensors": (SMALL.changed(feed_forward_length=(U32, 1600)), "the hyper-parameters ask for 1600 x 576"),
}


def text(content):
    content = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(content)) + content


def key(name, kind, value):
    plain = {U32: "<I", I32: "<i", REAL: "<f", BOOLEAN: "<?"}
    return text(name) + struct.pack("<I", kind) + (text(value) if kind == STRING else struct.pack(plain[kind], value))


def array(name, kind, values):
    content = b"".join(map(text, values)) if kind == STRING else struct.pack(f"<{len(values)}{'f' if kind == REAL else 'i'}", *values)
    return text(name) + struct.pack("<IIQ", ARRAY, kind, len(values)) + content


def byte_letters():
    """The letters that GPT-2's alphabet writes the 256 bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def word(i):
    """The i-th of many words: no two are alike, and none is a letter."""
    letters = ""
    for _ in range(5):
        i, digit = divmod(i, 26)
        letters += chr(ord("a") + digit)
    return letters


def vocabulary(model):
    """The entries of tokenizer.ggml.*; as many tokens as the model has rows."""
    n = model.vocabulary
    if model.pre:
        tokens = byte_letters()
        tokens += [word(i) for i in range(n - len(tokens) - 10)] + [f"<|special {i}|>" for i in range(10)]
        types = [NORMAL] * (n - 10) + [CONTROL] * 10
        special = n - 10
        rest = [array("tokenizer.ggml.merges", STRING, [f"{a} {b}" for a in "aeiou" for b in "bcdfg"])]
    else:
        tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
        types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (n - 259)
        tokens += ["\u2581" + word(i) for i in range(n - 259)]
        special = 1
        rest = [array("tokenizer.ggml.scores", REAL, [-float(i) for i in range(n)]),
                key("tokenizer.ggml.unknown_token_id", U32, 0)]
    return [key("tokenizer.ggml.model", STRING, "gpt2" if model.pre else "llama"),
            key("tokenizer.ggml.pre", STRING, model.pre or "default"), array("tokenizer.ggml.tokens", STRING, tokens),
            array("tokenizer.ggml.token_type", I32, types), key("tokenizer.ggml.bos_token_id", U32, special),
            key("tokenizer.ggml.eos_token_id", U32, special + 1), *rest]


def type_of(name, dims, matrices):
    if len(dims) == 1 or name.endswith("ffn_gate_inp.weight"):
        return F32
    kind = Q6_K if name.startswith(("token_embd", "output.")) and matrices == Q4_K else matrices
    if kind in BLOCKS and dims[0] % BLOCKS[kind][0]:
        return Q8_0 if dims[0] % 32 == 0 else BF16
    return kind


def n_bytes(kind, dims):
    weights, block = BLOCKS.get(kind, (256, 50))
    n = dims[0] // weights * block
    for dim in dims[1:]:
        n *= dim
    return n


def write(path, model, first=b""):
    """Writes the file; `first`: the first bytes of the embedding."""
    keys = [key("general.architecture", STRING, model.architecture), key("general.name", STRING, "shape"),
            key("general.file_type", U32, 15), key("general.quantization_version", U32, 2)]
    keys += [key(f"{model.architecture}.{name}", kind, value) for name, (kind, value) in model.keys.items()]
    keys += vocabulary(model)
    entries, places, at = [], {}, 0
    for name, dims in model.tensors.items():
        kind = type_of(name, dims, model.matrices)
        entries.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, at))
        places[name] = at, n_bytes(kind, dims)
        at += -(-places[name][1] // ALIGNMENT) * ALIGNMENT
    header = b"GGUF" + struct.pack("<IQQ", 3, len(entries), len(keys)) + b"".join(keys + entries)
    start = -(-len(header) // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(start + at)
        for name in model.ones:
            file.seek(start + places[name][0])
            file.write(struct.pack("<f", 1.0) * (places[name][1] // 4))
        file.seek(start + places["token_embd.weight"][0])
        file.write(first)
