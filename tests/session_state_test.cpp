// States: what is saved and restored goes on with the same bits, and nothing else is taken for a state.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <string>

#include "session/session.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

pith_status restore(pith_session* session, const Bytes& state, pith_error* error = nullptr) {
  const Block exact = block_of(state.data(), state.size());
  return pith_session_restore(session, exact.get(), state.size(), error);
}

void eval(pith_session* session, std::span<const int32_t> tokens) {
  REQUIRE(int(pith_session_eval(session, tokens.data(), tokens.size(), nullptr)) == int(PITH_OK));
}

// Small enough to try every bit: one gated, one latent and one MHA session of 8 slots.
std::vector<Scenario> small_scenarios(uint64_t seed) {
  std::vector<Scenario> out;
  for (SynthSpec spec : {gated_spec("egmla", GateNorm::layer), small_spec("mla"), small_spec("mha")}) {
    if (spec.name == "mha") set_mha(&spec.config, 2, 1);
    spec.config.n_layers = 2;
    spec.config.width = spec.config.feed_forward_width = 16;
    spec.config.vocab_size = 257;
    pith_session_options options = session_options();
    options.capacity = 8;
    options.n_keep = 1;
    options.pool_bytes = 3 * row_shape(spec.config, Precision::i8).bytes() * size_t(spec.config.n_layers);
    spec.seed = seed;
    out.push_back({spec.name, spec, std::make_shared<Runtime>(runtime_of(spec, "q8")), options, 11});
  }
  return out;
}

// The state of a gated session with the same tokens, whose groups hold rows as chance has it: any number of them that the pool has, in
// any order. Groups as src/cache/token_groups.cpp writes them: counts by kind; by kind and size id, tokens, row of the gate, slots with the
// rows of their keys; the free rows.
Bytes with_other_rows(const Bytes& state, Session* session, int32_t n_rows, std::mt19937_64* random) {
  enum { kKeys, kGate, kNone };
  const pith_session& inner = *session->get();
  KvCache& cache = session->get()->transformer.cache();
  const int32_t capacity = inner.plan.capacity, filled = std::min(capacity, int32_t(inner.position));
  const size_t latents = size_t(inner.model->config.n_layers) * size_t(filled) * cache.ring().slot_bytes();
  std::map<int32_t, std::vector<int32_t>> slots_of;
  for (int32_t slot = 0; slot < filled; ++slot) slots_of[cache.groups().id(slot)].push_back(slot);
  std::vector<int32_t> rows;
  for (int32_t row = 0; row < n_rows; ++row) rows.push_back(row);
  std::shuffle(rows.begin(), rows.end(), *random);
  std::vector<std::pair<int32_t, std::vector<int32_t>>> groups(slots_of.begin(), slots_of.end());
  std::shuffle(groups.begin(), groups.end(), *random);
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) {
    return std::min<size_t>(a.second.size(), 32) < std::min<size_t>(b.second.size(), 32);
  });
  std::vector<int32_t> words = {inner.model->config.vocab_size, capacity, n_rows, 1, 0, 0, 0}, kinds[3];
  std::vector<size_t> order(groups.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), *random);
  std::vector<int32_t> kind(groups.size(), kNone);
  size_t n_free = rows.size();
  const size_t spared = (*random)() % (rows.size() + 1);  // rows that stay free
  for (const size_t g : order) {
    const size_t n = groups[g].second.size();
    const int32_t wanted = int32_t((*random)() % 3);
    const size_t need = wanted == kKeys ? n : wanted == kGate ? 1 : 0;
    if (need + spared > n_free) continue;
    kind[g] = wanted;
    n_free -= need;
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto take_row = [&](std::vector<int32_t>* out) {
      out->push_back(rows.back());
      rows.pop_back();
    };
    std::vector<int32_t>& out = kinds[kind[g]];
    ++words[size_t(4 + kind[g])];
    out.push_back(groups[g].first);
    out.push_back(int32_t(groups[g].second.size()));
    if (kind[g] == kGate) take_row(&out);
    std::shuffle(groups[g].second.begin(), groups[g].second.end(), *random);
    for (const int32_t slot : groups[g].second) {
      out.push_back(slot);
      if (kind[g] == kKeys) take_row(&out);
    }
  }
  for (const std::vector<int32_t>& of_kind : kinds) words.insert(words.end(), of_kind.begin(), of_kind.end());
  words.insert(words.end(), rows.begin(), rows.end());
  Bytes out(state.begin(), state.begin() + int64_t(state_at::kCache + latents));
  for (const int32_t word : words) put(&out, word);
  set_word(&out, state_at::kCacheBytes, out.size() - state_at::kCache);
  out.insert(out.end(), state.begin() + int64_t(state_at::kCache + word_at(state, state_at::kCacheBytes)), state.end());
  repair(&out);
  return out;
}

}  // namespace

