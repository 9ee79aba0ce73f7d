"""The release build as material: how it compiles a source, and pith_tests linked again with other objects in front."""

import json
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class ReleaseBuild:
    def __init__(self, folder=ROOT / "build" / "release"):
        self.folder = folder
        subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", folder, "pith_tests"], check=True, stdout=subprocess.DEVNULL)
        self.commands = {}  # of libpith's sources; those of the traced library are others
        for entry in json.loads((folder / "compile_commands.json").read_text()):
            if "pith_objects.dir" in entry["command"]:
                self.commands[Path(entry["file"]).relative_to(ROOT)] = shlex.split(entry["command"])
        listed = subprocess.run(["ninja", "-t", "commands", "pith_tests"], cwd=folder, check=True, capture_output=True, text=True)
        words = shlex.split(listed.stdout.splitlines()[-1])
        self.link_words = [word for word in words[words.index("&&") + 1:] if word not in (":", "&&")]

    def compile_command(self, source, text_file, output, options, compiler=None):
        """The command that compiles `text_file` as if it were `source`; `options` come last and so win."""
        words = list(self.commands[source])
        words[words.index("-o") + 1] = str(output)
        words[words.index("-c") + 1] = str(text_file)
        return [compiler or words[0], *words[1:], "-Wno-error", "-w", *options]

    def link_command(self, objects, test_files, output, options=(), compiler=None):
        """pith_tests with `objects` instead of the library's own, and of the tests only `test_files` (None: all)."""
        words = []
        for word in self.link_words[1:]:
            name = Path(word).name.removesuffix(".cpp.o")
            if test_files is None or not name.endswith("_test") or name in test_files:
                words.append(word)
        words[words.index("-o") + 1] = str(output)
        first = next(i for i, word in enumerate(words) if word.endswith(".o"))  # the library gives what is missing then
        return [compiler or self.link_words[0], *words[:first], *map(str, objects), *words[first:], *options]
