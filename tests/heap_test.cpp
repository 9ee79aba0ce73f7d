// No heap call after init: heap_test MODEL THREADS LIBPITH.so [STEPS]. Interposes the allocator of the whole process, runs 10,000
// steps that wrap the ring, with sampling, tokenizing, writing of chats and streaming, and now and then with all that saves, forks and
// takes back; then as many through the library opened by dlopen. Tokenizers and chats are made without the heap as well.
#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "pith/pith.h"
#include "program_checks.h"

extern "C" void* __libc_malloc(size_t);
extern "C" void __libc_free(void*);
extern "C" void* __libc_realloc(void*, size_t);
extern "C" void* __libc_calloc(size_t, size_t);
extern "C" void* __libc_memalign(size_t, size_t);

using pith::test::load;

namespace {
std::atomic<long> heap_calls{0};
}

extern "C" {
void* malloc(size_t n) {
  ++heap_calls;
  return __libc_malloc(n);
}
void free(void* p) {
  ++heap_calls;
  __libc_free(p);
}
void* realloc(void* p, size_t n) {
  ++heap_calls;
  return __libc_realloc(p, n);
}
void* calloc(size_t n, size_t size) {
  ++heap_calls;
  return __libc_calloc(n, size);
}
void* memalign(size_t alignment, size_t n) {
  ++heap_calls;
  return __libc_memalign(alignment, n);
}
void* aligned_alloc(size_t alignment, size_t n) {
  ++heap_calls;
  return __libc_memalign(alignment, n);
}
int posix_memalign(void** out, size_t alignment, size_t n) {
  ++heap_calls;
  *out = __libc_memalign(alignment, n);
  return *out == nullptr ? ENOMEM : 0;
}
}

namespace {

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "heap_test: %s\n", what);
  std::exit(1);
}

void* aligned(size_t n) {
  return aligned_alloc(PITH_ALIGNMENT, (n + PITH_ALIGNMENT - 1) / PITH_ALIGNMENT * PITH_ALIGNMENT);
}

void* read_file(const char* path, size_t* size) {
  FILE* file = std::fopen(path, "rb");
  require(file != nullptr && std::fseek(file, 0, SEEK_END) == 0, "cannot open the model");
  *size = size_t(std::ftell(file));
  std::rewind(file);
  void* data = aligned(*size);
  require(std::fread(data, 1, *size, file) == *size, "cannot read the model");
  std::fclose(file);
  return data;
}

// The functions under test: linked, or from dlopen.
struct Api {
  decltype(&pith_model_bytes) model_bytes = pith_model_bytes;
  decltype(&pith_model_init) model_init = pith_model_init;
  decltype(&pith_session_bytes) session_bytes = pith_session_bytes;
  decltype(&pith_session_init) session_init = pith_session_init;
  decltype(&pith_session_eval) eval = pith_session_eval;
  decltype(&pith_session_logits) logits = pith_session_logits;
  decltype(&pith_session_cancel) cancel = pith_session_cancel;
  decltype(&pith_session_rewind) rewind = pith_session_rewind;
  decltype(&pith_session_copy) copy = pith_session_copy;
  decltype(&pith_session_save) save = pith_session_save;
  decltype(&pith_session_restore) restore = pith_session_restore;
  decltype(&pith_sampler_bytes) sampler_bytes = pith_sampler_bytes;
  decltype(&pith_sampler_init) sampler_init = pith_sampler_init;
  decltype(&pith_sampler_draw) draw = pith_sampler_draw;
  decltype(&pith_logprobs) logprobs = pith_logprobs;
  decltype(&pith_sampler_save) save_sampler = pith_sampler_save;
  decltype(&pith_sampler_restore) restore_sampler = pith_sampler_restore;
  decltype(&pith_tokenizer_bytes) tokenizer_bytes = pith_tokenizer_bytes;
  decltype(&pith_tokenizer_init) tokenizer_init = pith_tokenizer_init;
  decltype(&pith_tokenizer_encode) encode = pith_tokenizer_encode;
  decltype(&pith_tokenizer_decode) decode = pith_tokenizer_decode;
  decltype(&pith_tokenizer_token_text) token_text = pith_tokenizer_token_text;
  decltype(&pith_tokenizer_token_id) token_id = pith_tokenizer_token_id;
  decltype(&pith_tokenizer_is_end) is_end = pith_tokenizer_is_end;
  decltype(&pith_tokenizer_is_special) is_special = pith_tokenizer_is_special;
  decltype(&pith_chat_bytes) chat_bytes = pith_chat_bytes;
  decltype(&pith_chat_init) chat_init = pith_chat_init;
  decltype(&pith_chat_template) chat_template = pith_chat_template;
  decltype(&pith_chat_is_end) ends_answer = pith_chat_is_end;
  decltype(&pith_chat_stop) stop = pith_chat_stop;
  decltype(&pith_chat_work_bytes) chat_work_bytes = pith_chat_work_bytes;
  decltype(&pith_chat_encode) encode_chat = pith_chat_encode;
  decltype(&pith_grammar_bytes) grammar_bytes = pith_grammar_bytes;
  decltype(&pith_grammar_init) grammar_init = pith_grammar_init;
  decltype(&pith_token_trie_bytes) trie_bytes = pith_token_trie_bytes;
  decltype(&pith_token_trie_init) trie_init = pith_token_trie_init;
  decltype(&pith_matcher_bytes) matcher_bytes = pith_matcher_bytes;
  decltype(&pith_matcher_init) matcher_init = pith_matcher_init;
  decltype(&pith_matcher_mask) mask = pith_matcher_mask;
  decltype(&pith_matcher_accept) accept_form = pith_matcher_accept;
  decltype(&pith_matcher_reset) reset_form = pith_matcher_reset;
  decltype(&pith_matcher_copy) copy_form = pith_matcher_copy;
  decltype(&pith_matcher_is_done) form_is_done = pith_matcher_is_done;
  decltype(&pith_stream_push) push = pith_stream_push;
  decltype(&pith_stream_save) save_stream = pith_stream_save;
  decltype(&pith_stream_restore) restore_stream = pith_stream_restore;
};

