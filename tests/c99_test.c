/* The C ABI, from C99: opens a packed model, runs a few tokens, draws one, and prints the hash of the logits. */
#include <pith/pith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* aligned(size_t bytes) {
  /* C99 has no aligned_alloc: over-allocate. The program ends before anybody could free. */
  char* block = malloc(bytes + PITH_ALIGNMENT);
  if (block == NULL) exit(1);
  return block + pith_alignment_shift(block);
}

static void require(int good, const char* what, const pith_error* error) {
  if (good) return;
  fprintf(stderr, "%s: %s\n", what, error->message);
  exit(1);
}

static void* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  void* data;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(1);
  *size = (size_t)ftell(file);
  rewind(file);
  data = aligned(*size);
  if (fread(data, 1, *size, file) != *size) exit(1);
  fclose(file);
  return data;
}

int main(int argc, char** argv) {
  pith_error error = {{0}};
  size_t size = 0, bytes = 0;
  const int32_t tokens[4] = {0, 70, 102, 33};
  pith_model* model = NULL;
  pith_session* session = NULL;
  pith_sampler* sampler = NULL;
  pith_sampler_options options;
  pith_metadata metadata = {.struct_size = sizeof metadata};
  int32_t token = -1;
  unsigned long long hash = 0xcbf29ce484222325ull;
  pith_model_info info = {.struct_size = sizeof info};
  void* data;
  if (argc < 2) return 2;
  data = read_file(argv[1], &size);
  require(pith_model_bytes(data, size, &bytes, &error) == PITH_OK, "model bytes", &error);
  require(pith_model_init(data, size, aligned(bytes), bytes, &model, &error) == PITH_OK, "model", &error);
  require(pith_model_get_info(model, &info, &error) == PITH_OK && info.vocab_size > 102, "info", &error);
  require(pith_session_bytes(model, NULL, &bytes, &error) == PITH_OK, "session bytes", &error);
  require(pith_session_init(model, NULL, aligned(bytes), bytes, &session, &error) == PITH_OK, "session", &error);
  require(pith_session_logits(session) == NULL, "logits before a token", &error);
  require(pith_model_find_metadata(model, "general.architecture", &metadata, &error) == PITH_OK, "metadata", &error);
  require(metadata.type == PITH_VALUE_STRING && metadata.string_bytes == 5, "architecture", &error);
  require(pith_version_number() == PITH_VERSION_NUMBER, "version", &error);
  require(pith_session_eval(session, tokens, 4, &error) == PITH_OK, "eval", &error);
  require(pith_session_position(session) == 4, "position", &error);
  pith_sampler_options_init(&options, sizeof options);
  require(pith_sampler_bytes(&options, info.vocab_size, &bytes, &error) == PITH_OK, "sampler bytes", &error);
  require(pith_sampler_init(&options, info.vocab_size, aligned(bytes), bytes, &sampler, &error) == PITH_OK, "sampler",
          &error);
  require(pith_sampler_draw(sampler, pith_session_logits(session), &token, &error) == PITH_OK, "draw", &error);
  require(token >= 0 && (uint32_t)token < info.vocab_size, "token", &error);
  {
    const unsigned char* byte = (const unsigned char*)pith_session_logits(session);
    size_t i;
    for (i = 0; i < info.vocab_size * sizeof(float); ++i) hash = (hash ^ byte[i]) * 0x100000001b3ull;
  }
  printf("pith %s, tier %s, logits %016llx\n", pith_version(), pith_session_tier(session), hash);
  return strcmp(pith_status_string(PITH_OK), "ok") == 0 ? 0 : 1;
}
