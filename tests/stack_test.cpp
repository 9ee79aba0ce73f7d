// How much stack the library uses: every kind of call on a painted stack, with every tier; and all of them on stacks as small as embedded
// systems have.
#include <doctest/doctest.h>

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "golden_file.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// The promise, in docs/promises.md. Sanitizers' frames are larger, and nobody ships them.
constexpr size_t kMostStack = 32 << 10;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

// A stack of its own, between inaccessible pages, filled with a pattern.
class PaintedStack {
 public:
  explicit PaintedStack(size_t bytes) : bytes_(bytes) {
    base_ = static_cast<uint8_t*>(
        ::mmap(nullptr, bytes + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    REQUIRE(base_ != MAP_FAILED);
    REQUIRE(::mprotect(base_ + kGuard, bytes, PROT_READ | PROT_WRITE) == 0);
    std::memset(base_ + kGuard, kPaint, bytes);
  }
  ~PaintedStack() { ::munmap(base_, bytes_ + 2 * kGuard); }
  PaintedStack(const PaintedStack&) = delete;
  PaintedStack& operator=(const PaintedStack&) = delete;

  // Runs body() in a thread on this stack; returns the bytes between its frame and the deepest one that was touched.
  size_t run(const std::function<void()>& body) {
    body_ = &body;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    REQUIRE(pthread_attr_setstack(&attributes, base_ + kGuard, bytes_) == 0);
    pthread_t id;
    REQUIRE(pthread_create(&id, &attributes, enter, this) == 0);
    pthread_join(id, nullptr);
    pthread_attr_destroy(&attributes);
    const uint8_t *first = base_ + kGuard, *last = first + bytes_;
    return size_t(top_ - std::find_if(first, last, [](uint8_t byte) { return byte != kPaint; }));
  }

 private:
  static constexpr size_t kGuard = 1 << 16;
  static constexpr uint8_t kPaint = 0xb7;
  static void* enter(void* opaque) {
    PaintedStack* stack = static_cast<PaintedStack*>(opaque);
    stack->top_ = static_cast<const uint8_t*>(__builtin_frame_address(0));
    (*stack->body_)();
    return nullptr;
  }
  size_t bytes_;
  uint8_t* base_;
  const uint8_t* top_ = nullptr;
  const std::function<void()>* body_ = nullptr;
};

// Runs the threads of a team one after the other where it was called: their stack is this one.
void run_here(void*, uint32_t n, void (*task)(void*, uint32_t), void* context) {
  for (uint32_t i = 0; i < n; ++i) task(context, i);
}

// What a program does with a model, as calls that need nothing but what is here: memory is made before.
class Program {
 public:
  Program(const Runtime& runtime, size_t data_bytes, const pith_session_options& with)
      : runtime_(runtime), data_bytes_(data_bytes), options_(with) {
    pith_model_info info = runtime.model.info();
    vocab_size_ = int32_t(info.vocab_size);
    model_memory_ = memory([&](size_t* n) { return pith_model_bytes(runtime.bytes.get(), data_bytes, n, nullptr); });
    session_memory_ = memory([&](size_t* n) { return pith_session_bytes(model(), &options_, n, nullptr); });
    sampler_memory_ = memory([&](size_t* n) { return pith_sampler_bytes(nullptr, info.vocab_size, n, nullptr); });
    tokens_ = random_tokens(kPrompt, vocab_size_, 1);
    rows_.resize(kEach * info.vocab_size);
  }
  using Step = std::pair<const char*, std::function<pith_status()>>;
  std::vector<Step> steps() {
    std::vector<Step> out = {
        {"model",
         [&] {
           pith_model* made = nullptr;
           return pith_model_init(runtime_.bytes.get(), data_bytes_, model_memory_.first.get(), model_memory_.second,
                                  &made, &error_);
         }},
        {"session",
         [&] {
           return pith_session_init(model(), &options_, session_memory_.first.get(), session_memory_.second, &session_,
                                    &error_);
         }},
        {"prompt", [&] { return pith_session_eval(session_, tokens_.data(), tokens_.size(), &error_); }},
        {"step", [&] { return pith_session_eval(session_, tokens_.data(), 1, &error_); }},
        {"every token",
         [&] { return pith_session_eval_each(session_, tokens_.data(), kEach, rows_.data(), nullptr, &error_); }},
        {"save", [&] { return pith_session_save(session_, state_.data(), state_.size(), &state_bytes_, &error_); }},
        {"restore", [&] { return pith_session_restore(session_, state_.data(), state_bytes_, &error_); }},
        {"a token that is none", [&] { return pith_session_eval(session_, &kNone, 1, &error_); }},
        {"sampler",
         [&] {
           return pith_sampler_init(nullptr, uint32_t(vocab_size_), sampler_memory_.first.get(), sampler_memory_.second,
                                    &sampler_, &error_);
         }},
        {"draw", [&] { return pith_sampler_draw(sampler_, pith_session_logits(session_), &token_, &error_); }},
        {"log-probabilities",
         [&] {
           return pith_logprobs(pith_session_logits(session_), uint32_t(vocab_size_), token_, &logprob_, 5, top_,
                                &error_);
         }},
        {"reset", [&] { return pith_session_reset(session_, &error_); }}};
    return out;
  }
  // Between the steps, on another stack: what memory the next one needs.
  void prepare() {
    if (session_ != nullptr && state_.empty()) state_.resize(pith_session_state_bytes(session_));
  }
  static pith_status expected(const std::string& step) {
    return step == "a token that is none" ? PITH_E_ARGUMENT : PITH_OK;
  }

 private:
  using Memory = std::pair<Block, size_t>;
  template <typename Ask>
  static Memory memory(const Ask& ask) {
    size_t n = 0;
    REQUIRE(int(ask(&n)) == int(PITH_OK));
    return {block_of(n), n};
  }
  const pith_model* model() const { return runtime_.model.get(); }

  static constexpr size_t kPrompt = 100, kEach = 12;
  static constexpr int32_t kNone = -1;
  const Runtime& runtime_;
  size_t data_bytes_;
  pith_session_options options_;
  int32_t vocab_size_ = 0, token_ = 0;
  Memory model_memory_, session_memory_, sampler_memory_;
  std::vector<int32_t> tokens_;
  std::vector<float> rows_;
  Bytes state_;
  size_t state_bytes_ = 0;
  pith_session* session_ = nullptr;
  pith_sampler* sampler_ = nullptr;
  float logprob_ = 0;
  pith_logprob top_[5] = {};
  pith_error error_{};
};

// f(runtime, bytes of its model, options): every variant, tier and precision, in turn.
template <typename F>
void for_each_setting(const F& f) {
  size_t i = 0;
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    const Bytes floats = synth_float(spec);
    const Block aligned = block_of(floats.data(), floats.size());
    const Bytes packed = pack_model(aligned.get(), floats.size(), pack_options(i % 2 == 0 ? "q4" : "f32"));
    const Runtime runtime(packed);
    int usable = 0;
    for (size_t j = 0; const char* tier = pith_tier_name(j, &usable); ++j, ++i) {
      if (!usable) continue;
      CAPTURE(std::string(tier));
      pith_session_options options = session_options();
      options.tier = tier;
      options.capacity = 80;
      options.n_keep = 2;
      options.cache = options.activations = uint32_t(i % 2);
      options.attention = uint32_t(i / 2 % 2);
      options.max_threads = 2;
      options.executor = run_here;
      f(runtime, packed.size(), options);
    }
  }
}

// Every call of a program, each on a stack of its own, with the status that it must have; f(name, bytes of stack used).
template <typename F>
void for_each_call(const Runtime& runtime, size_t data_bytes, const pith_session_options& options, size_t stack_bytes,
                   const F& f) {
  Program program(runtime, data_bytes, options);
  for (const Program::Step& step : program.steps()) {
    program.prepare();
    PaintedStack stack(stack_bytes);
    pith_status status = PITH_OK;
    const size_t bytes = stack.run([&] { status = step.second(); });
    CAPTURE(std::string(step.first));
    CHECK(int(status) == int(Program::expected(step.first)));
    f(step.first, bytes);
  }
}

}  // namespace