TEST_CASE("a restored session goes on with the bits of one that was never saved") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    const int32_t vocab_size = s.spec.config.vocab_size;
    const std::vector<int32_t> tokens = few_ids(s.n_before + 60, seed);
    const std::span<const int32_t> before = std::span(tokens).first(s.n_before), after = std::span(tokens).last(60);
    const std::vector<std::vector<float>> expected = all_logits(s.model(), tokens, s.options);

    GuardedSession original(s.model(), s.options, 0x00);
    eval(original.session, before);
    const Bytes state = saved(original.session);
    CHECK(same_bits(copy_of_logits(original.session, vocab_size), expected[s.n_before - 1]));
    CHECK(saved(original.session) == state);
    const auto continues = [&](pith_session* session) {
      CHECK(pith_session_position(session) == s.n_before);
      CHECK(same_bits(copy_of_logits(session, vocab_size), expected[s.n_before - 1]));
      CHECK(saved(session) == state);
      size_t n_same = 0;
      for (size_t i = 0; i < after.size(); ++i) {
        eval(session, after.subspan(i, 1));
        n_same += same_bits(copy_of_logits(session, vocab_size), expected[s.n_before + i]);
      }
      CHECK(n_same == after.size());
    };
    pith_session_options options = s.options;
    options.max_threads = 2;
    GuardedSession fresh(s.model(), options, 0xa5);
    REQUIRE(int(restore(fresh.session, state)) == int(PITH_OK));
    continues(fresh.session);
    GuardedSession used(s.model(), s.options, 0xff);
    eval(used.session, few_ids(57, seed + 1));
    REQUIRE(int(restore(used.session, state)) == int(PITH_OK));
    continues(used.session);
    continues(original.session);
    CHECK(fresh.guards_hold());
    CHECK(used.guards_hold());
    CHECK(original.guards_hold());
  }
}

TEST_CASE("a state holds nothing of what lay in the memory before, and of the options those that count") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    Bytes first;
    for (const uint8_t fill : {uint8_t(0x00), uint8_t(0xff)}) {
      pith_session_options options = s.options;
      options.max_threads = fill == 0 ? 1 : 3;
      options.tier = fill == 0 || s.n_before > 30 ? nullptr : "scalar";
      GuardedSession guarded(s.model(), options, fill);
      eval(guarded.session, few_ids(s.n_before, seed));
      if (first.empty()) first = saved(guarded.session);
      else CHECK(saved(guarded.session) == first);
    }
  }
}

