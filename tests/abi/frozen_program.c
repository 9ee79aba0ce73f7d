/* A program of 0.2.0: compiled with the header of that version, it must run on every later library. frozen_program MODEL */
#include "pith_0_2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pith_error error;

static void require(int good, const char* what) {
  if (good) return;
  fprintf(stderr, "frozen_program: %s: %s\n", what, error.message);
  exit(1);
}

static void must(pith_status status, const char* what) { require(status == PITH_OK, what); }

/* Memory for an object of the library; the program is short and frees nothing. */
static void* take(size_t bytes) {
  char* block = malloc(bytes + PITH_ALIGNMENT);
  if (block == NULL) exit(1);
  return block + pith_alignment_shift(block);
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

/* Structs end at a guard: a library that thinks that they are longer would write over it. */
#define GUARDED(type)  \
  struct {             \
    type value;        \
    uint8_t guard[64]; \
  }
#define PREPARE(guarded)                                  \
  do {                                                    \
    memset(&(guarded), 0, sizeof(guarded));               \
    memset((guarded).guard, 0xa5, sizeof(guarded).guard); \
    (guarded).value.struct_size = sizeof(guarded).value;  \
  } while (0)

static void check_guard(const uint8_t* guard, const char* what) {
  size_t i;
  for (i = 0; i < 64; ++i) require(guard[i] == 0xa5, what);
}

static int has_calls;
static uint64_t count_ticks(void* context) {
  (void)context;
  return (uint64_t)++has_calls;
}

int main(int argc, char** argv) {
  GUARDED(pith_model_info) info;
  GUARDED(pith_metadata) metadata;
  GUARDED(pith_tensor) tensor;
  GUARDED(pith_session_plan) plan;
  GUARDED(pith_session_options) options;
  GUARDED(pith_sampler_options) sampling;
  GUARDED(pith_stream) stream;
  pith_model* model = NULL;
  pith_session *session = NULL, *other = NULL;
  pith_tokenizer* tokenizer = NULL;
  pith_sampler* sampler = NULL;
  size_t size = 0, bytes = 0, count = 0, i;
  int32_t tokens[64], drawn[2][8];
  char out[4096];
  const char* text = "The fox had a lantern.";
  const char* stop = "nothing that a fox says";
  void *data, *work, *states[3];
  size_t state_bytes[3];
  if (argc != 2) return 2;
  PREPARE(info);
  PREPARE(metadata);
  PREPARE(tensor);
  PREPARE(plan);
  PREPARE(options);
  PREPARE(sampling);
  PREPARE(stream);
  require(pith_version_number() >= PITH_VERSION_NUMBER, "the library is older than the program");

  data = read_file(argv[1], &size);
  must(pith_model_bytes(data, size, &bytes, &error), "model bytes");
  must(pith_model_init(data, size, take(bytes), bytes, &model, &error), "model");
  must(pith_model_get_info(model, &info.value, &error), "info");
  require(info.value.vocab_size > 0 && info.value.step_weight_bytes > 0, "info's fields");
  must(pith_model_find_metadata(model, "tokenizer.ggml.tokens", &metadata.value, &error), "metadata");
  require(metadata.value.array_count == info.value.vocab_size, "metadata's fields");
  must(pith_model_get_metadata_element(model, metadata.value.index, 1, &metadata.value, &error), "element");
  require(metadata.value.type == PITH_VALUE_STRING && metadata.value.string_bytes > 0, "the element's fields");
  must(pith_model_get_tensor(model, 0, &tensor.value, &error), "tensor");
  require(tensor.value.rows > 0 && tensor.value.data != NULL, "the tensor's fields");

  options.value.capacity = 64;
  options.value.n_keep = 2;
  options.value.clock = count_ticks;
  must(pith_session_get_plan(model, &options.value, &plan.value, &error), "plan");
  must(pith_session_bytes(model, &options.value, &bytes, &error), "session bytes");
  require(plan.value.session_bytes == bytes, "the plan's fields");
  must(pith_session_init(model, &options.value, take(bytes), bytes, &session, &error), "session");
  must(pith_session_init(model, &options.value, take(bytes), bytes, &other, &error), "second session");
  must(pith_tokenizer_bytes(model, &bytes, &error), "tokenizer bytes");
  must(pith_tokenizer_init(model, take(bytes), bytes, &tokenizer, &error), "tokenizer");
  sampling.value.temperature = 0.7f;
  sampling.value.repeat_penalty = 1.2f;
  sampling.value.seed = 5;
  must(pith_sampler_bytes(&sampling.value, info.value.vocab_size, &bytes, &error), "sampler bytes");
  must(pith_sampler_init(&sampling.value, info.value.vocab_size, take(bytes), bytes, &sampler, &error), "sampler");
  must(pith_stream_init(&stream.value, &stop, 1, &error), "stream");

  bytes = pith_tokenizer_work_bytes(strlen(text));
  work = take(bytes);
  must(pith_tokenizer_encode(tokenizer, text, strlen(text), PITH_ENCODE_BOS, tokens, 64, &count, work, bytes, &error),
       "encode");
  must(pith_session_eval(session, tokens, count, &error), "eval");
  require(has_calls > 0, "the clock did not tick");
  for (i = 0; i < count; ++i) must(pith_sampler_accept(sampler, tokens[i], &error), "accept");
  must(pith_sampler_draw(sampler, pith_session_logits(session), &drawn[0][0], &error), "draw");

  /* What is saved, and draws on, draws the same after it was restored. */
  state_bytes[0] = pith_session_state_bytes(session);
  state_bytes[1] = pith_sampler_state_bytes(sampler);
  state_bytes[2] = pith_stream_state_bytes(&stream.value);
  for (i = 0; i < 3; ++i) states[i] = take(state_bytes[i]);
  must(pith_session_save(session, states[0], state_bytes[0], &state_bytes[0], &error), "save session");
  must(pith_sampler_save(sampler, states[1], state_bytes[1], &state_bytes[1], &error), "save sampler");
  must(pith_stream_save(&stream.value, states[2], state_bytes[2], &state_bytes[2], &error), "save stream");
  for (i = 0; i < 2; ++i) {
    pith_session* speaker = i == 0 ? session : other;
    int k;
    must(pith_session_restore(other, states[0], state_bytes[0], &error), "restore session");
    must(pith_sampler_restore(sampler, states[1], state_bytes[1], &error), "restore sampler");
    must(pith_stream_restore(&stream.value, states[2], state_bytes[2], &error), "restore stream");
    for (k = 0; k < 8; ++k) {
      must(pith_sampler_draw(sampler, pith_session_logits(speaker), &drawn[i][k], &error), "draw");
      must(pith_tokenizer_decode(tokenizer, drawn[i][k], &text, &bytes, &error), "decode");
      must(pith_stream_push(&stream.value, text, bytes, out, sizeof out, &bytes, &error), "push");
      must(pith_session_eval(speaker, &drawn[i][k], 1, &error), "eval of a drawn token");
    }
  }
  require(memcmp(drawn[0], drawn[1], sizeof drawn[0]) == 0, "a restored conversation draws other tokens");
  must(pith_stream_finish(&stream.value, out, sizeof out, &bytes, &error), "finish");
  require(pith_session_attention_ns(session) > 0, "attention");
  require(pith_session_eval(session, NULL, 1, &error) == PITH_E_ARGUMENT && error.message[0] != '\0', "a sentence");

  check_guard(info.guard, "written beyond pith_model_info");
  check_guard(metadata.guard, "written beyond pith_metadata");
  check_guard(tensor.guard, "written beyond pith_tensor");
  check_guard(plan.guard, "written beyond pith_session_plan");
  check_guard(options.guard, "written beyond pith_session_options");
  check_guard(sampling.guard, "written beyond pith_sampler_options");
  check_guard(stream.guard, "written beyond pith_stream");
  printf("a program of %d.%d.%d runs on pith %s\n", PITH_VERSION_MAJOR, PITH_VERSION_MINOR, PITH_VERSION_PATCH,
         pith_version());
  return 0;
}
