"""The Python package as people get it: an sdist of the sources, a wheel made from that, and an environment with the wheel in it."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def ran(*command, **keywords):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class BuiltPackage:
    """Without network: what builds it is in this environment. Where PITH_LIBRARY names libpith.so, the libpith.a beside it is
    linked in; otherwise the library is compiled, which takes a minute or two."""

    def __init__(self, folder):
        pytest.importorskip("scikit_build_core")
        pytest.importorskip("cffi")
        ran(sys.executable, "-c", "import sys, scikit_build_core.build as b; b.build_sdist(sys.argv[1])", folder, cwd=REPOSITORY)
        self.sdist, = folder.glob("*.tar.gz")
        library = os.environ.get("PITH_LIBRARY")
        settings = [f"--config-settings=cmake.define.PITH_PYTHON_ARCHIVE={Path(library).resolve().with_name('libpith.a')}"] if library else []
        ran(sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-build-isolation", "--no-deps", *settings, "-w", folder,
            self.sdist, cwd=folder)
        self.wheel, = folder.glob("*.whl")
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        ran(sys.executable, "-m", "pip", "--python", self.python, "install", "-q", "--no-index", "--no-deps", self.wheel, cwd=folder)
        self.site = Path(ran(self.python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip())
        # NumPy, cffi, dask are those of this environment.
        (self.site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
