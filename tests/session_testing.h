// Sessions as the tests of sessions make them: of a synthetic model, in memory of exactly their bytes.
#ifndef PITH_TESTS_SESSION_TESTING_H
#define PITH_TESTS_SESSION_TESTING_H

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cache/row_pool.h"
#include "quick.h"
#include "runtime.h"
#include "variants.h"

namespace pith::test {

using namespace internal;

inline Runtime runtime_of(const SynthSpec& spec, const char* type = "q4") {
  const Bytes floats = synth_float(spec);
  const Block aligned = block_of(floats.data(), floats.size());
  return Runtime(pack_model(aligned.get(), floats.size(), pack_options(type)));
}

// A session in a block of exactly its bytes, filled with a pattern before; guards on both sides are checked at the end.
struct GuardedSession {
  static constexpr size_t kGuard = 64;
  GuardedSession(const Model& model, const pith_session_options& options, uint8_t fill) {
    REQUIRE(int(pith_session_bytes(model.get(), &options, &bytes, nullptr)) == int(PITH_OK));
    block = block_of(bytes + 2 * kGuard);
    std::memset(block.get(), fill, bytes + 2 * kGuard);
    pattern = fill;
    REQUIRE(int(pith_session_init(model.get(), &options, block.get() + kGuard, bytes, &session, nullptr)) ==
            int(PITH_OK));
  }
  bool guards_hold() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (block.get()[i] != pattern || block.get()[kGuard + bytes + i] != pattern) return false;
    }
    return true;
  }
  size_t bytes = 0;
  uint8_t pattern;
  Block block;
  pith_session* session = nullptr;
};

// A model, the options of a session on it, and how many tokens it holds when the test begins.
struct Scenario {
  std::string name;
  SynthSpec spec;
  std::shared_ptr<const Runtime> runtime;
  pith_session_options options;
  size_t n_before;

  const Model& model() const { return runtime->model; }

  bool is_gated() const { return spec.config.gate == Gate::up; }
  bool is_materialised() const { return options.attention == PITH_ATTENTION_MATERIALISE; }
};

// Ids that repeat often, so that groups of tokens grow, shrink and change their kind.
inline std::vector<int32_t> few_ids(size_t n, uint64_t seed) { return random_tokens(n, 60, seed); }

constexpr uint32_t kScenarioCapacity = 40;

// Every form of attention, both caches, and for gated models pools of no, 4 and the default number of rows; before and after the
// ring of 40 slots is full, with and without pinned tokens. n_before: those with as many tokens alone; 0: with any number of them, or
// one for every form where PITH_QUICK leaves less than a third.
constexpr size_t kBeforeFull = 25;
inline std::vector<Scenario> scenarios(uint64_t seed, size_t n_before = 0) {
  enum { kNoRows, kFewRows, kDefaultRows };
  std::vector<Scenario> out;
  std::map<std::string, std::shared_ptr<const Runtime>> runtimes;
  const auto add = [&](SynthSpec spec, uint32_t precision, uint32_t attention, int pool) {
    spec.config.n_layers = 2;
    spec.seed = seed;
    const bool is_i8 = precision == PITH_PRECISION_I8;
    std::shared_ptr<const Runtime>& runtime = runtimes[spec.name + (is_i8 ? "q4" : "f32")];
    if (runtime == nullptr) runtime = std::make_shared<Runtime>(runtime_of(spec, is_i8 ? "q4" : "f32"));
    pith_session_options options = session_options();
    options.capacity = kScenarioCapacity;
    options.cache = options.activations = precision;
    options.attention = attention;
    const bool is_same = attention == PITH_ATTENTION_MATERIALISE || spec.config.is_mha();
    options.chunk = is_same ? 0 : 1;  // other forms give other bits to a prompt than to its tokens one by one
    if (pool != kDefaultRows) {
      const uint64_t rows = pool == kNoRows ? 0 : 4, layers = uint64_t(spec.config.n_layers);
      options.pool_bytes = rows == 0
                               ? PITH_POOL_NONE
                               : rows * layers * row_shape(spec.config, is_i8 ? Precision::i8 : Precision::f32).bytes();
    }
    const struct {
      uint32_t n_keep;
      size_t n_before;
    } fillings[] = {{3, kBeforeFull}, {0, 90}, {3, 70}};
    const size_t one = fillings[(seed + out.size()) % std::size(fillings)].n_before;
    const size_t wanted = n_before != 0 ? n_before : quick() > std::size(fillings) ? one : 0;
    for (const auto& filling : fillings) {
      if (wanted != 0 && filling.n_before != wanted) continue;
      options.n_keep = filling.n_keep;
      std::string name = spec.name + (is_i8 ? ", int8" : ", float32");
      if (attention == PITH_ATTENTION_MATERIALISE) name += ", materialised";
      if (spec.config.gate == Gate::up) name += pool == kNoRows ? ", no pool" : pool == kFewRows ? ", small pool" : "";
      name += ", " + std::to_string(filling.n_before) + " tokens, " + std::to_string(filling.n_keep) + " pinned";
      out.push_back({name, spec, runtime, options, filling.n_before});
    }
  };
  const std::vector<SynthSpec> all = all_variants();
  for (const int pool : {kNoRows, kFewRows, kDefaultRows}) {
    add(all[0], PITH_PRECISION_I8, PITH_ATTENTION_DEFAULT, pool);
    add(all[0], PITH_PRECISION_F32, PITH_ATTENTION_DEFAULT, pool);
    add(all[0], PITH_PRECISION_I8, PITH_ATTENTION_MATERIALISE, pool);
  }
  add(all[14], PITH_PRECISION_I8, PITH_ATTENTION_DEFAULT, kDefaultRows);  // split norm, r = 96, low-rank query
  for (const size_t i : {5, 7, 9, 10, 21}) add(all[i], PITH_PRECISION_I8, PITH_ATTENTION_DEFAULT, kDefaultRows);
  add(all[7], PITH_PRECISION_I8, PITH_ATTENTION_MATERIALISE, kDefaultRows);
  add(all[7], PITH_PRECISION_F32, PITH_ATTENTION_DEFAULT, kDefaultRows);
  add(all[10], PITH_PRECISION_F32, PITH_ATTENTION_DEFAULT, kDefaultRows);
  return out;
}

