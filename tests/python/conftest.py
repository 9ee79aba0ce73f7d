"""What several test files ask for: the published models that tools/ci/fetch_models has fetched."""

import os
from pathlib import Path

import pytest


TEXTS = Path(__file__).resolve().parents[3] / "shared" / "data"  # long texts; tests of them are skipped where it is not there


def model_folder():
    """Where fetch_models puts them: $PITH_MODELS, or pith/models in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PITH_MODELS") or Path(cache) / "pith" / "models")


@pytest.fixture(scope="session")
def smollm2():
    """The path of SmolLM2-135M-Instruct as published, a GGUF of architecture llama in Q4_1."""
    path = model_folder() / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        pytest.skip(f"no {path}: tools/ci/fetch_models fetches it")
    return path
