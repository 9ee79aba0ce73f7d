"""Checkpoints: a model's configuration and weights, the optimisers' state, and counters.

A checkpoint may come from a stranger: it is read as tensors, numbers, texts and containers of them, and nothing else, so that no
code of it runs. `step`, `tokens` and `seconds` count what it was trained for; `tokenizer`, where it is there, is the SHA-256 of
the tokenizer's file.
"""

import io
import json
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from model import Config, Model
from shapes import shape_m
from trouble import Trouble, beside

COUNTERS = {"step": int, "tokens": int, "seconds": (int, float)}


def previous(path):
    """Where the checkpoint that `path` had before is kept."""
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def check_finite(tensors, what):
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise Trouble(f"{what}: tensor {name} holds NaN or infinity")


def first_damage(path):
    """What is wrong with the archive, or None: its check sums, which torch.load passes over."""
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
                return damaged and f"{damaged} has another check sum"
        except Exception as error:  # damaged archives make the package raise a dozen kinds
            return str(error) or type(error).__name__


def write(path, state):
    """Writes a state that has a Config; a sound checkpoint that stands there is kept as previous(path). Weights that are not
    finite are refused, and `path` stays."""
    check_finite(state["model"], path)
    content = io.BytesIO()  # first: what a full disk does to torch.save depends on its version
    torch.save({**state, "config": asdict(state["config"])}, content)
    keep = previous(path) if Path(path).exists() and first_damage(path) is None else None
    with beside(path, keep) as temporary, open(temporary, "wb") as file:
        file.write(content.getbuffer())


def load(path, device):
    """What torch.load makes of the file."""
    damage = first_damage(path)
    if damage:
        raise Trouble(f"{path}: damaged, or no checkpoint: {damage}")
    try:
        with torch.serialization.safe_globals([Config]):  # as which older trainers wrote the configuration
            return torch.load(path, map_location=device, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of many kinds, likewise
        raise Trouble(f"{path}: not read: it holds more than tensors, numbers and texts, or is damaged "
                      f"({type(error).__name__})") from error


def read(path, device="cpu"):
    """The state that write() got."""
    state = load(path, device)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict) or "config" not in state:
        raise Trouble(f"{path}: no checkpoint of this trainer: it lacks \"model\" or \"config\"")
    for name, kind in COUNTERS.items():
        if not isinstance(state.get(name), kind):
            raise Trouble(f"{path}: \"{name}\" is missing or no number")
    for name, tensor in state["model"].items():
        if not isinstance(tensor, torch.Tensor):
            raise Trouble(f"{path}: {name} is no tensor")
    check_finite(state["model"], path)
    config = state["config"]
    try:
        state["config"] = Config(**(config if isinstance(config, dict) else asdict(config)))
    except (TypeError, AttributeError, AssertionError) as error:
        raise Trouble(f"{path}: its configuration is none of this version: {error}") from error
    return state


def read_latest(path, device="cpu"):
    """read(path), or with a word on standard error the one before it where `path` is missing or damaged."""
    try:
        return read(path, device)
    except (Trouble, OSError) as first:
        reason = first if isinstance(first, Trouble) else f"{path}: {first.strerror}"
        if not previous(path).exists():
            raise Trouble(reason) from first
        try:
            state = read(previous(path), device)
        except Trouble as second:
            raise Trouble(f"{reason}; and {second}") from second
        print(f"{reason}; going on from {previous(path)}, step {state['step']:,}", file=sys.stderr)
        return state


def write_weights(path, state):
    """The weights alone, in bf16, with the configuration and the counters: a quarter or less of a checkpoint."""
    weights = {name: tensor.to("cpu", torch.bfloat16).contiguous() for name, tensor in state["model"].items()}
    about = {"config": json.dumps(asdict(state["config"]))} | {name: str(state[name]) for name in COUNTERS}
    with beside(path) as temporary:
        save_file(weights, temporary, about)


def read_weights(path):
    """A state, without optimisers, of what write_weights() wrote. A file that says no shape is of the built-in model."""
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}
        fields = {name: tuple(value) if isinstance(value, list) else value  # which JSON has for both
                  for name, value in json.loads(about.get("config", "{}")).items()}
        config = Config(**fields) if fields else shape_m()
        counters = {"tokens": int(about.get("tokens", 0)), "step": int(about.get("step", 0)), "seconds": float(about.get("seconds", 0))}
    except SafetensorError as error:
        raise Trouble(f"{path}: no whole safetensors file: {error}") from error
    except (TypeError, ValueError, AssertionError) as error:
        raise Trouble(f"{path}: its metadata is none of this version: {error}") from error
    check_finite(weights, path)
    return {"config": config, "model": weights} | counters


def put_weights(model, tensors, path):
    """Gives the model the tensors of the file `path`: all of them, and no others."""
    own = model.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        raise Trouble(f"{path}: tensor {name} is {'missing' if name in own else 'not one of this model'}")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise Trouble(f"{path}: tensor {name} is {list(tensor.shape)}, in this model {list(own[name].shape)}")
    model.load_state_dict(tensors)


def read_model(path):
    """(model, state)"""
    state = read(path)
    try:
        model = Model(state["config"])
    except (TypeError, RuntimeError, ValueError, ZeroDivisionError) as error:
        raise Trouble(f"{path}: its configuration makes no model: {error}") from error
    put_weights(model, state["model"], path)
    return model, state
