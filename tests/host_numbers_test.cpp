// The floating-point environment of the host: whatever it is, the library computes the same bits, traps nowhere, and gives it back after
// every call of pith.h, status flags included.
#include <doctest/doctest.h>

#include <string>

#include "golden_file.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// ---- The control register, by its bits ------------------------------------------------------------------------------------

struct Environment {
  const char* name;
  uint64_t bits;
};

#if defined(__x86_64__)

uint64_t read_register() {
  uint32_t mxcsr;
  __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
  return mxcsr;
}
void write_register(uint64_t bits) {
  const uint32_t mxcsr = uint32_t(bits);
  __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}
constexpr uint64_t kPlain = 0x1f80;
constexpr Environment kEnvironments[] = {{"plain", kPlain},
                                         {"flush to zero", kPlain | 0x8000},
                                         {"denormals are zero", kPlain | 0x40},
                                         {"flush to zero, denormals are zero", kPlain | 0x8040},
                                         {"downwards", kPlain | 0x2000},
                                         {"upwards", kPlain | 0x4000},
                                         {"towards zero", kPlain | 0x6000},
                                         {"upwards, flush to zero, denormals are zero", kPlain | 0xc040},
                                         {"every exception traps", 0},
                                         {"every exception traps, downwards, flush to zero", 0xa000},
                                         {"flags of earlier exceptions", kPlain | 0x3f}};

#elif defined(__aarch64__)

uint64_t read_register() {
  uint64_t fpcr;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  return fpcr;
}
void write_register(uint64_t bits) { __asm__ volatile("msr fpcr, %0" : : "r"(bits) : "memory"); }
constexpr uint64_t kPlain = 0;
constexpr Environment kEnvironments[] = {{"plain", 0},
                                         {"flush to zero", 1u << 24},
                                         {"default NaN", 1u << 25},
                                         {"upwards", 1u << 22},
                                         {"downwards", 2u << 22},
                                         {"towards zero", 3u << 22},
                                         {"upwards, flush to zero", 1u << 24 | 1u << 22},
                                         {"every exception traps", 0x9f00}};  // where the CPU can trap

#endif

// ---- Everything that a program may do -------------------------------------------------------------------------------------

// Makes calls in the environment of a host, itself in a plain one, and writes down all that they gave.
class Host {
 public:
  explicit Host(const Environment& environment) : name_(environment.name) {
    write_register(environment.bits);
    wanted_ = read_register();  // of a CPU that cannot trap, less
    write_register(kPlain);
  }
  template <typename Call>
  void call(const char* what, const Call& body) {
    write_register(wanted_);
    const pith_status status = body();
    const uint64_t after = read_register();
    write_register(kPlain);
    CHECK_MESSAGE(after == wanted_, name_, ": ", std::string(what), " left ", after, " for ", wanted_);
    write(&status, sizeof status);
    ++n_calls;
  }
  void write(const void* bytes, size_t n) {
    const uint8_t* first = static_cast<const uint8_t*>(bytes);
    transcript.insert(transcript.end(), first, first + n);
  }
  template <typename T>
  void write(const std::vector<T>& values) {
    write(values.data(), values.size() * sizeof(T));
  }
  Bytes transcript;
  size_t n_calls = 0;

 private:
  std::string name_;
  uint64_t wanted_;
};

// A model whose metadata holds a signalling NaN: to touch it as a number raises an exception.
struct Deceitful {
  explicit Deceitful(const Bytes& packed) : file(packed), bytes(block_of(packed.data(), packed.size())) {
    const Model model = Model::view(bytes.get(), packed.size());
    for (size_t i = 0; i < model.metadata_count() && value == nullptr; ++i) {
      const pith_metadata entry = model.metadata(i);
      if (entry.type == PITH_VALUE_FLOAT)
        value = bytes.get() + (entry.key - reinterpret_cast<char*>(bytes.get())) + entry.key_bytes + sizeof(uint32_t);
    }
    REQUIRE(value != nullptr);
    const uint32_t signalling = 0x7f800001;
    std::memcpy(value, &signalling, sizeof signalling);
  }
  Bytes file;
  Block bytes;
  uint8_t* value = nullptr;
};

