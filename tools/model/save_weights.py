"""Keeps a checkpoint in the repository: bf16 weights, from which training goes on (tools/train/train.py --init) and the model
files are made again.

    python3 tools/model/save_weights.py CHECKPOINT tools/model/weights.bf16.safetensors
    python3 tools/model/save_weights.py --back tools/model/weights.bf16.safetensors CHECKPOINT
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

import checkpoint  # noqa: E402
from trouble import run  # noqa: E402


def main():
    if sys.argv[1] == "--back":
        checkpoint.write(sys.argv[3], checkpoint.read_weights(sys.argv[2]))
    else:
        checkpoint.write_weights(sys.argv[2], checkpoint.read(sys.argv[1]))


if __name__ == "__main__":
    run(main)
