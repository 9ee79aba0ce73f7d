// The ring over long times: against the oracle for several turns, against a cache that is a list for as many tokens as PITH_RING_STEPS
// says, and from positions that no test reaches by counting.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <list>

#include "quick.h"
#include "reference/reference_model.h"
#include "session/session.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kIsSanitized = true;  // ten times slower, and freed memory is kept
#else
constexpr bool kIsSanitized = false;
#endif

constexpr double kFloatBound = 2e-5;  // the float32 runtime against the oracle; model_test.cpp derives it

// A small model of every kind of cache.
std::vector<SynthSpec> lean_variants() {
  std::vector<SynthSpec> out = {gated_spec("egmla", GateNorm::layer), small_spec("mla"), small_spec("mha")};
  set_mha(&out[2].config, 2, 1);
  for (SynthSpec& spec : out) {
    Config& c = spec.config;
    c.n_layers = 2;
    c.width = c.feed_forward_width = 24;
    if (!c.is_mha()) c.n_heads = c.n_kv_heads = 2;
    c.vocab_size = 257;
  }
  return out;
}

pith_session_options options_of(uint32_t capacity, uint32_t n_keep, uint32_t precision) {
  pith_session_options options = session_options();
  options.capacity = capacity;
  options.n_keep = n_keep;
  options.cache = options.activations = precision;
  return options;
}

// Memory of this process that is in use, in KiB.
long resident_kib() {
  long pages = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
  std::fclose(file);
  return resident * 4;
}

// What a ring of `capacity` tokens means, without one: a list of pinned tokens and a list of the others, whose first one leaves. It has a
// session of its own to compute with, which is told before every token what it has cached: all that the lists hold, and rubbish elsewhere.
class ListRing {
 public:
  ListRing(const Model& model, const pith_session_options& options)
      : session_(model, options),
        n_layers_(int32_t(model.info().n_layers)),
        capacity_(options.capacity),
        n_keep_(options.n_keep) {}

  std::span<const float> eval(int32_t token) {
    Entry entry{next_slot(), ring().slot_bytes(), Bytes(size_t(n_layers_) * ring().slot_bytes())};
    const Bytes rubbish(ring().slot_bytes(), 0x5a);
    for (int32_t layer = 0; layer < n_layers_; ++layer) {
      for (int32_t slot = 0; slot < int32_t(capacity_); ++slot) ring().write_slot(layer, slot, rubbish.data());
      for (const std::list<Entry>* list : {&pinned_, &window_}) {
        for (const Entry& e : *list) ring().write_slot(layer, e.slot, e.at(layer));
      }
    }
    session_.eval(token);
    for (int32_t layer = 0; layer < n_layers_; ++layer) ring().read_slot(layer, entry.slot, entry.at(layer));
    (pinned_.size() < n_keep_ ? pinned_ : window_).push_back(std::move(entry));
    return session_.logits();
  }

  bool equals(LatentRing& other) const {
    Bytes bytes(other.slot_bytes());
    for (const std::list<Entry>* list : {&pinned_, &window_}) {
      for (const Entry& e : *list) {
        for (int32_t layer = 0; layer < n_layers_; ++layer) {
          other.read_slot(layer, e.slot, bytes.data());
          if (std::memcmp(bytes.data(), e.at(layer), bytes.size()) != 0) return false;
        }
      }
    }
    return true;
  }

 private:
  struct Entry {
    int32_t slot;
    size_t slot_bytes;
    Bytes bytes;  // [n_layers, slot_bytes]
    uint8_t* at(int32_t layer) { return bytes.data() + size_t(layer) * slot_bytes; }
    const uint8_t* at(int32_t layer) const { return bytes.data() + size_t(layer) * slot_bytes; }
  };

  LatentRing& ring() { return session_.get()->transformer.cache().ring(); }
  // A new token takes the next slot, or that of the oldest one that is not pinned, which leaves.
  int32_t next_slot() {
    const size_t n = pinned_.size() + window_.size();
    if (n < capacity_) return int32_t(n);
    const int32_t slot = window_.front().slot;
    window_.pop_front();
    return slot;
  }

  Session session_;
  int32_t n_layers_;
  size_t capacity_, n_keep_;
  std::list<Entry> pinned_, window_;
};

constexpr uint64_t kStarts[] = {1ull << 20, (1ull << 24) - 1, (1ull << 24) + 1, 1ull << 31,
                                1ull << 40, 1ull << 53,       1ull << 62,       (1ull << 63) - 4096};

// The state of a full ring at the first position from `from` on that has the same slot.
Bytes moved_to(Bytes state, uint64_t from, uint64_t window) {
  const uint64_t position = word_at(state, state_at::kPosition);
  set_word(&state, state_at::kPosition, position + (from - position + window - 1) / window * window);
  repair(&state);
  return state;
}

}  // namespace

TEST_CASE("a ring of 256 tokens equals the oracle for four turns") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  constexpr uint32_t kWindow = 256;
  for (SynthSpec spec : lean_variants()) {
    if (spec.config.is_mha()) continue;
    CAPTURE(spec.name);
    spec.seed = seed;
    const Runtime runtime = runtime_of(spec, "f32");
    const ReferenceModel oracle(synth_float(spec));
    const std::vector<int32_t> tokens = random_tokens(4 * kWindow, spec.config.vocab_size, seed);
    for (const uint32_t n_keep : {0u, 4u}) {
      if (is_quick() && n_keep != seed % 2 * 4) continue;
      CAPTURE(n_keep);
      const uint32_t capacity = n_keep + kWindow;
      const auto got = all_logits(runtime.model, tokens, options_of(capacity, n_keep, PITH_PRECISION_F32));
      const Matrix expected = oracle.ring_logits(tokens, capacity, n_keep);
      double worst = 0;
      for (size_t t = 0; t < tokens.size(); ++t) {
        const std::vector<float> row(expected.row(int64_t(t)).begin(), expected.row(int64_t(t)).end());
        worst = std::max(worst, relative_distance(got[t], row));
      }
      CHECK(worst < kFloatBound);
      MESSAGE(spec.name, ", ", n_keep, " pinned: ", worst);
    }
  }
}

