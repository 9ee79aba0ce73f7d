// For tests that are programs of their own, whose processes fork, lose threads or may make no system call: checks that
// end them, and the library's functions by dlopen.
#ifndef PITH_TESTS_PROGRAM_CHECKS_H
#define PITH_TESTS_PROGRAM_CHECKS_H

#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

// _exit: nothing that the process has registered runs in a child of fork.
#define REQUIRE(condition)                                                                         \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      std::fprintf(stderr, "%s: line %d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      ::_exit(1);                                                                                  \
    }                                                                                              \
  } while (false)

namespace pith::test {

// The function of that name in a library from dlopen.
template <typename Function>
void load(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(::dlsym(library, name));
  REQUIRE(*function != nullptr);
}

}  // namespace pith::test

#endif