Api load_api(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  require(library != nullptr, "dlopen failed");
  Api api;
  load(library, "pith_model_bytes", &api.model_bytes);
  load(library, "pith_model_init", &api.model_init);
  load(library, "pith_session_bytes", &api.session_bytes);
  load(library, "pith_session_init", &api.session_init);
  load(library, "pith_session_eval", &api.eval);
  load(library, "pith_session_logits", &api.logits);
  load(library, "pith_session_cancel", &api.cancel);
  load(library, "pith_session_rewind", &api.rewind);
  load(library, "pith_session_copy", &api.copy);
  load(library, "pith_session_save", &api.save);
  load(library, "pith_session_restore", &api.restore);
  load(library, "pith_sampler_bytes", &api.sampler_bytes);
  load(library, "pith_sampler_init", &api.sampler_init);
  load(library, "pith_sampler_draw", &api.draw);
  load(library, "pith_logprobs", &api.logprobs);
  load(library, "pith_sampler_save", &api.save_sampler);
  load(library, "pith_sampler_restore", &api.restore_sampler);
  load(library, "pith_tokenizer_bytes", &api.tokenizer_bytes);
  load(library, "pith_tokenizer_init", &api.tokenizer_init);
  load(library, "pith_tokenizer_encode", &api.encode);
  load(library, "pith_tokenizer_decode", &api.decode);
  load(library, "pith_tokenizer_token_text", &api.token_text);
  load(library, "pith_tokenizer_token_id", &api.token_id);
  load(library, "pith_tokenizer_is_end", &api.is_end);
  load(library, "pith_tokenizer_is_special", &api.is_special);
  load(library, "pith_chat_bytes", &api.chat_bytes);
  load(library, "pith_chat_init", &api.chat_init);
  load(library, "pith_chat_template", &api.chat_template);
  load(library, "pith_chat_is_end", &api.ends_answer);
  load(library, "pith_chat_stop", &api.stop);
  load(library, "pith_chat_work_bytes", &api.chat_work_bytes);
  load(library, "pith_chat_encode", &api.encode_chat);
  load(library, "pith_grammar_bytes", &api.grammar_bytes);
  load(library, "pith_grammar_init", &api.grammar_init);
  load(library, "pith_token_trie_bytes", &api.trie_bytes);
  load(library, "pith_token_trie_init", &api.trie_init);
  load(library, "pith_matcher_bytes", &api.matcher_bytes);
  load(library, "pith_matcher_init", &api.matcher_init);
  load(library, "pith_matcher_mask", &api.mask);
  load(library, "pith_matcher_accept", &api.accept_form);
  load(library, "pith_matcher_reset", &api.reset_form);
  load(library, "pith_matcher_copy", &api.copy_form);
  load(library, "pith_matcher_is_done", &api.form_is_done);
  load(library, "pith_stream_push", &api.push);
  load(library, "pith_stream_save", &api.save_stream);
  load(library, "pith_stream_restore", &api.restore_stream);
  return api;
}

