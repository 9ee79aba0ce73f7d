"""What a machine has, and what a stage needs of it."""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from trouble import Trouble

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = ("nvcc", "cmake", "ninja", "c++")
PACKAGES = ("torch", "gguf", "safetensors", "tokenizers")
NO_GPU = "there is no NVIDIA GPU: nvidia-smi names none"


class Machine:
    """Every question is asked once. `carry`: the folder of tools/gpu/gather; `out`: where stages write."""

    def __init__(self, carry, out):
        self.carry, self.out, self.answers = carry, out, {}
        self.environment = os.environ | {"PITH_PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
        self.take_wheels(sorted(carry.glob("packages/*.whl")))
        self.unpack_packages(sorted(carry.glob("packages/*.deb")))

    def put_first(self, name, paths):
        """Of a variable that lists paths."""
        self.environment[name] = os.pathsep.join([*map(str, paths), *filter(None, [os.environ.get(name)])])

    def take_wheels(self, wheels):
        """Those of Python alone run as they are; what the machine has itself goes first."""
        wheels = [path for path in wheels if importlib.util.find_spec(path.name.split("-")[0]) is None]
        if wheels:
            sys.path.extend(map(str, wheels))
            self.put_first("PYTHONPATH", wheels)

    def unpack_packages(self, packages):
        """Debian packages, beside the system, where CMake finds them."""
        root = REPOSITORY / "build" / "gpu_root"
        if not packages or not shutil.which("dpkg"):
            return
        for path in packages:
            subprocess.run(["dpkg", "-x", path, root], check=True)
        self.put_first("CMAKE_PREFIX_PATH", [root / "usr"])
        self.put_first("CPATH", [root / "usr" / "include" / f"{platform.machine()}-linux-gnu"])  # which OpenSSL's headers need

    def said(self, *command):
        """The first line that a command prints, or None where it fails."""
        if command not in self.answers:
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=self.environment)
                self.answers[command] = (done.stdout.splitlines() or [""])[0] if done.returncode == 0 else None
            except (OSError, subprocess.TimeoutExpired):
                self.answers[command] = None
        return self.answers[command]

    def gpu(self):
        return self.said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")

    def cuda(self):
        """PyTorch's version and its GPU."""
        return self.gpu() and self.said(sys.executable, "-c", "import torch; print(torch.__version__, torch.cuda.get_device_name())")

    def lacks(self, need):
        """A sentence about what is missing, or None."""
        kind, _, what = need.partition(":")
        if kind == "gpu":
            return None if self.gpu() else NO_GPU
        if kind == "cuda":
            return None if self.cuda() else f"the torch of {sys.executable} sees no GPU" if self.gpu() else NO_GPU
        if kind in PROGRAMS:
            return None if shutil.which(kind) else f"{kind} is missing"
        if kind in PACKAGES:
            return None if importlib.util.find_spec(kind) else f"{sys.executable} lacks the package {kind}"
        if kind == "carried":
            missing = [name for name in what.split() if not (self.carry / name).is_file()]
            return f"{self.carry} lacks {', '.join(missing)}: tools/gpu/gather makes it" if missing else None
        if kind == "disk":
            free = shutil.disk_usage(self.out).free / 2**30
            return None if free >= float(what) else f"{free:.1f} GiB are free on the disk of {self.out}, {what} are needed"
        raise Trouble(f"need {need!r} of a stage is none that tools/gpu/machine.py knows")

    def facts(self):
        return {"gpu": self.gpu() or "none", "torch": self.cuda() or "without a GPU", "nvcc": shutil.which("nvcc") or "none",
                "python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count(),
                "free_gib": round(shutil.disk_usage(self.out).free / 2**30, 1)}
