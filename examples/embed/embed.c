/* Embeds pith in a C program: embed MODEL PROMPT prints the prompt and 40 greedy tokens after it. */
#include <pith/pith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory for an object of the library; the program is short and frees nothing. */
static void* take(size_t bytes) {
  char* block = malloc(bytes + PITH_ALIGNMENT);
  if (block == NULL) exit(1);
  return block + (PITH_ALIGNMENT - (size_t)block % PITH_ALIGNMENT);
}

static void must(pith_status status, const pith_error* error) {
  if (status == PITH_OK) return;
  fprintf(stderr, "embed: %s (%s)\n", error->message, pith_status_string(status));
  exit(1);
}

static void* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  void* data;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(1);
  *size = (size_t)ftell(file);
  rewind(file);
  data = take(*size);
  if (fread(data, 1, *size, file) != *size) exit(1);
  fclose(file);
  return data;
}

int main(int argc, char** argv) {
  pith_error error = {{0}};
  size_t size = 0, bytes = 0, count = 0, i;
  pith_model* model;
  pith_session* session;
  pith_tokenizer* tokenizer;
  pith_model_info info;
  int32_t tokens[256];
  void *data, *work;
  if (argc != 3) return 2;

  data = read_file(argv[1], &size);
  must(pith_model_bytes(data, size, &bytes, &error), &error);
  must(pith_model_init(data, size, take(bytes), bytes, &model, &error), &error);
  must(pith_session_bytes(model, NULL, &bytes, &error), &error);
  must(pith_session_init(model, NULL, take(bytes), bytes, &session, &error), &error);
  must(pith_tokenizer_bytes(model, &bytes, &error), &error);
  must(pith_tokenizer_init(model, take(bytes), bytes, &tokenizer, &error), &error);
  info.struct_size = sizeof info;
  must(pith_model_get_info(model, &info, &error), &error);

  bytes = pith_tokenizer_work_bytes(strlen(argv[2]));
  work = take(bytes);
  must(pith_tokenizer_encode(tokenizer, argv[2], strlen(argv[2]), 0, tokens, 256, &count, work, bytes, &error), &error);
  must(pith_session_eval(session, tokens, count, &error), &error);
  printf("%s", argv[2]);
  for (i = 0; i < 40; ++i) {
    const float* logits = pith_session_logits(session);
    int32_t best = 0, id;
    const char* text;
    for (id = 1; id < (int32_t)info.vocab_size; ++id) {
      if (logits[id] > logits[best]) best = id;
    }
    if (best == pith_tokenizer_eos(tokenizer)) break;
    must(pith_tokenizer_decode(tokenizer, best, &text, &bytes, &error), &error);
    fwrite(text, 1, bytes, stdout);
    must(pith_session_eval(session, &best, 1, &error), &error);
  }
  printf("\n");
  return 0;
}