// Saves, forks, cancels and rewinds: `session` is afterwards what it was before.
bool take_apart(const Api& api, pith_session* session, pith_session* fork, void* state, size_t state_bytes) {
  const uint64_t position = pith_session_position(session);
  const int32_t tokens[] = {1, 2, 3};
  size_t bytes = 0;
  bool good = api.save(session, state, state_bytes, &bytes, nullptr) == PITH_OK;
  good = good && api.restore(fork, state, bytes, nullptr) == PITH_OK;
  api.cancel(fork);
  good = good && api.eval(fork, tokens, 3, nullptr) == PITH_OK;
  const pith_status rewound = api.rewind(fork, position, nullptr);
  good = good && (rewound == PITH_OK || rewound == PITH_E_STATE);
  good = good && api.copy(fork, session, nullptr) == PITH_OK && api.copy(session, fork, nullptr) == PITH_OK;
  return good && pith_session_position(session) == position;
}

// Saves and restores what draws and what shows; and a failure writes its sentence.
bool take_apart(const Api& api, pith_sampler* sampler, pith_stream* stream, void* state, size_t capacity) {
  size_t bytes = 0;
  pith_error error;
  bool good = api.save_sampler(sampler, state, capacity, &bytes, &error) == PITH_OK;
  good = good && api.restore_sampler(sampler, state, bytes, &error) == PITH_OK;
  good = good && api.save_stream(stream, state, capacity, &bytes, &error) == PITH_OK;
  good = good && api.restore_stream(stream, state, bytes, &error) == PITH_OK && error.message[0] == '\0';
  return good && api.restore_sampler(sampler, state, bytes, &error) == PITH_E_SAVED_KIND && error.message[0] != '\0';
}

pith_tokenizer* tokenizer_of(const Api& api, const pith_model* model) {
  size_t bytes = 0;
  pith_tokenizer* tokenizer = nullptr;
  require(api.tokenizer_bytes(model, &bytes, nullptr) == PITH_OK, "tokenizer bytes");
  void* memory = aligned(bytes);
  const long before = heap_calls;
  require(api.tokenizer_init(model, memory, bytes, &tokenizer, nullptr) == PITH_OK, "tokenizer");
  require(heap_calls == before, "pith_tokenizer_init calls the heap");
  return tokenizer;
}

pith_chat* chat_of(const Api& api, const pith_model* model, const pith_tokenizer* tokenizer) {
  pith_chat_options options;
  pith_chat_options_init(&options, sizeof options);
  options.template_name = "llama3.1";
  size_t bytes = 0;
  pith_chat* chat = nullptr;
  require(api.chat_bytes(model, tokenizer, &options, &bytes, nullptr) == PITH_OK, "chat bytes");
  void* memory = aligned(bytes);
  const long before = heap_calls;
  require(api.chat_init(model, tokenizer, &options, memory, bytes, &chat, nullptr) == PITH_OK, "chat");
  require(heap_calls == before, "pith_chat_init calls the heap");
  return chat;
}

// A conversation of its own that begins, and one that goes on; and what may be asked about a token.
struct Talk {
  static constexpr pith_message kMessages[] = {{PITH_ROLE_SYSTEM, 0, "Be brief.", 9},
                                               {PITH_ROLE_USER, 0, "Where is the lantern?", 21},
                                               {PITH_ROLE_ASSISTANT, 0, "Here.", 5},
                                               {PITH_ROLE_USER, 0, "And the fox?", 12}};
  static constexpr size_t kCount = sizeof kMessages / sizeof kMessages[0];

  const Api& api;
  const pith_tokenizer* tokenizer;
  const pith_chat* chat;
  size_t work_bytes;
  void* work;

