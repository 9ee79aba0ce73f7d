"""What several test files ask for: the published models that tools/ci/fetch_models has fetched, and the Python package."""

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

from built_package import BuiltPackage

TEXTS = Path(__file__).resolve().parents[3] / "shared" / "data"  # long texts; tests of them are skipped where it is not there


# A shell that begins the tests in the background has Ctrl-C ignored, by them and by the programs that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def handlers():
    """Programs that a test runs in this process leave no handler behind: the next test's Ctrl-C would be theirs."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The Python package, built once; skipped where PITH_PACKAGE is set, which says that the installed one is to be tested."""
    if os.environ.get("PITH_PACKAGE"):
        pytest.skip("PITH_PACKAGE is set: the installed package is tested, and none is built")
    return BuiltPackage(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def package_python(request):
    """The interpreter that has the package."""
    return sys.executable if os.environ.get("PITH_PACKAGE") else request.getfixturevalue("package").python


@pytest.fixture(scope="session")
def pith(request):
    """The package, imported."""
    if not os.environ.get("PITH_PACKAGE"):
        sys.path.insert(0, str(request.getfixturevalue("package").site))
    return importlib.import_module("pith")
