"""The table of what tools/train/compare.py measured, made of the files that it left: table.csv has every run, table.md every kind's
mean and range over the seeds and what became of the paper's claims, table.svg perplexity against cached elements.

    python3 tools/train/table.py OUT
"""

import csv
import json
import math
import statistics
import sys
from pathlib import Path

from trouble import Trouble, beside, run

# Sentence, kind, the kind that it is set against, by how many percent its perplexity may be higher.
CLAIMS = (
    ("EG-MLA at 1/12 of MHA's cache within 2 % of its perplexity", "eg-up-layer-lgz3", "mha", 2.0),
    ("EG-MLA no worse than MLA at 2.5 times its cache", "eg-up-layer-lgz3", "mla-d3", 0.0),
    ("one gate table for three layers costs nothing (lgz 3 against 1)", "eg-up-layer-lgz3", "eg-up-layer-lgz1", 0.0),
)
COLUMNS = ("kind", "seed", "parameters", "lookup_parameters", "feed_forward_width", "cached_elements", "tokens", "seconds", "device",
           "torch_bits_per_byte", "torch_perplexity", "weights", "float32_bits_per_byte", "float32_perplexity", "int4_bits_per_byte",
           "int4_perplexity", "scored_tokens")


def flat(result):
    """A row of COLUMNS of a run's result.json; None where nothing was measured."""
    row = {name: result.get(name) for name in COLUMNS}
    row["torch_perplexity"] = math.exp(result["torch_loss"])
    for precision, said in result.get("pith", {}).items():
        row |= {f"{precision}_{name}": said[name] for name in ("bits_per_byte", "perplexity")} | {"scored_tokens": said["tokens"]}
    return row


class Kind:
    """The runs of a kind, and what it costs to run."""

    def __init__(self, name, rows, cost):
        self.name, self.rows, self.cost = name, sorted(rows, key=lambda row: row["seed"]), cost

    def values(self, column):
        return [row[column] for row in self.rows if row[column] is not None]

    def by_seed(self, column):
        return {row["seed"]: row[column] for row in self.rows if row[column] is not None}