// The session looks at its clock twice in every layer; the n-th look of an evaluation cancels it. Further ones are
// counted.
struct Canceller {
  pith_session* session = nullptr;
  size_t n_looks = 0, cancel_at = 0;  // 0: never

  void add_to(pith_session_options* options) {
    options->clock_context = this;
    options->clock = [](void* opaque) -> uint64_t {
      Canceller* c = static_cast<Canceller*>(opaque);
      if (++c->n_looks == c->cancel_at) pith_session_cancel(c->session);
      return 0;
    };
  }
  void arm(size_t at) {
    n_looks = 0;
    cancel_at = at;
  }
};

inline std::vector<float> copy_of_logits(const pith_session* session, int32_t vocab_size) {
  const float* logits = pith_session_logits(session);
  return logits == nullptr ? std::vector<float>() : std::vector<float>(logits, logits + vocab_size);
}

inline Bytes saved(pith_session* session) {
  Bytes state(pith_session_state_bytes(session), 0xee);
  size_t bytes = 0;
  REQUIRE(int(pith_session_save(session, state.data(), state.size(), &bytes, nullptr)) == int(PITH_OK));
  REQUIRE(bytes <= state.size());
  state.resize(bytes);
  return state;
}

// Where a state has its words: the format of src/session/session_state.h.
namespace state_at {
constexpr size_t kBytes = 16, kHash = 32, kHashed = 40, kPosition = 88, kHasLogits = 96, kCacheBytes = 104,
                 kCache = 112;
}

inline uint64_t word_at(const Bytes& state, size_t at) {
  uint64_t value = 0;
  std::memcpy(&value, state.data() + at, sizeof value);
  return value;
}

inline void set_word(Bytes* state, size_t at, uint64_t value) { std::memcpy(state->data() + at, &value, sizeof value); }

// Gives a falsified state the length and the hash that its bytes ask for.
inline void repair(Bytes* state) {
  set_word(state, state_at::kBytes, state->size());
  uint64_t hash = 0xcbf29ce484222325ull;
  for (size_t i = state_at::kHashed; i < state->size(); ++i) hash = (hash ^ (*state)[i]) * 0x100000001b3ull;
  set_word(state, state_at::kHash, hash);
}

// ||a - b|| / ||b||.
inline double relative_distance(std::span<const float> a, std::span<const float> b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    norm += double(b[i]) * double(b[i]);
  }
  return std::sqrt(difference / norm);
}

}  // namespace pith::test

#endif
