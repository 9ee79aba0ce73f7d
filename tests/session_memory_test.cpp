// The memory of a session: exact to the byte, nothing beyond it is touched, and what lay in it before changes no bit.
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "guarded_memory.h"
#include "quick.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

size_t bytes_of(const Model& model, const pith_session_options& options) {
  size_t bytes = 0;
  REQUIRE(int(pith_session_bytes(model.get(), &options, &bytes, nullptr)) == int(PITH_OK));
  return bytes;
}

// A session in the whole of `memory`.
pith_session* session_in(const GuardedMemory& memory, const Model& model, const pith_session_options& options) {
  pith_session* session = nullptr;
  REQUIRE(int(pith_session_init(model.get(), &options, memory.data(), memory.size(), &session, nullptr)) ==
          int(PITH_OK));
  return session;
}

// Tests make no models again that they have made.
class Models {
 public:
  const Model& of(const SynthSpec& spec, const char* type) {
    std::unique_ptr<Runtime>& runtime = runtimes_[spec.name + " as " + type];
    if (runtime == nullptr) runtime = std::make_unique<Runtime>(runtime_of(spec, type));
    return runtime->model;
  }

 private:
  std::map<std::string, std::unique_ptr<Runtime>> runtimes_;
};

std::vector<const char*> usable_tiers() {
  std::vector<const char*> out;
  int usable = 0;
  for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) {
    if (usable) out.push_back(name);
  }
  return out;
}

// Every option that memory depends on, and those that it must not depend on.
pith_session_options random_options(std::mt19937_64* random) {
  static const std::vector<const char*> tiers = usable_tiers();
  const auto below = [&](uint64_t n) { return (*random)() % n; };
  pith_session_options options = session_options();
  options.capacity = uint32_t(1 + below(150));
  options.n_keep = uint32_t(below(options.capacity));
  options.cache = uint32_t(below(2));
  options.activations = uint32_t(below(2));
  options.attention = uint32_t(below(2));
  options.max_threads = uint32_t(1 + below(below(8) == 0 ? 64 : 4));
  options.chunk = uint32_t(below(3) == 0 ? 0 : 1 + below(160));
  options.pool_bytes = below(3) == 0 ? 0 : below(2) == 0 ? PITH_POOL_NONE : below(100000);
  options.tier = tiers[below(tiers.size())];
  return options;
}

}  // namespace

TEST_CASE("pith_session_bytes is exact for 200 random configurations, between inaccessible pages") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::vector<SynthSpec> variants = all_variants();
  Models models;
  size_t n_other_bits = 0;
  for (int i = 0; i < int(200 / quick()); ++i) {
    const SynthSpec& spec = variants[random() % variants.size()];
    const char* types[] = {"q4", "q4m", "q8", "f32"};
    const Model& model = models.of(spec, types[random() % 4]);
    const pith_session_options options = random_options(&random);
    CAPTURE(spec.name);
    CAPTURE(options.capacity);
    CAPTURE(options.n_keep);
    CAPTURE(options.chunk);
    CAPTURE(options.max_threads);
    const size_t bytes = bytes_of(model, options);
    const std::vector<int32_t> tokens = random_tokens(options.capacity + 3, spec.config.vocab_size, seed);
    std::vector<float> logits[2];
    for (const Place place : {Place::at_begin, Place::at_end}) {
      GuardedMemory memory(bytes, place, kPatterns[random() % std::size(kPatterns)]);
      pith_session* session = nullptr;
      pith_error error{};
      CHECK(int(pith_session_init(model.get(), &options, memory.data(), bytes - 1, &session, &error)) ==
            int(PITH_E_MEMORY));
      CHECK(std::string(error.message).find(std::to_string(bytes)) != std::string::npos);
      CHECK(session == nullptr);
      CHECK(memory.is_untouched());
      session = session_in(memory, model, options);
      CHECK(int(pith_session_eval(session, tokens.data(), tokens.size(), nullptr)) == int(PITH_OK));
      CHECK(memory.is_clean_around());
      logits[place == Place::at_end] = copy_of_logits(session, spec.config.vocab_size);
    }
    n_other_bits += !same_bits(logits[0], logits[1]);
  }
  CHECK(n_other_bits == 0);
}

