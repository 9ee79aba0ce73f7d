#include "builtin_model.h"

// PITH_BUILTIN_MODEL is the path of the packed file; the assembler copies it into read-only data.
__asm__(
    ".pushsection .rodata\n"
    ".balign 64\n"
    ".global pith_builtin_model_begin\n"
    "pith_builtin_model_begin:\n"
    ".incbin \"" PITH_BUILTIN_MODEL
    "\"\n"
    ".global pith_builtin_model_end\n"
    "pith_builtin_model_end:\n"
    ".byte 0\n"
    ".popsection\n");

extern "C" const unsigned char pith_builtin_model_begin[], pith_builtin_model_end[];

namespace pith::cli {

const void* builtin_model() { return pith_builtin_model_begin; }
size_t builtin_model_bytes() { return size_t(pith_builtin_model_end - pith_builtin_model_begin); }

}  // namespace pith::cli
