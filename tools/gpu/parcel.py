"""What a transfer takes: there 64 MiB of files, home as much in files of 16. And parcels: files of a folder in such parts.

A parcel is a zip archive, cut into parcel.0, parcel.1 and so on. The files that come first in the list are packed first, and
those that no longer fit are left out.
"""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from trouble import Trouble, beside  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
MIB = 1 << 20
LIMIT = 64 * MIB
PART_BYTES, PARCEL_BYTES = 15 * MIB, 63 * MIB  # a little less than is allowed


def working_tree():
    """(files, bytes) of what git does not ignore, or None without git."""
    command = ["git", "-C", REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0:
        return None
    files = {REPOSITORY / os.fsdecode(name) for name in done.stdout.split(b"\0") if name}
    sizes = [path.stat().st_size for path in files if path.is_file()]
    return len(sizes), sum(sizes)


def packed_bytes(path, folder):
    """What a file takes in the archive: its content, and two headers with its name."""
    return path.stat().st_size + 128 + 2 * len(path.relative_to(folder).as_posix().encode())


def chosen(folder, patterns, limit):
    """(files that fit, files that do not), each once, in the order of the patterns."""
    files = dict.fromkeys(path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file())
    taken, left_out, used = [], [], 128  # the archive's end
    for path in files:
        size = packed_bytes(path, folder)
        fits = used + size <= limit
        used += size if fits else 0
        (taken if fits else left_out).append(path)
    return taken, left_out


def pack(folder, patterns, out, part_bytes=PART_BYTES, parcel_bytes=PARCEL_BYTES):
    """Writes the parts into `out`, over those of an earlier parcel; returns the files that were left out."""
    taken, left_out = chosen(folder, patterns, parcel_bytes)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:  # weights cannot be packed, texts need not
        for path in taken:
            archive.write(path, path.relative_to(folder).as_posix())
    view = content.getbuffer()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("parcel.*"):
        old.unlink()
    for n, start in enumerate(range(0, len(view), part_bytes)):
        with beside(out / f"parcel.{n}") as temporary:
            temporary.write_bytes(view[start:start + part_bytes])
    return left_out


def unpack(parcel, folder):
    """Brings what a parcel holds into `folder`, where it is not there already; returns the number of files."""
    parts = sorted(parcel.glob("parcel.*"), key=lambda path: int(path.suffix[1:]))
    if [path.name for path in parts] != [f"parcel.{n}" for n in range(len(parts))] or not parts:
        raise Trouble(f"{parcel}: a part of the parcel is missing; there are {', '.join(p.name for p in parts) or 'none'}")
    try:
        with zipfile.ZipFile(io.BytesIO(b"".join(path.read_bytes() for path in parts))) as archive:
            if damaged := archive.testzip():
                raise Trouble(f"{parcel}: {damaged} in the parcel has another check sum")
            names = [name for name in archive.namelist() if not (folder / name).exists()]
            archive.extractall(folder, names)
    except zipfile.BadZipFile as error:
        raise Trouble(f"{parcel}: the parcel is damaged or not whole: {error}") from error
    return len(names)
