"""Trouble that whoever runs a tool can mend, and files that are written whole or not at all."""

import contextlib
import json
import os
import sys
from pathlib import Path


class Trouble(Exception):
    """Its text is one sentence, which names the file or option at fault."""


def run(main):
    """Runs main() and ends with the exit status that it returns, None: 0; trouble ends the process with its sentence and 1."""
    name = Path(sys.argv[0]).name
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"{name}: {trouble}")
    except OSError as error:
        sys.exit(f"{name}: {error.filename}: {error.strerror}" if error.filename else f"{name}: {error}")


def sync(path):
    """Waits until the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def beside(path, keep=None):
    """A name beside `path` to write to. Without an exception what was written takes the place of `path`, and what stood there
    becomes `keep`, if given; with one everything is as it was."""
    path = Path(path).resolve()
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        sync(temporary)
        if keep and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    with beside(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
