"""declarations.py HEADER OUTPUT.c: writes the C source of the module pith._pith, by cffi, from pith.h itself.

cffi knows C's declarations and no preprocessor: comments and directives go, the macros that mark a function go, and a
`#define` of a number becomes a constant whose value the C compiler says. Nothing of the header is written down twice.
"""

import re
import sys

from cffi import FFI

# What is called from C: pith_progress. python/pith/_session.py defines it.
CALLBACKS = 'extern "Python" void pith_python_progress(void* context, uint64_t done, uint64_t total);'


def constant(name, value):
    """The declaration of `#define name value`. cffi needs the number where it is the length of an array."""
    if re.fullmatch(r"\d+", value):
        return f"#define {name} {value}"
    if re.fullmatch(r"\(-?[\d.]+f\)", value):
        return f"static const float {name};"
    return f"#define {name} ..."


def declarations(header):
    text = re.sub(r"/\*.*?\*/", " ", header, flags=re.S)
    text = re.sub(r"^#ifdef __cplusplus\n.*?^#endif$", "", text, flags=re.S | re.M)
    # What addresses of 32 bits alone have.
    text = re.sub(r"^#if UINTPTR_MAX == UINT32_MAX\n(.*?)^#endif$", "" if sys.maxsize > 2**32 else r"\1", text, flags=re.S | re.M)
    constants = [constant(name, value.strip()) for name, value in re.findall(r"^#define (PITH_\w+)[ \t]+(\S.*)$", text, re.M)
                 if not value.startswith(("_", "["))]
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    text = re.sub(r"\bPITH_(API|NODISCARD|CONST)\b", "", text)
    return "\n".join(constants) + text + CALLBACKS


def main():
    header, output = sys.argv[1:]
    with open(header, encoding="utf-8") as file:
        text = declarations(file.read())
    ffi = FFI()
    ffi.cdef(text)
    ffi.set_source("pith._pith", '#include "pith/pith.h"', py_limited_api=True)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main()