void use_model(Host* host, const Bytes& file, const Runtime& runtime, const Deceitful& deceitful) {
  size_t n = 0;
  host->call("pith_model_bytes", [&] { return pith_model_bytes(runtime.bytes.get(), file.size(), &n, nullptr); });
  const Block memory = block_of(n);
  pith_model* model = nullptr;
  host->call("pith_model_init",
             [&] { return pith_model_init(runtime.bytes.get(), file.size(), memory.get(), n, &model, nullptr); });
  pith_model* none = nullptr;
  const Block other = block_of(n);
  host->call("pith_model_init of a signalling NaN", [&] {
    return pith_model_init(deceitful.bytes.get(), deceitful.file.size(), other.get(), n, &none, nullptr);
  });
  for (size_t i = 0; i < pith_model_metadata_count(model); ++i) {
    pith_metadata entry = sized<pith_metadata>();
    host->call("pith_model_get_metadata", [&] { return pith_model_get_metadata(model, i, &entry, nullptr); });
    host->write(&entry.float_value, sizeof entry.float_value);
  }
}

void use_session(Host* host, const Runtime& runtime, const pith_session_options& options,
                 const std::vector<int32_t>& tokens) {
  const pith_model* model = runtime.model.get();
  const size_t vocab_size = runtime.model.info().vocab_size;
  pith_session_plan plan = sized<pith_session_plan>();
  host->call("pith_session_get_plan", [&] { return pith_session_get_plan(model, &options, &plan, nullptr); });
  host->write(&plan, sizeof plan);
  const size_t n = size_t(plan.session_bytes);
  const Block memory = block_of(n), other_memory = block_of(n);
  pith_session *session = nullptr, *other = nullptr;
  host->call("pith_session_init",
             [&] { return pith_session_init(model, &options, memory.get(), n, &session, nullptr); });
  host->call("pith_session_init",
             [&] { return pith_session_init(model, &options, other_memory.get(), n, &other, nullptr); });
  const auto write_logits = [&](const pith_session* of) { host->write(copy_of_logits(of, int32_t(vocab_size))); };
  const size_t n_prompt = tokens.size() - 6;
  host->call("pith_session_eval of a prompt",
             [&] { return pith_session_eval(session, tokens.data(), n_prompt, nullptr); });
  write_logits(session);
  for (size_t i = n_prompt; i < tokens.size(); ++i) {
    host->call("pith_session_eval", [&] { return pith_session_eval(session, &tokens[i], 1, nullptr); });
    write_logits(session);
  }
  Bytes state(pith_session_state_bytes(session));
  size_t written = 0;
  host->call("pith_session_save",
             [&] { return pith_session_save(session, state.data(), state.size(), &written, nullptr); });
  state.resize(written);
  host->write(state);
  host->call("pith_session_restore", [&] { return pith_session_restore(other, state.data(), state.size(), nullptr); });
  host->call("pith_session_copy", [&] { return pith_session_copy(session, other, nullptr); });
  std::vector<float> rows(9 * vocab_size);
  host->call("pith_session_eval_each",
             [&] { return pith_session_eval_each(other, tokens.data(), 9, rows.data(), nullptr, nullptr); });
  host->write(rows);
  host->call("pith_session_set_threads", [&] { return pith_session_set_threads(session, 1, nullptr); });
  host->call("pith_session_eval", [&] { return pith_session_eval(session, tokens.data(), 9, nullptr); });
  write_logits(session);
  host->call("pith_session_rewind", [&] { return pith_session_rewind(session, tokens.size(), nullptr); });
  host->call("pith_session_eval", [&] { return pith_session_eval(session, tokens.data(), 1, nullptr); });
  write_logits(session);
  host->call("pith_session_reset", [&] { return pith_session_reset(session, nullptr); });
}

void use_sampler(Host* host, const std::vector<float>& logits) {
  float logprob = 0;
  pith_logprob top[5];
  host->call("pith_logprobs",
             [&] { return pith_logprobs(logits.data(), uint32_t(logits.size()), 1, &logprob, 5, top, nullptr); });
  host->write(&logprob, sizeof logprob);
  host->write(top, sizeof top);
  const float odd[] = {
      0.7f, 0, PITH_GREEDY, 1e-45f, 3.4e38f, __builtin_nanf(""), __builtin_nansf(""), __builtin_inff()};
  for (const float temperature : odd) {
    for (const float top_p : {0.9f, 1e-45f, __builtin_nansf("")}) {
      pith_sampler_options options = sampler_options();
      std::memcpy(&options.temperature, &temperature, sizeof temperature);  // not as a number: it may be signalling
      std::memcpy(&options.top_p, &top_p, sizeof top_p);
      options.repeat_penalty = 1.1f;
      size_t n = 0;
      pith_status status = PITH_OK;
      host->call("pith_sampler_bytes",
                 [&] { return status = pith_sampler_bytes(&options, uint32_t(logits.size()), &n, nullptr); });
      if (status != PITH_OK) continue;
      const Block memory = block_of(n);
      pith_sampler* sampler = nullptr;
      host->call("pith_sampler_init", [&] {
        return pith_sampler_init(&options, uint32_t(logits.size()), memory.get(), n, &sampler, nullptr);
      });
      for (int i = 0; i < 20; ++i) {
        int32_t token = 0;
        host->call("pith_sampler_draw", [&] { return pith_sampler_draw(sampler, logits.data(), &token, nullptr); });
        host->write(&token, sizeof token);
      }
      std::vector<float> bad = logits;
      const uint32_t signalling = 0x7f800001;
      std::memcpy(&bad[3], &signalling, sizeof signalling);
      int32_t token = 0;
      host->call("pith_sampler_draw of NaN", [&] { return pith_sampler_draw(sampler, bad.data(), &token, nullptr); });
      host->call("pith_logprobs of NaN",
                 [&] { return pith_logprobs(bad.data(), uint32_t(bad.size()), 1, &logprob, 5, top, nullptr); });
    }
  }
}

