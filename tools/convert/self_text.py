"""Text that a chat model writes itself, for distillation: token ids [n, length] as .npy.

    python3 tools/convert/self_text.py MODEL.gguf OUT.npy --sequences 128 --length 320 --seed 1

Half of the sequences are conversations about a topic in the model's own chat format, half are documents from an opening on.
Drawn at temperature 1. Where the model ends a text, the next question or opening is put in its place. The same seed gives the
same text on the same machine. Topics of even and odd number are kept apart (--topics), so that a test has topics of its own.
"""

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import grouped  # noqa: E402
from model import rotate  # noqa: E402
from trouble import run  # noqa: E402

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
QUESTIONS = ["What is {}?", "Explain {} to a child.", "Write a short story about {}.", "Give me five facts about {}.",
             "Why does {} matter?", "Write an email to a friend about {}.", "What is the history of {}?",
             "Compare {} with {}.", "Write a poem about {}.", "What should a beginner know about {}?",
             "Summarise what is known about {} in three sentences.", "List some questions about {} and answer them."]
OPENINGS = ["{} is", "The history of {} begins", "In 1{}{}{}, ", "Once upon a time, there was", "The study of {} has shown that",
            "Chapter 1\n\n", "He looked at", "According to", "The film", "The city of", "The first album of the band",
            "How to learn {}:\n\n1.", "She said that", "The battle of", "Born in", "The species", "During the season, the team",
            "import ", "The problem with {} is", "Abstract. We study {}"]
TOPICS = ["the moon", "bread", "volcanoes", "the Roman Empire", "bicycles", "photosynthesis", "chess", "rivers", "jazz",
          "vaccines", "glaciers", "computers", "democracy", "honey bees", "earthquakes", "football", "the French Revolution",
          "gravity", "coffee", "whales", "bridges", "poetry", "solar power", "dinosaurs", "money", "the heart", "trains",
          "mathematics", "rain forests", "cinema", "antibiotics", "sleep", "cats", "steel", "the Silk Road", "painting",
          "electric cars", "mushrooms", "Antarctica", "the internet", "tea", "windmills", "languages", "opera", "deserts",
          "wolves", "printing", "probability", "ships", "gardens", "the sun", "violins", "cities", "salt", "memory", "kites",
          "Shakespeare", "atoms", "friendship", "maps"]


class Prompts:
    """Ids of questions and openings by chance, from the topics of one parity or all."""

    def __init__(self, tokenizer, chance, topics):
        self.tokenizer, self.chance = tokenizer, chance
        self.topics = TOPICS if topics == "all" else TOPICS[topics == "odd"::2]

    def fill(self, templates):
        template = self.chance.choice(templates)
        things = [str(self.chance.randrange(10)) if template.startswith("In 1") else self.chance.choice(self.topics)
                  for _ in range(template.count("{}"))]
        text = template.format(*things)
        return text[:1].upper() + text[1:]

    def conversation(self, is_first):
        head = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n" if is_first else "\n"
        return self.tokenizer.encode(f"{head}<|im_start|>user\n{self.fill(QUESTIONS)}<|im_end|>\n<|im_start|>assistant\n").ids

    def document(self, is_first):
        return self.tokenizer.encode(("" if is_first else "<|endoftext|>") + self.fill(OPENINGS)).ids


class Decoder:
    """Steps of many sequences at once, with a cache of keys and values [layer][B, n_kv, length, d]."""

    def __init__(self, model, n, length):
        c = self.c = model.c
        self.model, self.at, self.rope = model, 0, model.rope(0, length, torch.zeros(1))
        shape = (n, c.n_kv_heads, length, c.value_width)
        self.keys, self.values = ([torch.zeros(shape) for _ in model.blk] for _ in range(2))

    def attention(self, block, n, x):
        c, t = self.c, self.at
        rope = [table[t:t + 1] for table in self.rope]
        q = rotate(block.attn_q(x).unflatten(-1, (c.n_heads, -1))[:, None], rope, c.rope_interleaved)
        k = rotate(block.attn_k(x).unflatten(-1, (c.n_kv_heads, -1))[:, None], rope, c.rope_interleaved)
        self.keys[n][:, :, t], self.values[n][:, :, t] = k[:, 0], block.attn_v(x).unflatten(-1, (c.n_kv_heads, -1))
        q = q[:, 0].unflatten(1, (c.n_kv_heads, -1))  # [B, n_kv, heads of a group, d]
        scores = q @ self.keys[n][:, :, :t + 1].transpose(-1, -2) * c.value_width ** -0.5
        return block.attn_output((scores.softmax(-1) @ self.values[n][:, :, :t + 1]).flatten(1))

    def step(self, ids):
        """Logits [B, V] after ids [B]."""
        x = self.model.token_embd(ids)
        for n, block in enumerate(self.model.blk):
            x = x + self.attention(block, n, block.attn_norm(x))
            x = x + block.feed_forward(block.ffn_norm(x))
        self.at += 1
        return self.model.logits(x)


@torch.no_grad()
def write(model, tokenizer, n, length, seed, topics):
    """[n, length] int32"""
    prompts = Prompts(tokenizer, random.Random(seed), topics)
    draw = torch.Generator().manual_seed(seed)
    ends = [tokenizer.token_to_id(name) for name in ("<|im_end|>", "<|endoftext|>")]
    kinds = [prompts.conversation if i % 2 == 0 else prompts.document for i in range(n)]
    waiting = [kind(True) for kind in kinds]
    decoder, out = Decoder(model, n, length), np.zeros((n, length), np.int32)
    drawn = None
    for t in range(length):
        for i, kind in enumerate(kinds):
            if not waiting[i] and int(drawn[i]) in ends:
                waiting[i] = ([ends[0]] if kind == prompts.conversation else []) + kind(False)
            out[i, t] = waiting[i].pop(0) if waiting[i] else int(drawn[i])
        logits = decoder.step(torch.from_numpy(out[:, t].astype(np.int64)))
        drawn = torch.multinomial(F.softmax(logits, -1), 1, generator=draw)[:, 0]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--sequences", type=int, default=128)
    parser.add_argument("--length", type=int, default=320)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--topics", choices=["even", "odd", "all"], default="all")
    args = parser.parse_args()
    tokenizer = grouped.tokenizer_of(args.model)
    ids = write(grouped.load(args.model), tokenizer, args.sequences, args.length, args.seed, args.topics)
    np.save(args.out, ids)
    for i in (0, 1):
        print(repr(tokenizer.decode(ids[i].tolist(), skip_special_tokens=False)[:400]))
    print(f"{ids.size:,} tokens of {args.sequences} sequences, seed {args.seed}, topics {args.topics}")


if __name__ == "__main__":
    run(main)
