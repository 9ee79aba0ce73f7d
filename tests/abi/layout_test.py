#!/usr/bin/env python3
"""layout_test.py FROZEN.h PRESENT.h [CC]: a program compiled with the frozen header finds everything where it was.

Of every struct of the frozen header the offset and size of each field, of every enum the values, of every function the type, and the
numbers behind the macros must be those of the present header. Structs may grow at their end; functions and values may be added.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def structs(text):
    """Names of structs, and of their fields."""
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", text, re.S):
        fields = [re.search(r"\(\*(\w+)\)", f) or re.search(r"(\w+)\s*(?:\[[^;]*)?$", f.strip()) for f in body.split(";") if f.strip()]
        yield name, [f.group(1) for f in fields]


def constants(text):
    """Names of enum values, and of macros that are numbers."""
    for body in re.findall(r"typedef enum \w+ \{(.*?)\}", text, re.S):
        yield from re.findall(r"(PITH_\w+)\s*=", body)
    for name, value in re.findall(r"^#define (PITH_\w+) +(\S.*)$", text, re.M):
        if not re.match(r"PITH_(API|NODISCARD|CONST|VERSION_)", name):
            yield name


def declarations(text):
    """Functions and types of callbacks, as they are written."""
    yield from re.findall(r"^(?:PITH_NODISCARD )?PITH_API [^;]*;", text, re.M)
    yield from re.findall(r"^typedef void \(\*[^;]*;", text, re.M)


def table_program(frozen):
    lines = ["#include <stddef.h>", "#include <stdio.h>", "#include PITH_HEADER", "int main(void) {"]
    for name, fields in structs(frozen):
        lines.append(f'printf("size {name} %zu\\n", sizeof({name}));')
        for field in fields:
            lines.append(f'printf("field {name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name}*)0)->{field}));')
    for name in constants(frozen):
        lines.append(f'printf("value {name} %lld %.9g\\n", (long long)({name}), (double)({name}));')
    return "\n".join(lines + ["return 0; }"])


def compile_and_run(cc, program, header, work):
    """The table as a dictionary, or None where a name is gone."""
    (work / "table.c").write_text(program)
    built = subprocess.run([cc, "-std=c11", f'-DPITH_HEADER="{header}"', work / "table.c", "-o", work / "table"],
                           capture_output=True, text=True)
    if built.returncode != 0:
        return None
    rows = subprocess.run([work / "table"], check=True, capture_output=True, text=True).stdout.splitlines()
    return {" ".join(row.split()[:2]): row.split()[2:] for row in rows}


def differences(cc, frozen_path, present_path, work):
    """Sentences about what a program of the frozen header would miss."""
    frozen = without_comments(frozen_path.read_text())
    program = table_program(frozen)
    then, now = (compile_and_run(cc, program, path, work) for path in (frozen_path, present_path))
    assert then is not None and len(then) > 100, "the frozen header was not understood"
    if now is None:
        return ["a struct, a field or a constant is gone"]
    found = [f"{key}: {' '.join(value)}, now {' '.join(now[key])}" for key, value in then.items()
             if now[key] != value and not (key.startswith("size ") and int(now[key][0]) >= int(value[0]))]
    listed = list(declarations(frozen))
    assert len(listed) > 40, "the frozen header's functions were not found"
    (work / "types.c").write_text(f'#include "{present_path}"\n' + "\n".join(listed))
    types = subprocess.run([cc, "-std=c11", "-fsyntax-only", work / "types.c"], capture_output=True, text=True)
    found += [line for line in types.stderr.splitlines() if "error" in line]
    declared = "\n".join(declarations(without_comments(present_path.read_text())))
    functions = [name for text in listed for name in re.findall(r"PITH_API [^(]*?(pith_\w+)\(", text)]
    return found + [f"{name} is gone" for name in functions if not re.search(rf"\b{name}\(", declared)]


def self_test(cc, frozen_path, work):
    """Planted changes: those that break programs are seen, and those that do not pass."""
    text = frozen_path.read_text()

    def planted(old, new):
        assert old in text, old
        path = work / "planted.h"
        path.write_text(text.replace(old, new, 1))
        return differences(cc, frozen_path, path, work)

    breaking = [("  uint32_t n_layers;", "  uint32_t surprise;\n  uint32_t n_layers;"),
                ("  uint64_t n_parameters;", "  uint32_t n_parameters;"),
                ("  uint64_t pool_bytes;", "  uint64_t pool_size;"),
                ("PITH_E_BUSY = 15", "PITH_E_BUSY = 18"),
                ("#define PITH_STREAM_MAX_STOPS 8", "#define PITH_STREAM_MAX_STOPS 9"),
                ("#define PITH_GREEDY (-1.0f)", "#define PITH_GREEDY (-1.5f)"),
                ("pith_session_position(const pith_session* session);", "pith_session_position(pith_session* session);"),
                ("pith_session_set_threads(pith_session* session, uint32_t n_threads",
                 "pith_session_set_threads(pith_session* session, uint64_t n_threads"),
                ("PITH_API void pith_session_cancel(", "PITH_API void pith_session_stop("),
                ("typedef void (*pith_progress)(void* progress_context, uint64_t done",
                 "typedef void (*pith_progress)(void* progress_context, uint32_t done")]
    for old, new in breaking:
        assert planted(old, new), f"not seen: {new}"
    harmless = [("  uint64_t step_weight_bytes;", "  uint64_t step_weight_bytes;\n  uint64_t surprise;"),
                ("PITH_OK = 0,", "PITH_OK = 0,\n  PITH_E_SURPRISE = 99,"),
                ("PITH_API const char* pith_version(void);", "PITH_API const char* pith_version(void);\nPITH_API void pith_new(void);")]
    for old, new in harmless:
        assert not planted(old, new), f"refused: {new}"
    return len(breaking) + len(harmless)


def main():
    frozen, present, cc = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), (sys.argv + ["cc"])[3]
    with tempfile.TemporaryDirectory() as folder:
        n_planted = self_test(cc, frozen, Path(folder))
        found = differences(cc, frozen, present, Path(folder))
    print("\n".join(found) or f"{present.name} keeps what {frozen.name} promised; {n_planted} planted changes were told apart; 1 passed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