TEST_CASE("a ring holds what a list holds, to the last bit, for as long as it runs") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  const char* wanted = std::getenv("PITH_RING_STEPS");
  const long n_steps = wanted != nullptr ? std::atol(wanted) : long((kIsSanitized ? 2000 : 10000) / quick());
  for (const SynthSpec& spec : lean_variants()) {
    CAPTURE(spec.name);
    const Runtime runtime = runtime_of(spec);
    const pith_session_options options = options_of(68, 4, PITH_PRECISION_I8);
    Session session(runtime.model, options);
    ListRing list(runtime.model, options);
    std::mt19937_64 random(seed);
    long n_other_logits = 0, n_other_slots = 0, kib_before = 0;
    for (long step = 0; step < n_steps; ++step) {
      if (step == n_steps / 20) kib_before = resident_kib();
      const int32_t token = int32_t(random() % (random() % 2 == 0 ? 30 : 257));
      session.eval(token);
      n_other_logits += !same_bits(session.logits(), list.eval(token));
      n_other_slots += !list.equals(session.get()->transformer.cache().ring());
    }
    CHECK(n_other_logits == 0);
    CHECK(n_other_slots == 0);
    const long kib_after = resident_kib();
    MESSAGE(spec.name, ": ", n_steps, " tokens; resident memory ", kib_before, " KiB, then ", kib_after, " KiB");
    CHECK((kIsSanitized || kib_after - kib_before < 1024));
  }
}

// Tokens at the positions 0, 1, 2, ... and the same tokens where a falsified state says that billions went before; the state's own are
// forgotten, as the ring takes as many as can see each other.
//
// Cached in float32, either is within kFloatBound of the oracle, for which positions are real numbers.
TEST_CASE("logits do not depend on the position at 2^20 to 2^63, with a float32 cache") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  constexpr uint32_t kCapacity = 9;
  double worst = 0;
  for (const SynthSpec& spec : some_variants()) {
    if (!is_continuous(spec)) continue;
    CAPTURE(spec.name);
    const Runtime runtime = runtime_of(spec, "f32");
    const size_t reach = size_t(spec.config.n_layers) * (kCapacity - 1);
    const std::vector<int32_t> tail = random_tokens(reach + 1, spec.config.vocab_size, seed);
    for (const uint32_t n_keep : {0u, 2u}) {
      CAPTURE(n_keep);
      const pith_session_options options = options_of(kCapacity, n_keep, PITH_PRECISION_F32);
      Session source(runtime.model, options), near(runtime.model, options);
      source.eval(random_tokens(20, spec.config.vocab_size, seed + 1));
      const Bytes state = source.save();
      if (n_keep > 0) near.restore(state);  // pinned tokens stay: compare with those that the state has
      near.eval(tail);
      for (const uint64_t from : kStarts) {
        CAPTURE(from);
        Session far(runtime.model, options);
        far.restore(moved_to(state, from, kCapacity - n_keep));
        CHECK(far.position() >= from);
        far.eval(tail);
        const double error = relative_distance(far.logits(), near.logits());
        CHECK(error < 2 * kFloatBound);
        worst = std::max(worst, error);
      }
    }
  }
  MESSAGE("largest distance: ", worst);
}

// int8: a rotary key and its query are rounded after their rotation, so that another start rounds other numbers. A vector x of d_r numbers
// is rounded to steps of max|x| / 127 and moves by at most sqrt(d_r) / 254 of its length. In the scores q . k of two starts four such
// roundings differ: by at most 4 sqrt(d_r) / 254 |q^R| |k^R|, a few per cent. That is the precision that the cache has at any position: so
// the far starts may be as far from start 0 as the nearest ones are, where angles are beyond doubt.
TEST_CASE("logits do not depend on the position beyond the cache's precision, with an int8 cache") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  constexpr uint32_t kCapacity = 9;
  double worst = 0, worst_share = 0;
  for (const SynthSpec& spec : some_variants()) {
    if (!is_continuous(spec)) continue;
    CAPTURE(spec.name);
    const Runtime runtime = runtime_of(spec, "q8");
    const size_t reach = size_t(spec.config.n_layers) * (kCapacity - 1);
    const std::vector<int32_t> tail = random_tokens(reach + 1, spec.config.vocab_size, seed);
    const pith_session_options options = options_of(kCapacity, 0, PITH_PRECISION_I8);
    Session source(runtime.model, options), start(runtime.model, options);
    source.eval(random_tokens(20, spec.config.vocab_size, seed + 1));
    start.eval(tail);
    const Bytes state = source.save();
    const auto distance = [&](uint64_t from) {
      Session session(runtime.model, options);
      session.restore(moved_to(state, from, kCapacity));
      session.eval(tail);
      return relative_distance(session.logits(), start.logits());
    };
    double near = 0, far = 0;
    for (uint64_t i = 0; i < 6; ++i) near += distance(20 + 5 * i * kCapacity) / 6;
    for (const uint64_t from : kStarts) {
      far += distance(from) / double(std::size(kStarts));
    }
    CHECK(far < 3 * near);
    CHECK(far < 0.1);
    worst = std::max(worst, far);
    worst_share = std::max(worst_share, far / near);
  }
  MESSAGE("largest mean distance: ", worst, "; at most ", worst_share, " times that of near starts");
}
