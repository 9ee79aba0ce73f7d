// A file in the program: PITH_EMBED_FILE(name, path) defines `const unsigned char name[]` and `const uint64_t name##_bytes`,
// of the linkage of C, in read-only memory. The assembler copies the file, which compilers would read for minutes.
#ifndef PITH_SYSTEM_EMBEDDED_FILE_H
#define PITH_SYSTEM_EMBEDDED_FILE_H

#include <cstdint>

#if defined(__APPLE__)
#define PITH_READ_ONLY_BEGIN ".pushsection __TEXT,__const\n"
#define PITH_READ_ONLY_END ".popsection\n"
#elif defined(_WIN32)
#define PITH_READ_ONLY_BEGIN ".section .rdata,\"dr\"\n"
#define PITH_READ_ONLY_END ".text\n"
#else
#define PITH_READ_ONLY_BEGIN ".pushsection .rodata\n"
#define PITH_READ_ONLY_END ".popsection\n"
#endif

// Names get no prefix, whatever the system's C has. The size is a number of its own: a linker may part two symbols.
#define PITH_EMBED_FILE(name, path)                                                           \
  __asm__(PITH_READ_ONLY_BEGIN ".balign 64\n.globl " #name "\n" #name ":\n1: .incbin \"" path \
                               "\"\n2: .byte 0\n.balign 8\n.globl " #name "_bytes\n" #name    \
                               "_bytes:\n.quad 2b - 1b\n" PITH_READ_ONLY_END);                \
  extern "C" const unsigned char name[] __asm__(#name);                                       \
  extern "C" const uint64_t name##_bytes __asm__(#name "_bytes");

#endif