TEST_CASE("states without tokens, of every number of tokens, and into buffers that are too small") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const Scenario& s : small_scenarios(seed)) {
    CAPTURE(s.name);
    Session session(s.model(), s.options), other(s.model(), s.options);
    const std::vector<int32_t> tokens = few_ids(20, seed);
    const size_t most = pith_session_state_bytes(session.get());
    for (size_t n = 0; n <= tokens.size(); ++n) {
      CAPTURE(n);
      const std::vector<uint8_t> state = session.save();
      CHECK(state.size() <= most);
      CHECK(pith_session_state_bytes(session.get()) == most);
      other.restore(state);
      CHECK(other.position() == n);
      CHECK(other.logits().empty() == (n == 0));
      CHECK(other.save() == state);
      if (n < tokens.size()) session.eval(tokens[n]);
    }
    Bytes small(most - 1, 0xee);
    size_t written = 0;
    CHECK(int(pith_session_save(session.get(), small.data(), small.size(), &written, nullptr)) == int(PITH_E_CAPACITY));
    CHECK(written == most);
    CHECK(small == Bytes(most - 1, 0xee));
    CHECK(int(pith_session_save(session.get(), nullptr, most, &written, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(int(pith_session_save(session.get(), small.data(), most, nullptr, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(int(pith_session_save(nullptr, small.data(), most, &written, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(int(pith_session_restore(nullptr, small.data(), most, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(int(pith_session_restore(session.get(), nullptr, most, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK_THROWS_WITH_AS(session.restore({}), "state: 0 bytes are less than its header", Error);
  }
}

TEST_CASE("every truncation and every flipped bit of a state is refused, and changes nothing") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const Scenario& s : small_scenarios(seed)) {
    CAPTURE(s.name);
    Session source(s.model(), s.options);
    source.eval(few_ids(s.n_before, seed));
    Bytes state = source.save();

    GuardedSession target(s.model(), s.options, 0x5a);
    const std::vector<int32_t> others = few_ids(13, seed + 1);
    eval(target.session, std::span(others).first(12));
    const Bytes before = saved(target.session);
    size_t n_taken = 0, n_mute = 0;
    const auto try_state = [&](const uint8_t* bytes, size_t n) {
      pith_error error{};
      n_taken += pith_session_restore(target.session, bytes, n, &error) == PITH_OK;
      n_mute += std::string(error.message).find("state: ") != 0;
    };
    for (size_t n = 0; n < state.size(); ++n) {
      const Block exact = block_of(state.data(), n);
      try_state(exact.get(), n);
    }
    Bytes longer = state;
    longer.push_back(0);
    try_state(longer.data(), longer.size());
    for (size_t bit = 0; bit < 8 * state.size(); ++bit) {
      state[bit / 8] ^= uint8_t(1 << bit % 8);
      try_state(state.data(), state.size());
      state[bit / 8] ^= uint8_t(1 << bit % 8);
    }
    CHECK(n_taken == 0);
    CHECK(n_mute == 0);
    CHECK(saved(target.session) == before);
    eval(target.session, std::span(others).last(1));
    CHECK(same_bits(copy_of_logits(target.session, s.spec.config.vocab_size),
                    all_logits(s.model(), others, s.options).back()));
    CHECK(int(restore(target.session, state)) == int(PITH_OK));  // positive control
    CHECK(saved(target.session) == state);
    MESSAGE(s.name, ": ", state.size(), " bytes");
  }
}

// The hash keeps accidents out, not an enemy: he computes it anew. Then the session refuses, or it runs on whatever numbers it got.
TEST_CASE("falsified states with a true hash are refused or harmless") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : small_scenarios(seed)) {
    CAPTURE(s.name);
    Session source(s.model(), s.options);
    source.eval(few_ids(s.n_before, seed));
    const Bytes state = source.save();
    const std::vector<int32_t> tokens = few_ids(10, seed + 2);
    const std::vector<float> expected = [&] {
      Session session(s.model(), s.options);
      session.eval(tokens);
      return std::vector<float>(session.logits().begin(), session.logits().end());
    }();
    GuardedSession target(s.model(), s.options, 0x5a);
    size_t n_refused = 0, n_emptied = 0, n_taken = 0;
    const auto try_state = [&](Bytes bytes) {
      repair(&bytes);
      REQUIRE(int(pith_session_reset(target.session, nullptr)) == int(PITH_OK));
      eval(target.session, std::span(tokens).first(1));
      pith_error error{};
      const pith_status status = restore(target.session, bytes, &error);
      if (status == PITH_OK) {
        ++n_taken;
        CHECK(saved(target.session).size() == bytes.size());
        for (size_t i = 0; i < 3; ++i) {
          const pith_status evaluated = pith_session_eval(target.session, &tokens[i], 1, nullptr);
          CHECK((evaluated == PITH_OK || evaluated == PITH_E_NUMERIC || evaluated == PITH_E_STATE));
        }
        return;
      }
      CHECK(std::string(error.message).find("state: ") == 0);
      const bool is_emptied = status == PITH_E_SAVED_VALUE;
      is_emptied ? ++n_emptied : ++n_refused;
      CHECK(pith_session_position(target.session) == (is_emptied ? 0 : 1));
      CHECK((pith_session_logits(target.session) == nullptr) == is_emptied);
      // An emptied session is as good as a new one.
      if (!is_emptied || n_emptied % 16 != 1) return;
      eval(target.session, tokens);
      CHECK(same_bits(copy_of_logits(target.session, s.spec.config.vocab_size), expected));
    };
    for (size_t bit = 8 * state_at::kHashed; bit < 8 * state_at::kCache; ++bit) {
      Bytes flipped = state;
      flipped[bit / 8] ^= uint8_t(1 << bit % 8);
      try_state(flipped);
    }
    const size_t cache_end = state_at::kCache + size_t(word_at(state, state_at::kCacheBytes));
    for (int i = 0; i < 2000; ++i) {
      Bytes flipped = state;
      flipped[state_at::kCache + random() % (state.size() - state_at::kCache)] ^= uint8_t(1 << random() % 8);
      try_state(flipped);
    }
    // The groups stand at the end of the cache, as words: all their bits, and small numbers in place of small numbers.
    const size_t group_bytes = s.is_gated() ? 4 * (7 + 3 * 8 + 3) : 0;
    const size_t groups_at = cache_end - std::min(group_bytes, cache_end - state_at::kCache);
    for (size_t bit = 8 * groups_at; bit < 8 * cache_end; ++bit) {
      Bytes flipped = state;
      flipped[bit / 8] ^= uint8_t(1 << bit % 8);
      try_state(flipped);
    }
    for (int i = 0; i < 1000 && s.is_gated(); ++i) {
      Bytes changed = state;
      for (size_t n = 1 + random() % 3; n > 0; --n) {
        const size_t at = cache_end - 4 * (1 + random() % (group_bytes / 4));
        const uint32_t value = uint32_t(random() % 10);
        std::memcpy(changed.data() + at, &value, sizeof value);
      }
      try_state(changed);
    }
    // Bytes that are gone or too many, with the header saying so.
    for (size_t n = state_at::kCache; n < state.size(); n += 1 + n / 64) {
      Bytes cut(state.begin(), state.begin() + int64_t(n));
      try_state(cut);
      set_word(&cut, state_at::kHasLogits, 0);
      set_word(&cut, state_at::kCacheBytes, n - state_at::kCache);
      try_state(cut);
      for (const uint64_t position : {0, 1, 7, 8, 9}) {
        set_word(&cut, state_at::kPosition, position);
        try_state(cut);
      }
    }
    for (const uint64_t position :
         {UINT64_MAX, UINT64_MAX - 1, uint64_t(1) << 63, (uint64_t(1) << 63) - 1, uint64_t(0)}) {
      Bytes far = state;
      set_word(&far, state_at::kPosition, position);
      try_state(far);
    }
    CHECK(n_refused > 100);
    CHECK((n_emptied > 100 || !s.is_gated()));
    CHECK(n_taken > 100);
    CHECK(target.guards_hold());
    MESSAGE(s.name, ": ", n_refused, " refused, ", n_emptied, " refused late, ", n_taken, " taken");
  }
}

TEST_CASE("a state's header: positions below 2^63, logits of all or no tokens") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  const Scenario s = small_scenarios(seed)[0];
  Session source(s.model(), s.options), target(s.model(), s.options);
  source.eval(few_ids(s.n_before, seed));
  const Bytes state = source.save();
  const auto says = [&](Bytes bytes, const char* words) {
    repair(&bytes);
    pith_error error{};
    const pith_status status = restore(target.get(), bytes, &error);
    return status == PITH_E_SAVED_MISMATCH && std::string(error.message).find(words) != std::string::npos;
  };
  for (const uint64_t position : {uint64_t(1) << 63, (uint64_t(1) << 63) - 1, UINT64_MAX}) {
    Bytes far = state;
    set_word(&far, state_at::kPosition, position);
    CHECK(says(far, "no session gets to position") == (position >= uint64_t(1) << 63));
  }
  for (const uint64_t has_logits : {2, 3}) {  // without the bytes of any
    Bytes without = state;
    set_word(&without, state_at::kHasLogits, has_logits);
    without.resize(state_at::kCache + size_t(word_at(state, state_at::kCacheBytes)));
    CHECK(says(without, "bytes of cache"));
  }
}

TEST_CASE("a state whose logits are not finite is refused, and leaves an empty session") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const Scenario& s : small_scenarios(seed)) {
    CAPTURE(s.name);
    Session source(s.model(), s.options), fresh(s.model(), s.options), target(s.model(), s.options);
    source.eval(few_ids(s.n_before, seed));
    const Bytes state = source.save();
    const size_t n_logits = size_t(s.spec.config.vocab_size), logits_at = state.size() - n_logits * sizeof(float);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      for (const size_t index : {size_t(0), n_logits / 2, n_logits - 1}) {
        Bytes changed = state;
        std::memcpy(changed.data() + logits_at + index * sizeof bad, &bad, sizeof bad);
        repair(&changed);
        REQUIRE(int(restore(target.get(), state)) == int(PITH_OK));
        CHECK(int(restore(target.get(), changed)) == int(PITH_E_SAVED_VALUE));
        CHECK(pith_session_position(target.get()) == 0);
        CHECK(pith_session_logits(target.get()) == nullptr);
        CHECK(target.save() == fresh.save());
      }
    }
  }
}

// Which tokens have rows decides how fast grouped attention is, and nothing else; the session gets from any distribution of rows to those
// of its own rules. Float32, within what two orders of rounding owe the oracle (attention_test.cpp).
TEST_CASE("a state may hand out the pool's rows in any way that is consistent") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  SynthSpec spec = gated_spec("egmla", GateNorm::layer);
  spec.config.n_layers = 1;
  spec.seed = seed;
  const Runtime runtime = runtime_of(spec, "f32");
  pith_session_options options = exact_options();
  options.capacity = 40;
  options.n_keep = 2;
  double worst = 0;
  size_t n_differ = 0;
  for (int i = 0; i < 60; ++i) {
    const int32_t n_rows = int32_t(random() % 41), n_ids = int32_t(1 + random() % 40);
    options.pool_bytes =
        n_rows == 0 ? PITH_POOL_NONE : uint64_t(n_rows) * row_shape(spec.config, Precision::f32).bytes();
    CAPTURE(n_rows);
    CAPTURE(n_ids);
    const std::vector<int32_t> tokens = random_tokens(20 + random() % 80, n_ids, seed + uint64_t(i));
    Session session(runtime.model, options), other(runtime.model, options);
    session.eval(tokens);
    const Bytes state = session.save(), changed = with_other_rows(state, &session, n_rows, &random);
    other.restore(changed);
    REQUIRE(other.save() == changed);
    n_differ += changed != state;
    for (const int32_t token : random_tokens(60, n_ids, seed + 1)) {
      session.eval(token);
      other.eval(token);
      worst = std::max(worst, relative_distance(other.logits(), session.logits()));
    }
  }
  CHECK(worst < 2 * 2e-5);
  CHECK(n_differ > 30);
  MESSAGE("largest distance: ", worst);
}

TEST_CASE("a state of other options or of another model is refused by name, and changes nothing") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  const Scenario s = small_scenarios(seed)[0], another = small_scenarios(seed + 1)[0];
  const Bytes state = [&] {
    Session session(s.model(), s.options);
    session.eval(few_ids(s.n_before, seed));
    return session.save();
  }();
  const auto is_refused = [&](const Model& model, const pith_session_options& options, const std::string& word) {
    Session session(model, options), twin(model, options);
    session.eval(few_ids(5, seed + 2));
    twin.eval(few_ids(5, seed + 2));
    pith_error error{};
    CHECK(int(restore(session.get(), state, &error)) == int(PITH_E_SAVED_MISMATCH));
    CAPTURE(std::string(error.message));
    CHECK(std::string(error.message).find(word) != std::string::npos);
    CHECK(session.save() == twin.save());
    session.eval(7);
    twin.eval(7);
    CHECK(same_bits(session.logits(), twin.logits()));
  };
  is_refused(another.model(), s.options, "another model");
  const auto with = [&](auto change) {
    pith_session_options options = s.options;
    change(&options);
    return options;
  };
  is_refused(s.model(), with([](auto* o) { o->capacity = 9; }), "option capacity was 8 and is 9");
  is_refused(s.model(), with([](auto* o) { o->n_keep = 2; }), "option n_keep was 1 and is 2");
  is_refused(s.model(), with([](auto* o) { o->cache = PITH_PRECISION_F32; }), "option cache was 0 and is 1");
  is_refused(s.model(), with([](auto* o) { o->activations = PITH_PRECISION_F32; }),
             "option activations was 0 and is 1");
  is_refused(s.model(), with([](auto* o) { o->attention = PITH_ATTENTION_MATERIALISE; }),
             "option attention was 0 and is 1");
  is_refused(s.model(), with([](auto* o) { o->pool_bytes = PITH_POOL_NONE; }),
             "option pool_bytes, in rows, was 3 and is 0");
  // Positive control: the bytes of the model may lie elsewhere, threads and tier may be others.
  const Scenario same = small_scenarios(seed)[0];
  Session session(same.model(), with([](auto* o) {
                    o->max_threads = 2;
                    o->tier = "scalar";
                  }));
  session.restore(state);
  CHECK(session.save() == state);
}
