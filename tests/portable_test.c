/* The golden hashes, in C99 over pith.h alone, so that it runs wherever the library was built for: on every tier of the CPU, with
 * one thread and as many as there are, token by token and as a prompt. portable_test MODEL, which is tests/golden/tiny.q4.gguf. */
#include <pith/pith.h>
#include <stdio.h>
#include <stdlib.h>

#include "golden_hashes.h"

enum { N_TOKENS = 124, N_STEPS = 100, PROMPT = 120, ROUNDS = 20 };

static void fail(const char* what, const pith_error* error) {
  printf("portable: %s: %s\n", what, error->message);
  exit(1);
}

static void* aligned(size_t bytes, void** block) {
  *block = malloc(bytes + PITH_ALIGNMENT);
  if (*block == NULL) exit(1);
  return (char*)*block + pith_alignment_shift(*block);
}

static void* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  void *data, *block;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    printf("portable: cannot open %s\n", path);
    exit(1);
  }
  *size = (size_t)ftell(file);
  rewind(file);
  data = aligned(*size, &block);
  if (fread(data, 1, *size, file) != *size) exit(1);
  fclose(file);
  return data;
}

static unsigned long long add(unsigned long long hash, const pith_session* session, size_t vocab_size) {
  const unsigned char* byte = (const unsigned char*)pith_session_logits(session);
  size_t i;
  for (i = 0; i < vocab_size * sizeof(float); ++i) hash = (hash ^ byte[i]) * 0x100000001b3ull;
  return hash;
}

int main(int argc, char** argv) {
  pith_error error = {{0}};
  pith_model* model = NULL;
  pith_model_info info = {.struct_size = sizeof info};
  pith_tensor tensor = {.struct_size = sizeof tensor};
  int32_t tokens[N_TOKENS];
  size_t size = 0, bytes = 0, tier = 0, n_runs = 0;
  const char* name;
  void *block, *data;
  int usable = 0, i, round;
  if (argc < 2) return 2;
  data = read_file(argv[1], &size);
  if (pith_model_bytes(data, size, &bytes, &error) != PITH_OK) fail("model bytes", &error);
  if (pith_model_init(data, size, aligned(bytes, &block), bytes, &model, &error) != PITH_OK) fail("model", &error);
  if (pith_model_get_info(model, &info, &error) != PITH_OK) fail("info", &error);
  if (pith_model_get_tensor(model, 0, &tensor, &error) != PITH_OK || tensor.name_bytes == 0) fail("tensor", &error);
  /* The control: a file that is cut is refused, with a sentence. */
  if (pith_model_init(data, size / 2, block, bytes, &model, &error) == PITH_OK || error.message[0] == '\0') return 1;
  if (pith_model_init(data, size, aligned(bytes, &block), bytes, &model, &error) != PITH_OK) fail("model", &error);
  for (i = 0; i < N_TOKENS; ++i) tokens[i] = PITH_GOLDEN_TOKEN(i, (int)info.vocab_size);
  for (tier = 0; (name = pith_tier_name(tier, &usable)) != NULL; ++tier) {
    if (!usable) {
      printf("portable: %s: not on this CPU\n", name);
      continue;
    }
    for (round = 0; round < ROUNDS; ++round) { /* threads are made once, meet and sleep many times */
      pith_session_options options = {.struct_size = sizeof options};
      pith_session* session = NULL;
      const unsigned long long start = 0xcbf29ce484222325ull;
      unsigned long long hash = start, prompt_hash;
      uint32_t n_threads;
      options.tier = name;
      options.capacity = 80;
      options.n_keep = 3;
      options.chunk = 50;
      options.max_threads = round % 2 == 0 ? 1 : 4;
      if (pith_session_bytes(model, &options, &bytes, &error) != PITH_OK) fail("session bytes", &error);
      if (pith_session_init(model, &options, aligned(bytes, &block), bytes, &session, &error) != PITH_OK)
        fail("session", &error);
      n_threads = pith_session_threads(session);
      for (i = 0; i < N_STEPS; ++i) {
        if (pith_session_eval(session, &tokens[i], 1, &error) != PITH_OK) fail("step", &error);
        hash = add(hash, session, info.vocab_size);
      }
      if (pith_session_reset(session, &error) != PITH_OK) fail("reset", &error);
      if (pith_session_eval(session, tokens, PROMPT, &error) != PITH_OK) fail("prompt", &error);
      prompt_hash = add(start, session, info.vocab_size);
      for (i = PROMPT; i < N_TOKENS; ++i) {
        if (pith_session_eval(session, &tokens[i], 1, &error) != PITH_OK) fail("step", &error);
        prompt_hash = add(prompt_hash, session, info.vocab_size);
      }
      free(block);
      if (hash != PITH_TINY_HASH || prompt_hash != PITH_TINY_PROMPT_HASH) {
        printf("portable: %s, %u threads: other bits\n", name, (unsigned)n_threads);
        return 1;
      }
      if (round < 2)
        printf("portable: %s, %u of %u threads: the golden bits\n", name, (unsigned)n_threads,
               (unsigned)options.max_threads);
      ++n_runs;
    }
  }
  printf("portable: %u sessions; 1 passed\n", (unsigned)n_runs);
  return n_runs > 0 ? 0 : 1;
}