TEST_CASE("every call uses at most 32 KiB of stack, with every variant and tier") {
  std::map<std::string, size_t> most;
  for_each_setting([&](const Runtime& runtime, size_t data_bytes, const pith_session_options& options) {
    for_each_call(runtime, data_bytes, options, 1 << 20, [&](const char* name, size_t bytes) {
      CHECK((bytes <= kMostStack || kIsSanitized));
      most[name] = std::max(most[name], bytes);
    });
  });
  for (const auto& [name, bytes] : most) MESSAGE(name, ": ", bytes, " bytes of stack");
}

TEST_CASE("tokenizers and chats use at most 32 KiB of stack, for any text of 1 MiB") {
  const Bytes file = read_golden("tiny.q4.gguf");
  const Runtime runtime(file);
  constexpr size_t kMiB = 1 << 20;
  std::string words;
  while (words.size() < kMiB) words += "fox lantern 42 \xc3\xa9\xe2\x9c\x93\n"[words.size() * 7919 % 21];
  size_t n = 0;
  REQUIRE(int(pith_tokenizer_bytes(runtime.model.get(), &n, nullptr)) == int(PITH_OK));
  const Block memory = block_of(n);
  pith_tokenizer* tokenizer = nullptr;
  pith_status status = PITH_OK;
  const auto measure = [&](const char* what, const std::function<pith_status()>& call) {
    PaintedStack stack(1 << 20);
    const size_t bytes = stack.run([&] { status = call(); });
    CAPTURE(std::string(what));
    CHECK(int(status) == int(PITH_OK));
    CHECK((bytes <= kMostStack || kIsSanitized));
    return bytes;
  };
  const size_t init =
      measure("init", [&] { return pith_tokenizer_init(runtime.model.get(), memory.get(), n, &tokenizer, nullptr); });
  size_t encode = 0, chats = 0;
  for (const std::string& text : {std::string(kMiB, 'A'), std::string(kMiB, '\n'), std::string(kMiB, '\xff'), words}) {
    std::vector<int32_t> ids(text.size() + 1000);
    Bytes work(pith_tokenizer_work_bytes(text.size()));
    encode = std::max(encode, measure("encode", [&] {
                        size_t count = 0;
                        return pith_tokenizer_encode(tokenizer, text.data(), text.size(), 0, ids.data(), ids.size(),
                                                     &count, work.data(), work.size(), nullptr);
                      }));
    pith_chat_options options;
    pith_chat_options_init(&options, sizeof options);
    options.template_name = "llama3.1";
    size_t chat_bytes = 0;
    REQUIRE(int(pith_chat_bytes(runtime.model.get(), tokenizer, &options, &chat_bytes, nullptr)) == int(PITH_OK));
    const Block chat_memory = block_of(chat_bytes);
    pith_chat* chat = nullptr;
    chats = std::max(chats, measure("chat", [&] {
                       return pith_chat_init(runtime.model.get(), tokenizer, &options, chat_memory.get(), chat_bytes,
                                             &chat, nullptr);
                     }));
    const pith_message message{PITH_ROLE_USER, 0, text.data(), text.size()};
    Bytes chat_work(pith_chat_work_bytes(chat, &message, 1, PITH_CHAT_ANSWER));
    chats = std::max(chats, measure("conversation", [&] {
                       size_t count = 0;
                       return pith_chat_encode(chat, &message, 1, PITH_CHAT_ANSWER, ids.data(), ids.size(), &count,
                                               chat_work.data(), chat_work.size(), nullptr);
                     }));
  }
  MESSAGE("tokenizer: ", init, " bytes of stack, a text: ", encode, ", chats: ", chats);
}

