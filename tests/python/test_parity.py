"""pith parity against PyTorch in float64: every tensor of every variant; planted faults, each of which the report must find in its
place; and the gates."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY / "tools" / "train"), str(REPOSITORY / "tools" / "export")]

import trace  # noqa: E402
from export import export  # noqa: E402
from gguf_model import load  # noqa: E402
from model import Model, rope_frequencies  # noqa: E402
from shapes import shape_m  # noqa: E402
from plant_fault import FAULTS  # noqa: E402
from test_runtime import GATED, VARIANTS, random_model  # noqa: E402

PITH = os.environ.get("PITH_COMMAND", REPOSITORY / "build" / "release" / "pith")
FLOAT = ["--weights", "f32", "--activations", "f32", "--cache", "f32"]
INT8 = ["--weights", "q8"]


def parity(model, *options, status=0):
    """The report of `pith parity MODEL OPTIONS`; and standard error."""
    done = subprocess.run([PITH, "parity", model, "--json", *options], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout) if done.stdout else None, done.stderr


def traced(folder, model, n_tokens=40, seed=0):
    """(float file, trace file) of a model, with half of the ids repeated."""
    ids = np.random.default_rng(seed).integers(0, model.c.vocab_size, n_tokens)
    ids[n_tokens // 2:] = ids[:n_tokens - n_tokens // 2]
    export(model, folder / "model.gguf")
    reloaded = load(folder / "model.gguf")  # of float32 numbers, as the runtime sees them
    frequencies = " ".join(repr(float(f)) for f in rope_frequencies(reloaded.c))
    trace.write(folder / "model.safetensors", reloaded, torch.from_numpy(ids), torch.float64, None, {"frequencies": frequencies})
    return folder / "model.gguf", folder / "model.safetensors"


@pytest.mark.parametrize("name", VARIANTS)
def test_every_step_in_float32(name, tmp_path):
    seed = zlib.crc32(name.encode())  # always the same: scores of a first token can cancel (tests/parity_test.cpp)
    model, reference = traced(tmp_path, random_model(VARIANTS[name], seed), 70, seed)
    report, _ = parity(model, *FLOAT, "--trace", reference, "--max-relative", "2e-5", "--explained")
    n_layer_tensors = {"mha": 9, "latent": 11}[VARIANTS[name].get("attention", "latent")] + ("gate" in VARIANTS[name])
    n_routers = 3 - VARIANTS[name]["n_dense_layers"] if "n_experts" in VARIANTS[name] else 0
    assert len(report["tensors"]) == 3 + 3 * n_layer_tensors + 2 * n_routers
    report, _ = parity(model, *FLOAT, "--attention", "grouped", "--trace", reference, "--max-relative", "2e-5")
    assert len(report["tensors"]) >= 3 + 3 * 7
    if n_routers:  # rounded, a token may go to another expert: no noise explains that
        return
    parity(model, *INT8, "--trace", reference, "--explained")
    parity(model, "--weights", "q4", "--trace", reference, "--explained")


def test_every_step_of_the_builtin_model_in_float32(tmp_path):
    from safetensors.torch import load_file
    model = Model(shape_m())
    model.load_state_dict({k: v.float() for k, v in load_file(REPOSITORY / "tools" / "model" / "weights.bf16.safetensors").items()})
    floats, reference = traced(tmp_path, model, 48, 1)
    report, _ = parity(floats, *FLOAT, "--trace", reference, "--max-relative", "2e-5")
    assert len(report["tensors"]) == 3 + 12 * 12


GATED_MODEL = dict(GATED, gate_norm="layer", layer_group_size=2)
YARN_MODEL = VARIANTS["mla low-rank query, yarn"]
PLACES = {"rope_pairing": (GATED_MODEL, "layer.0.q"), "gate_table": (GATED_MODEL, "layer.2.gate"),
          "missing_gamma": (GATED_MODEL, "layer.1.k"), "swapped_heads": (GATED_MODEL, "layer.1.attn_out"),
          "wrong_scale": (YARN_MODEL, "layer.0.scores"), "position_off_by_one": (GATED_MODEL, "layer.1.k_rope")}


@pytest.mark.parametrize("mode", [FLOAT, INT8], ids=["float32", "int8"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_in_its_place(fault, mode, tmp_path):
    variant, place = PLACES[fault]
    model, reference = traced(tmp_path, random_model(variant, 11))
    report, _ = parity(model, *mode, "--trace", reference, "--explained")  # control: the unedited files
    assert report["first_unexplained"] is None
    is_of_trace = fault == "position_off_by_one"
    edited = tmp_path / ("edited.safetensors" if is_of_trace else "edited.gguf")
    subprocess.run([sys.executable, HERE / "plant_fault.py", fault, reference if is_of_trace else model, edited], check=True)
    files = (model, edited) if is_of_trace else (edited, reference)
    report, errors = parity(files[0], *mode, "--trace", files[1], "--explained", status=1)
    assert report["first_unexplained"] == place
    assert f"layer {place[6]}, {place[8:]}" in errors


def test_gates(tmp_path):
    model, reference = traced(tmp_path, random_model(GATED_MODEL, 3))
    gates = {"--max-relative": ("10", "1e-9"), "--max-logits-relative": ("1", "1e-9"), "--max-kl": ("1", "1e-9"),
             "--max-perplexity-rise": ("100", "-0.9"), "--min-top1": ("0", "1.1")}  # one that opens, one that shuts
    parity(model, "--trace", reference, *[x for gate, (wide, _) in gates.items() for x in (gate, wide)])
    for gate, (_, narrow) in gates.items():
        _, errors = parity(model, "--trace", reference, gate, narrow, status=1)
        assert f"option {gate}" in errors


def test_each_part_is_rounded_on_its_own(tmp_path):
    model, reference = traced(tmp_path, random_model(GATED_MODEL, 4))
    report, _ = parity(model, "--trace", reference, "--each")
    rows = {row["what"]: row["logits_relative"] for row in report["contributions"]}
    assert rows["nothing (float32)"] < 2e-5 and rows["attention grouped"] < 2e-5
    assert 1e-4 < rows["weights int8"] < rows["weights int4"]
    assert 1e-4 < rows["cache int8"] < 0.1 and 1e-4 < rows["activations int8"] < 0.1


def test_a_saved_trace_is_the_run(tmp_path):
    """What the command writes, the safetensors package reads; and the run is at no distance from itself."""
    from safetensors.numpy import load_file
    model, reference = traced(tmp_path, random_model(GATED_MODEL, 5))
    parity(model, *INT8, "--trace", reference, "--save-trace", tmp_path / "run.safetensors")
    saved, expected = load_file(tmp_path / "run.safetensors"), load_file(reference)
    assert {k: v.shape for k, v in saved.items()} == {k: v.shape for k, v in expected.items()}
    report, _ = parity(model, *INT8, "--trace", tmp_path / "run.safetensors")
    assert max(t["max_relative"] for t in report["tensors"]) < 1e-7  # float32 in the file
    ids = ",".join(str(i) for i in expected["tokens"])
    parity(model, *FLOAT, "--ids", ids, "--max-relative", "2e-5", "--save-reference", tmp_path / "reference.safetensors")
    parity(model, *FLOAT, "--trace", tmp_path / "reference.safetensors", "--max-relative", "2e-5")
