"""The configuration keys of a model file, as src/model/config_keys.cpp lists them: config_keys.json is written from it.

A key is a dict: "key" (after "egmla."), "field" (of model.Config), "kind" (integer, real, boolean, word), "words" of a word,
"scope" (the models that have it), "use" (required, optional, alias, packed) and "default".
"""

import json
from pathlib import Path

KEYS = json.loads(Path(__file__).with_name("config_keys.json").read_text("utf-8"))

SCOPES = {
    "always": lambda c: True,
    "mha": lambda c: c.attention == "mha",
    "latent": lambda c: c.attention != "mha",
    "gated": lambda c: c.attention != "mha" and c.gate != "none",
    "scaled": lambda c: c.rope_scaling != "none",
    "experts": lambda c: c.n_experts > 0,
}


def written(c):
    """(key, value) of all that a float model of the configuration `c` says; an optional integer only if it is given."""
    for key in KEYS:
        value = getattr(c, key["field"], None)  # `folded` is no field
        if key["use"] in ("alias", "packed") or not SCOPES[key["scope"]](c):
            continue
        if key["kind"] == "integer" and key["use"] == "optional" and value == key["default"]:
            continue
        yield key, float(value) if key["kind"] == "real" else value
