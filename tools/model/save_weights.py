"""Keeps a checkpoint in the repository: bf16 weights, from which training goes on (tools/train/train.py --init) and the model
files are made again.

    python3 tools/model/save_weights.py CHECKPOINT tools/model/weights.bf16.safetensors
    python3 tools/model/save_weights.py --back tools/model/weights.bf16.safetensors CHECKPOINT
"""

import sys
from pathlib import Path

from safetensors.torch import load_file, save_file
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

import checkpoint  # noqa: E402
from model import shape_m  # noqa: E402
from trouble import run  # noqa: E402


def main():
    if sys.argv[1] == "--back":
        with safe_open(sys.argv[2], "pt") as f:
            tokens = int(f.metadata()["tokens"])
        weights = {k: v.float() for k, v in load_file(sys.argv[2]).items()}
        checkpoint.write(sys.argv[3], {"config": shape_m(), "model": weights, "tokens": tokens, "step": 0, "seconds": 0.0})
    else:
        state = checkpoint.read(sys.argv[1])
        weights = {k: v.bfloat16().contiguous() for k, v in state["model"].items()}
        save_file(weights, sys.argv[2], {"tokens": str(state["tokens"])})


if __name__ == "__main__":
    run(main)
