"""Draws the learning curve: python3 tools/train/plot.py tools/model/log.csv tools/model/curve.svg"""

import csv
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402


def main():
    rows = list(csv.DictReader(open(sys.argv[1])))
    tokens = [int(r["tokens"]) / 1e6 for r in rows]
    figure, axes = plt.subplots(figsize=(6, 3.5))
    axes.plot(tokens, [float(r["val_bpb"]) for r in rows], marker=".", color="tab:blue")
    axes.set_xlabel("training tokens, million")
    axes.set_ylabel("bits per byte, held-out tales")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
