/* Loaded before a program (LD_PRELOAD), lets its allocations fail: the PITH_FAIL-th, and with PITH_FAIL_ON all after it.
 * At the end, the number of allocations goes into the file PITH_COUNT. glibc's names for its own functions. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

extern void* __libc_malloc(size_t bytes);
extern void* __libc_calloc(size_t n, size_t bytes);
extern void* __libc_realloc(void* old, size_t bytes);
extern void* __libc_memalign(size_t alignment, size_t bytes);

static long n_allocations;

static int fails(void) {
  static long at = -1, goes_on;
  if (at < 0) {
    const char* text = getenv("PITH_FAIL");
    at = text == NULL ? 0 : atol(text);
    goes_on = getenv("PITH_FAIL_ON") != NULL;
  }
  const long n = __atomic_add_fetch(&n_allocations, 1, __ATOMIC_RELAXED);
  if (at == 0 || (goes_on ? n < at : n != at)) return 0;
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t bytes) { return fails() ? NULL : __libc_malloc(bytes); }
void* calloc(size_t n, size_t bytes) { return fails() ? NULL : __libc_calloc(n, bytes); }
void* realloc(void* old, size_t bytes) { return fails() ? NULL : __libc_realloc(old, bytes); }
void* memalign(size_t alignment, size_t bytes) { return fails() ? NULL : __libc_memalign(alignment, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** out, size_t alignment, size_t bytes) {
  void* memory = memalign(alignment, bytes);
  if (memory != NULL) *out = memory;
  return memory == NULL ? ENOMEM : 0;
}

__attribute__((destructor)) static void write_count(void) {
  const char* path = getenv("PITH_COUNT");
  FILE* file = path == NULL ? NULL : fopen(path, "w");
  if (file == NULL) return;
  fprintf(file, "%ld\n", n_allocations);
  fclose(file);
}