TEST_CASE("what lay in a session's memory before changes no bit, of prompts and of steps") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  size_t n_compared = 0;
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    const std::vector<int32_t> tokens = few_ids(s.n_before + 10, seed);
    std::vector<std::vector<float>> expected;
    for (const uint32_t pattern : kPatterns) {
      CAPTURE(pattern);
      GuardedMemory memory(bytes_of(s.model(), s.options), Place::at_end, pattern);
      pith_session* session = session_in(memory, s.model(), s.options);
      std::vector<std::vector<float>> logits;
      REQUIRE(int(pith_session_eval(session, tokens.data(), s.n_before, nullptr)) == int(PITH_OK));
      for (size_t t = s.n_before; t < tokens.size(); ++t) {
        REQUIRE(int(pith_session_eval(session, &tokens[t], 1, nullptr)) == int(PITH_OK));
        logits.push_back(copy_of_logits(session, s.spec.config.vocab_size));
      }
      if (expected.empty()) expected = logits;
      size_t n_same = 0;
      for (size_t i = 0; i < logits.size(); ++i) n_same += same_bits(logits[i], expected[i]);
      CHECK(n_same == expected.size());
      n_compared += n_same;
    }
  }
  MESSAGE(n_compared, " tokens");
}

// All of a session that is no state is scratch: a step that read scratch of the step before would see the pattern here.
TEST_CASE("a step reads nothing but the state: every one in memory filled with a pattern anew") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  size_t n_steps = 0;
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    const std::vector<int32_t> tokens = few_ids(s.n_before + 10, seed + 1);
    Session unbroken(s.model(), s.options);
    unbroken.eval(std::span(tokens).first(s.n_before));
    GuardedMemory memory(bytes_of(s.model(), s.options), Place::at_begin, 0);
    Bytes state = saved(unbroken.get());
    size_t n_same = 0;
    for (size_t t = s.n_before; t < tokens.size(); ++t) {
      memory.fill(kPatterns[t % std::size(kPatterns)]);
      pith_session* session = session_in(memory, s.model(), s.options);
      REQUIRE(int(pith_session_restore(session, state.data(), state.size(), nullptr)) == int(PITH_OK));
      REQUIRE(int(pith_session_eval(session, &tokens[t], 1, nullptr)) == int(PITH_OK));
      unbroken.eval(tokens[t]);
      n_same += same_bits(copy_of_logits(session, s.spec.config.vocab_size), unbroken.logits());
      state = saved(session);
    }
    CHECK(n_same == tokens.size() - s.n_before);
    CHECK(memory.is_clean_around());
    n_steps += n_same;
  }
  MESSAGE(n_steps, " steps");
}

// Files end where they end: vectors of a kernel that reached further would fault where a page ends, too.
TEST_CASE("a model's bytes are not read beyond their end, on every tier") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  size_t n_flush = 0, n_models = 0;
  for (const SynthSpec& spec : some_variants()) {
    for (const char* type : {"q4", "q4m", "q8", "f32"}) {
      CAPTURE(spec.name);
      const Bytes floats = synth_float(spec);
      const Block aligned = block_of(floats.data(), floats.size());
      const Bytes packed = pack_model(aligned.get(), floats.size(), pack_options(type));
      const size_t whole = (packed.size() + PITH_ALIGNMENT - 1) / PITH_ALIGNMENT * PITH_ALIGNMENT;
      GuardedMemory memory(whole, Place::at_end, 0xffffffff);
      std::memcpy(memory.data(), packed.data(), packed.size());
      const Model model = Model::view(memory.data(), packed.size());
      ++n_models;
      n_flush += whole == packed.size();
      const std::vector<int32_t> tokens = random_tokens(40, spec.config.vocab_size, seed);
      for (const char* tier : usable_tiers()) {
        pith_session_options options = session_options();
        options.tier = tier;
        options.cache = options.activations = std::string(type) == "f32" ? PITH_PRECISION_F32 : PITH_PRECISION_I8;
        Session session(model, options);
        session.eval(std::span(tokens).first(30));
        for (size_t t = 30; t < tokens.size(); ++t) session.eval(tokens[t]);
        CHECK(session.position() == tokens.size());
      }
    }
  }
  CHECK(n_flush > 0);
  MESSAGE(n_models, " models, of which ", n_flush, " end right before the page");
}