// musl gives threads 128 KiB, small systems 64: of which the C library takes its part.
TEST_CASE("everything works on a stack of 64 KiB") {
  if (kIsSanitized) return;
  for_each_setting([&](const Runtime& runtime, size_t data_bytes, const pith_session_options& options) {
    for_each_call(runtime, data_bytes, options, 64 << 10, [](const char*, size_t) {});
  });
}

TEST_CASE("a painted stack shows what was used of it") {
  const auto touch = [](size_t bytes) {
    volatile uint8_t* block = static_cast<volatile uint8_t*>(__builtin_alloca(bytes));
    block[0] = 1;
  };
  for (const size_t bytes : {size_t(5000), size_t(60000)}) {
    const size_t used = PaintedStack(1 << 20).run([&] { touch(bytes); });
    CHECK(used >= bytes);
    CHECK((used < bytes + 4096 || kIsSanitized));
  }
}

TEST_CASE("grammars and masks use at most 32 KiB of stack") {
  const Bytes file = read_golden("tiny.q4.gguf");
  const Runtime runtime(file);
  const Tokenizer tokenizer(runtime.model);
  const TokenTrie trie(tokenizer);
  std::string names;
  for (int i = 0; i < 200; ++i)
    names += (i > 0 ? ",\"" : "\"") + std::string(size_t(i % 7), char('a' + i % 26)) + std::to_string(i) + "\":{}";
  std::string nested = "{}";
  for (int i = 0; i < 40; ++i) nested = R"({"anyOf":[{"type":"null"},{"items":)" + nested + "}]}";
  const std::string texts[] = {
      R"({"type":"object","additionalProperties":{"type":"string","format":"uri"},"properties":{)" + names + "}}",
      nested, R"({"type":["integer","number"],"minimum":-12345678901234567,"maximum":98765432109876543})",
      R"({"type":"string","pattern":"^(((([\\w\\s-]|[^\\d]){1,9})*(a|b))+)$"})",
      "root ::= ((((\"a\" | [^a-z]){2,9})*)+ | .)* \"!\""};
  size_t compiling = 0, masking = 0;
  for (const std::string& text : texts) {
    const pith_grammar_source source =
        grammar_source(text[0] == 'r' ? PITH_GRAMMAR_GBNF : PITH_GRAMMAR_JSON_SCHEMA, text);
    size_t n = 0;
    pith_status status = PITH_OK;
    pith_grammar* grammar = nullptr;
    REQUIRE(int(pith_grammar_bytes(&source, &n, nullptr)) == int(PITH_OK));
    const Block memory = block_of(n);
    PaintedStack stack(1 << 20), other(1 << 20);
    compiling = std::max(compiling,
                         stack.run([&] { status = pith_grammar_init(&source, memory.get(), n, &grammar, nullptr); }));
    CAPTURE(text);
    REQUIRE(int(status) == int(PITH_OK));
    REQUIRE(int(pith_matcher_bytes(grammar, trie.get(), &n, nullptr)) == int(PITH_OK));
    const Block matcher_memory = block_of(n);
    pith_matcher* matcher = nullptr;
    std::vector<float> logits(runtime.model.info().vocab_size);
    masking = std::max(masking, other.run([&] {
      status = pith_matcher_init(grammar, trie.get(), matcher_memory.get(), n, &matcher, nullptr);
      if (status == PITH_OK) status = pith_matcher_mask(matcher, logits.data(), logits.data(), nullptr);
    }));
    CHECK(int(status) == int(PITH_OK));
  }
  CHECK((compiling <= kMostStack || kIsSanitized));
  CHECK((masking <= kMostStack || kIsSanitized));
  MESSAGE("compiling: ", compiling, " bytes of stack, a mask: ", masking);
}