  Talk(const Api& functions, const pith_model* model, const pith_tokenizer* of)
      : api(functions),
        tokenizer(of),
        chat(chat_of(functions, model, of)),
        work_bytes(functions.chat_work_bytes(chat, kMessages, kCount, PITH_CHAT_ANSWER)),
        work(aligned(work_bytes)) {
    require(work_bytes > 0, "chat work bytes");
  }
  bool step(int32_t token) const {
    int32_t ids[1024];
    size_t count = 0, bytes = 0;
    const char* name = nullptr;
    bool good = api.encode_chat(chat, kMessages, kCount, PITH_CHAT_ANSWER, ids, 1024, &count, work, work_bytes,
                                nullptr) == PITH_OK;
    good = good && api.encode_chat(chat, kMessages + 1, 1, PITH_CHAT_AFTER_ANSWER | PITH_CHAT_ANSWER, ids, 1024, &count,
                                   work, work_bytes, nullptr) == PITH_OK;
    good = good && api.chat_work_bytes(chat, kMessages, kCount, 0) <= work_bytes && api.stop(chat, 9) == nullptr;
    good = good && api.token_text(tokenizer, token, &name, &bytes, nullptr) == PITH_OK;
    good = good && (api.is_special(tokenizer, token) == 1 || api.token_id(tokenizer, name, bytes) >= 0);
    return good && api.chat_template(chat) != nullptr && api.is_end(tokenizer, token) <= api.ends_answer(chat, token);
  }
};

// A document of a schema after the other, drawn from a session's logits.
struct Form {
  static constexpr char kSchema[] =
      R"({"type":"array","items":{"type":"object","properties":{"a":{"type":"string"},"b":{"minimum":3,"type":"integer"}}}})";

  const Api& api;
  pith_matcher *matcher = nullptr, *copy = nullptr;
  float* masked;

  Form(const Api& functions, const pith_tokenizer* tokenizer, uint32_t vocab_size)
      : api(functions), masked(static_cast<float*>(aligned(vocab_size * sizeof(float)))) {
    pith_grammar_source source;
    pith_grammar_source_init(&source, sizeof source);
    source.kind = PITH_GRAMMAR_JSON_SCHEMA;
    source.text = kSchema;
    source.text_bytes = sizeof kSchema - 1;
    size_t bytes = 0;
    pith_grammar* grammar = nullptr;
    pith_token_trie* trie = nullptr;
    require(api.grammar_bytes(&source, &bytes, nullptr) == PITH_OK, "grammar bytes");
    void* memory = aligned(bytes);
    long before = heap_calls;
    require(api.grammar_init(&source, memory, bytes, &grammar, nullptr) == PITH_OK, "grammar");
    require(heap_calls == before, "pith_grammar_init calls the heap");
    require(api.trie_bytes(tokenizer, &bytes, nullptr) == PITH_OK, "trie bytes");
    memory = aligned(bytes);
    before = heap_calls;
    require(api.trie_init(tokenizer, memory, bytes, &trie, nullptr) == PITH_OK, "trie");
    require(heap_calls == before, "pith_token_trie_init calls the heap");
    require(api.matcher_bytes(grammar, trie, &bytes, nullptr) == PITH_OK, "matcher bytes");
    void* const memories[] = {aligned(bytes), aligned(bytes)};
    before = heap_calls;
    require(api.matcher_init(grammar, trie, memories[0], bytes, &matcher, nullptr) == PITH_OK, "matcher");
    require(api.matcher_init(grammar, trie, memories[1], bytes, &copy, nullptr) == PITH_OK, "second matcher");
    require(heap_calls == before, "pith_matcher_init calls the heap");
  }
  bool step(const float* logits, pith_sampler* sampler, int32_t* token) const {
    bool good = api.mask(matcher, logits, masked, nullptr) == PITH_OK;
    good = good && api.draw(sampler, masked, token, nullptr) == PITH_OK;
    good = good && api.accept_form(matcher, *token, nullptr) == PITH_OK &&
           api.copy_form(copy, matcher, nullptr) == PITH_OK;
    return good && (api.form_is_done(matcher) == 0 || api.reset_form(matcher, nullptr) == PITH_OK);
  }
};