void use_text(Host* host, const Runtime& runtime) {
  size_t n = 0;
  host->call("pith_tokenizer_bytes", [&] { return pith_tokenizer_bytes(runtime.model.get(), &n, nullptr); });
  const Block memory = block_of(n);
  pith_tokenizer* tokenizer = nullptr;
  host->call("pith_tokenizer_init",
             [&] { return pith_tokenizer_init(runtime.model.get(), memory.get(), n, &tokenizer, nullptr); });
  const std::string text = "The fox and the lantern, 3.14";
  std::vector<int32_t> ids(text.size() + 1);
  Bytes work(pith_tokenizer_work_bytes(text.size()));
  host->call("pith_tokenizer_encode", [&] {
    return pith_tokenizer_encode(tokenizer, text.data(), text.size(), 0, ids.data(), ids.size(), &n, work.data(),
                                 work.size(), nullptr);
  });
  ids.resize(n);
  host->write(ids);
}

}  // namespace

TEST_CASE("the host's rounding, denormals, traps and flags change no bit of any call, and are given back") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  const uint64_t before = read_register();
  const Bytes file = read_golden("tiny.q4.gguf");
  const Runtime golden(file);
  const Deceitful deceitful(file);
  std::mt19937_64 random(seed);
  std::vector<float> logits(100);
  for (float& logit : logits) logit = float(int64_t(random() % 2001) - 1000) / 100;
  logits[7] = 1e-41f;  // denormal
  Bytes expected_of_objects;
  size_t n_calls = 0;
  for (const Environment& environment : kEnvironments) {
    Host host(environment);
    use_model(&host, file, golden, deceitful);
    use_text(&host, golden);
    use_sampler(&host, logits);
    if (expected_of_objects.empty()) expected_of_objects = host.transcript;
    CHECK_MESSAGE(host.transcript == expected_of_objects, environment.name);
    n_calls += host.n_calls;
  }
  for (const size_t i : {0, 1, 5, 7, 10, 11, 20, 21}) {
    const SynthSpec spec = all_variants()[i];
    CAPTURE(spec.name);
    const Runtime runtime = runtime_of(spec, i % 2 == 0 ? "q4" : "f32");
    pith_session_options options = session_options();
    options.capacity = 40;
    options.max_threads = 2;
    options.cache = options.activations = uint32_t(i % 2);
    const std::vector<int32_t> tokens = few_ids(60, seed);
    Bytes expected;
    for (const Environment& environment : kEnvironments) {
      Host host(environment);
      use_session(&host, runtime, options, tokens);
      if (expected.empty()) expected = host.transcript;
      CHECK_MESSAGE(host.transcript == expected, environment.name);
      n_calls += host.n_calls;
    }
  }
  write_register(before);
  MESSAGE(n_calls, " calls in ", std::size(kEnvironments), " environments");
}

// The control: the environments of above are such that ordinary arithmetic notices them.
TEST_CASE("the environments of a host change what it computes itself") {
  const uint64_t before = read_register();
  volatile float one = 1, three = 3, tiny = 1e-40f;
  const auto results = [&](uint64_t bits) {
    write_register(bits);
    const float third = one / three, minus_third = -one / three, twice = tiny + tiny;
    write_register(kPlain);
    Bytes out;
    put(&out, third);
    put(&out, minus_third);
    put(&out, twice);
    return out;
  };
  const Bytes plain = results(kPlain);
  size_t n_others = 0;
  for (const Environment& environment : kEnvironments) {
    const bool may_trap = std::string(environment.name).find("traps") != std::string::npos;
    if (!may_trap) n_others += results(environment.bits) != plain;
  }
  write_register(before);
  CHECK(n_others >= 5);
}
