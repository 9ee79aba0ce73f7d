/* Embeds pith in a C program: embed MODEL PROMPT prints the prompt and 40 greedy tokens after it.
 *
 * The model's file is read into memory here; a program that can maps it instead (pith.hpp does, on POSIX and Windows). */
#include <pith/pith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory for an object of the library; the program is short and frees nothing. */
static void* take(size_t bytes) {
  char* block = malloc(bytes + PITH_ALIGNMENT);
  if (block == NULL) exit(1);
  return block + pith_alignment_shift(block);
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
  pith_error error;
  pith_model* model;
  pith_session* session;
  pith_tokenizer* tokenizer;
  pith_sampler* sampler;
  pith_model_info info = {.struct_size = sizeof info};
  pith_sampler_options sampling = {.struct_size = sizeof sampling, .temperature = PITH_GREEDY};
  size_t size = 0, bytes = 0, count = 0, i;
  int32_t tokens[256], token;
  const char* text;
  void *data, *work;
  if (argc != 3) return 2;

  data = read_file(argv[1], &size);
  must(pith_model_bytes(data, size, &bytes, &error), &error);
  must(pith_model_init(data, size, take(bytes), bytes, &model, &error), &error);
  must(pith_model_get_info(model, &info, &error), &error);
  must(pith_session_bytes(model, NULL, &bytes, &error), &error);
  must(pith_session_init(model, NULL, take(bytes), bytes, &session, &error), &error);
  must(pith_tokenizer_bytes(model, &bytes, &error), &error);
  must(pith_tokenizer_init(model, take(bytes), bytes, &tokenizer, &error), &error);
  must(pith_sampler_bytes(&sampling, info.vocab_size, &bytes, &error), &error);
  must(pith_sampler_init(&sampling, info.vocab_size, take(bytes), bytes, &sampler, &error), &error);

  bytes = pith_tokenizer_work_bytes(strlen(argv[2]));
  work = take(bytes);
  must(pith_tokenizer_encode(tokenizer, argv[2], strlen(argv[2]), PITH_ENCODE_DEFAULT, tokens, 256, &count, work, bytes,
                             &error),
       &error);
  must(pith_session_eval(session, tokens, count, &error), &error);
  printf("%s", argv[2]);
  for (i = 0; i < 40; ++i) {
    must(pith_sampler_draw(sampler, pith_session_logits(session), &token, &error), &error);
    if (token == pith_tokenizer_eos(tokenizer)) break;
    must(pith_tokenizer_decode(tokenizer, token, &text, &bytes, &error), &error);
    fwrite(text, 1, bytes, stdout);
    must(pith_session_eval(session, &token, 1, &error), &error);
  }
  printf("\n");
  return 0;
}