// Heap calls within `steps` steps.
long count_calls(const Api& api, const void* data, size_t size, uint32_t threads, int steps) {
  size_t bytes = 0;
  pith_model* model = nullptr;
  require(api.model_bytes(data, size, &bytes, nullptr) == PITH_OK, "model bytes");
  require(api.model_init(data, size, aligned(bytes), bytes, &model, nullptr) == PITH_OK, "model");
  pith_session_options options;
  pith_session_options_init(&options, sizeof options);
  options.capacity = 200;  // over three attention tiles, so that threads share work; wraps 50 times in 10,000 steps
  options.n_keep = 4;
  options.max_threads = threads;
  pith_session *session = nullptr, *fork = nullptr;
  require(api.session_bytes(model, &options, &bytes, nullptr) == PITH_OK, "session bytes");
  require(api.session_init(model, &options, aligned(bytes), bytes, &session, nullptr) == PITH_OK, "session");
  require(api.session_init(model, &options, aligned(bytes), bytes, &fork, nullptr) == PITH_OK, "second session");
  const size_t state_bytes = pith_session_state_bytes(session);
  void* state = aligned(state_bytes);
  pith_model_info info{};
  info.struct_size = sizeof info;
  require(pith_model_get_info(model, &info, nullptr) == PITH_OK, "info");
  pith_sampler_options sampling;
  pith_sampler_options_init(&sampling, sizeof sampling);
  pith_sampler* sampler = nullptr;
  require(api.sampler_bytes(&sampling, info.vocab_size, &bytes, nullptr) == PITH_OK, "sampler bytes");
  require(api.sampler_init(&sampling, info.vocab_size, aligned(bytes), bytes, &sampler, nullptr) == PITH_OK, "sampler");
  pith_tokenizer* tokenizer = tokenizer_of(api, model);
  const Talk talk(api, model, tokenizer);
  const Form form(api, tokenizer, info.vocab_size);
  const char text[] = "The fox and the lantern";
  const size_t work_bytes = pith_tokenizer_work_bytes(sizeof text);
  void* work = aligned(work_bytes);
  pith_stream stream{};
  stream.struct_size = sizeof stream;
  require(pith_stream_init(&stream, nullptr, 0, nullptr) == PITH_OK, "stream");
  char out[4096];
  int32_t token = 0;
  float logprob = 0;
  pith_logprob top[20];
  const long before = heap_calls;
  for (int step = 0; step < steps; ++step) {
    int32_t ids[sizeof text];
    size_t count = 0;
    const char* piece = nullptr;
    bool good = api.eval(session, &token, 1, nullptr) == PITH_OK;
    good = good && (step % 8 != 0 || form.step(api.logits(session), sampler, &token));
    good = good && api.draw(sampler, api.logits(session), &token, nullptr) == PITH_OK;
    good = good && api.logprobs(api.logits(session), info.vocab_size, token, &logprob, 20, top, nullptr) == PITH_OK;
    good = good && api.decode(tokenizer, token, &piece, &count, nullptr) == PITH_OK;
    good = good && api.push(&stream, piece, count, out, sizeof out, &count, nullptr) == PITH_OK;
    good = good && api.encode(tokenizer, text, sizeof text - 1, 0, ids, sizeof text, &count, work, work_bytes,
                              nullptr) == PITH_OK;
    good = good && talk.step(token);
    good = good && (step % 64 != 0 || take_apart(api, session, fork, state, state_bytes));
    good = good && (step % 64 != 0 || take_apart(api, sampler, &stream, state, state_bytes));
    require(good, "a step failed");
  }
  return heap_calls - before;
}

}  // namespace

int main(int argc, char** argv) {
  require(argc == 4 || argc == 5, "usage: heap_test MODEL THREADS LIBPITH.so [STEPS]");
  const int steps = argc == 5 ? std::atoi(argv[4]) : 10000;
  const long before = heap_calls;
  std::free(std::malloc(1));
  void* volatile keep = std::malloc(8);  // the optimiser may not remove this pair
  std::free(keep);
  require(heap_calls - before >= 2, "the counter does not count");
  size_t size = 0;
  const void* data = read_file(argv[1], &size);
  const uint32_t threads = uint32_t(std::atoi(argv[2]));
  const long linked = count_calls(Api(), data, size, threads, steps);
  const long opened = count_calls(load_api(argv[3]), data, size, threads, steps);
  std::printf("heap calls: %ld in %d steps, %ld in as many through dlopen; %u threads\n", linked, steps, opened,
              threads);
  return linked == 0 && opened == 0 ? 0 : 1;
}