def spread(values, digits=3):
    """The mean, and the range where there are several."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def differences(kind, other, column):
    """By how many percent the perplexity is higher, of every seed that both have: they read the same text."""
    mine, theirs = kind.by_seed(column), other.by_seed(column)
    return [100 * (mine[seed] / theirs[seed] - 1) for seed in sorted(mine.keys() & theirs.keys())]


def verdict(found, bound):
    """What the differences say of a claim that they are `bound` or less."""
    if not found:
        return "not measured"
    if max(found) <= bound:
        return "holds"
    return "does not hold" if min(found) > bound else "undecided: the seeds disagree"


def read(out):
    """{name: Kind} of a folder, in the order of tools/train/shapes.py."""
    from shapes import KINDS
    kinds = {}
    for name in KINDS:
        rows = [flat(json.loads(path.read_text("utf-8"))) for path in sorted((out / name).glob("*/result.json"))]
        cost = out / name / "cost.json"
        if rows or cost.exists():
            kinds[name] = Kind(name, rows, json.loads(cost.read_text("utf-8")) if cost.exists() else None)
    return kinds


def shared_column(kinds):
    """Perplexity by `pith` where all runs have it, else by PyTorch: one ruler for all."""
    rows = [row for kind in kinds.values() for row in kind.rows]
    return "float32_perplexity" if all(row["float32_perplexity"] is not None for row in rows) else "torch_perplexity"


def table_lines(kinds, column):
    yield ("| kind | parameters, M (and lookups) | cached elements per token | seeds | bits per byte: PyTorch | float32 | int4 "
           "| perplexity: float32 | int4 | against MHA, % | RAM, MiB: float32 | int4 | decode, tokens/s: float32 | int4 |")
    yield "|" + "---|" * 14
    for kind in kinds.values():
        first, mha = (kind.rows or [None])[0], kinds.get("mha")
        cells = [kind.name]
        cells.append("" if first is None else f"{first['parameters'] / 1e6:.2f} ({first['lookup_parameters'] / 1e6:.2f})")
        cells += [str(first["cached_elements"]) if first else "", ", ".join(str(row["seed"]) for row in kind.rows)]
        cells += [spread(kind.values(f"{name}_bits_per_byte")) for name in ("torch", "float32", "int4")]
        cells += [spread(kind.values(f"{name}_perplexity"), 2) for name in ("float32", "int4")]
        cells.append(spread(differences(kind, mha, column), 1) if mha and kind is not mha else "")
        cost = kind.cost or {}
        cells += [f"{cost[name]['resident_bytes'] / 2**20:.1f}" if cost else "" for name in ("float32", "int4")]
        cells += [f"{statistics.median(cost[name]['tokens_per_s']):.0f}" if cost.get("timed") else "" for name in ("float32", "int4")]
        yield "| " + " | ".join(cells) + " |"


def claim_lines(kinds, column):
    yield "| claim | perplexity is higher by, % | |"
    yield "|---|---|---|"
    for sentence, name, other, bound in CLAIMS:
        found = differences(kinds[name], kinds[other], column) if name in kinds and other in kinds else []
        yield f"| {sentence} | {spread(found, 2)} | {verdict(found, bound)} |"


def markdown(kinds, options):
    column = shared_column(kinds)
    ruler = "`pith eval`, float32" if column == "float32_perplexity" else "PyTorch: not all runs have been evaluated by `pith`"
    said = ", ".join(f"{name} {value}" for name, value in options.items())
    yield f"{said}. Means, with the range over the seeds. Differences are of seeds that both have, by {ruler}."
    yield ""
    yield from table_lines(kinds, column)
    machines = sorted({f"{kind.cost['cpu']}, tier {kind.cost['tier']}, commit {kind.cost['commit']}, {kind.cost['threads']} threads, "
                       f"{kind.cost['depth']:,} tokens" for kind in kinds.values() if kind.cost})
    if machines:
        yield ""
        yield f"RAM and speed: {'; '.join(machines)}."
    yield ""
    yield from claim_lines(kinds, column)


def write_csv(path, kinds):
    with beside(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row for kind in kinds.values() for row in kind.rows)


def draw(path, kinds):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "table"  # the same results give the same bytes
    import matplotlib.pyplot as plt
    column = shared_column(kinds)
    figure, axes = plt.subplots(figsize=(7, 4.5))
    markers = {"mha": ("s", "#555555"), "mla": ("^", "#009e73"), "eg-up": ("o", "#0072b2"), "eg-latent": ("D", "#d55e00")}
    for kind in kinds.values():
        values = kind.values(column)
        if not values:
            continue
        mean = statistics.fmean(values)
        marker, colour = next(m for start, m in markers.items() if kind.name.startswith(start))
        axes.errorbar(kind.rows[0]["cached_elements"], mean, [[mean - min(values)], [max(values) - mean]], marker=marker, color=colour,
                      capsize=3)
        axes.annotate(kind.name, (kind.rows[0]["cached_elements"], mean), xytext=(6, 3), textcoords="offset points", fontsize=7)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("cached elements per token")
    axes.set_ylabel("perplexity, held-out tales")
    axes.grid(alpha=0.3)
    axes.margins(x=0.2)
    figure.tight_layout()
    with beside(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    plt.close(figure)


def write(out):
    """Writes all three, of what is there; the plot only with matplotlib."""
    kinds = read(out)
    options = json.loads((out / "options.json").read_text("utf-8"))
    write_csv(out / "table.csv", kinds)
    with beside(out / "table.md") as temporary:
        temporary.write_text("\n".join(markdown(kinds, options)) + "\n", "utf-8")
    try:
        draw(out / "table.svg", kinds)
    except ImportError:
        print("table.svg is not drawn: pip install matplotlib", file=sys.stderr)


def main():
    out = Path(sys.argv[1]) if len(sys.argv) == 2 else None
    if out is None or not (out / "options.json").exists():
        raise Trouble("give the folder that tools/train/compare.py wrote to")
    write(out)


if __name__ == "__main__":
    run(main)
