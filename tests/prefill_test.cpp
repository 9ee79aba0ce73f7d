// Prompts computed chunk by chunk: where keys and values are recomputed or cached as they are, to the bits of decoding
// token by token, whatever the chunks; otherwise as close as the two forms of attention are.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "agreement.h"
#include "golden_file.h"
#include "guarded_memory.h"
#include "quick.h"
#include "random_model.h"
#include "reference/reference_model.h"
#include "session/session.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// The logits after each of several evaluations, which together take all tokens.
struct Cut {
  std::vector<size_t> ends;
  explicit Cut(size_t n, std::mt19937_64* random) {
    for (size_t at = 0; at < n;) {
      const size_t most[] = {1, 3, 9, 40, 150};
      at = std::min(n, at + 1 + (*random)() % most[(*random)() % std::size(most)]);
      ends.push_back(at);
    }
  }
};

std::vector<std::vector<float>> logits_at_ends(Session* session, const std::vector<int32_t>& tokens, const Cut& cut) {
  std::vector<std::vector<float>> out;
  size_t first = 0;
  for (const size_t end : cut.ends) {
    session->eval(std::span(tokens).subspan(first, end - first));
    out.emplace_back(session->logits().begin(), session->logits().end());
    first = end;
  }
  return out;
}

}  // namespace

TEST_CASE("a prompt in chunks gives the bits of its tokens one by one: every variant, precision, ring") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  struct {
    const char* type;
    uint32_t cache, activations;
  } const precisions[] = {
      {"q4", PITH_PRECISION_I8, PITH_PRECISION_I8},    {"q8", PITH_PRECISION_I8, PITH_PRECISION_F32},
      {"f32", PITH_PRECISION_F32, PITH_PRECISION_F32}, {"f32", PITH_PRECISION_I8, PITH_PRECISION_I8},
      {"q4", PITH_PRECISION_F32, PITH_PRECISION_I8},   {"q4m", PITH_PRECISION_I8, PITH_PRECISION_I8},
      {"q4m", PITH_PRECISION_F32, PITH_PRECISION_F32}};
  const struct { uint32_t capacity, n_keep; } rings[] = {{400, 0}, {200, 0}, {210, 70}, {65, 1}};
  const uint64_t n_share = is_quick() ? 50 : 5;
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    for (const auto& p : precisions) {
      const Runtime runtime = runtime_of(spec, p.type);
      for (const auto& ring : rings) {
        if (random() % n_share != 0) continue;  // a share of the cross product, another one in every run
        const std::vector<int32_t> tokens = random_tokens(330, spec.config.vocab_size, random());
        pith_session_options options = session_options();
        options.capacity = ring.capacity;
        options.n_keep = ring.n_keep;
        options.cache = p.cache;
        options.activations = p.activations;
        options.attention = PITH_ATTENTION_MATERIALISE;
        options.chunk = 1;
        CAPTURE(p.type);
        CAPTURE(p.cache);
        CAPTURE(p.activations);
        CAPTURE(ring.capacity);
        CAPTURE(ring.n_keep);
        const std::vector<std::vector<float>> expected = all_logits(runtime.model, tokens, options);
        const uint32_t chunks[] = {2, 10, 64, 100, 0};
        options.chunk = chunks[random() % std::size(chunks)];
        options.max_threads = 1 + uint32_t(random() % 3);
        CAPTURE(options.chunk);
        CAPTURE(options.max_threads);
        const Cut cut(tokens.size(), &random);
        Session session(runtime.model, options);
        const std::vector<std::vector<float>> found = logits_at_ends(&session, tokens, cut);
        size_t n_same = 0;
        for (size_t i = 0; i < found.size(); ++i) n_same += same_bits(found[i], expected[cut.ends[i] - 1]);
        CHECK(n_same == found.size());
      }
    }
  }
}

// What every chunk and layer reports, and a session that is cancelled at one of these reports.
struct Progress {
  pith_session* session = nullptr;
  size_t cancel_at = 0;  // reports; 0: never
  std::vector<std::pair<uint64_t, uint64_t>> reports;

  void add_to(pith_session_options* options) {
    options->progress_context = this;
    options->progress = [](void* opaque, uint64_t done, uint64_t total) {
      Progress* p = static_cast<Progress*>(opaque);
      p->reports.emplace_back(done, total);
      if (p->reports.size() == p->cancel_at) pith_session_cancel(p->session);
    };
  }
};

TEST_CASE("progress is reported after every layer of every chunk") {
  const Runtime runtime = runtime_of(gated_spec("egmla", GateNorm::layer));
  pith_session_options options = session_options();
  options.chunk = 50;
  Progress progress;
  progress.add_to(&options);
  Session session(runtime.model, options);
  session.eval(random_tokens(123, 300, 1));  // 50 + 50 + 23 tokens, 3 layers
  std::vector<std::pair<uint64_t, uint64_t>> expected;
  for (const uint64_t n : {50, 100, 150, 200, 250, 300, 323, 346, 369}) expected.emplace_back(n, 369);
  CHECK(progress.reports == expected);
  progress.reports.clear();
  session.eval(std::vector<int32_t>{1, 2, 3});  // too few for a chunk
  CHECK(progress.reports.empty());
}

TEST_CASE(
    "a prompt that is cancelled stands at its last whole chunk, within a layer, and goes on as if nothing had been") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    pith_session_options options = s.options;
    options.chunk = 10;
    options.max_threads = 1 + seed % 2;
    Progress progress;
    progress.add_to(&options);
    Session session(s.model(), options), undisturbed(s.model(), options);
    const size_t n_layers = size_t(s.spec.config.n_layers), n_run = 35;
    const std::vector<int32_t> before = few_ids(s.n_before, random()), run = few_ids(n_run, random());
    progress.session = session.get();
    undisturbed.eval(before);
    const Bytes start = saved(undisturbed.get());
    session.restore(start);
    progress.reports.clear();
    progress.cancel_at = 1 + random() % (3 * n_layers);
    CHECK(int(pith_session_eval(session.get(), run.data(), run.size(), nullptr)) == int(PITH_E_CANCELLED));
    CHECK(progress.reports.size() == progress.cancel_at);  // not one layer more
    const size_t n_done = (progress.cancel_at - 1) / n_layers * 10;
    CHECK(session.position() == s.n_before + n_done);
    CHECK(session.logits().empty() == (n_done > 0));
    progress.cancel_at = 0;
    if (n_done > 0) undisturbed.eval(std::span(run).first(n_done));
    const Bytes a = saved(session.get()), b = saved(undisturbed.get());
    CHECK(std::equal(a.begin() + state_at::kCache,
                     a.begin() + state_at::kCache + int64_t(word_at(a, state_at::kCacheBytes)),
                     b.begin() + state_at::kCache));
    const std::span<const int32_t> rest = std::span(run).subspan(n_done);
    session.eval(rest);
    undisturbed.eval(rest);
    CHECK(same_bits(session.logits(), undisturbed.logits()));
    CHECK(saved(session.get()) == saved(undisturbed.get()));
  }
}

// The pool after a prompt holds what decoding would have put there, row by row.
TEST_CASE("decoding after a prompt reads the same groups and rows as after its tokens one by one") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    pith_session_options options = s.options;
    options.chunk = 0;
    Session prompt(s.model(), options), restored(s.model(), options);
    const std::vector<int32_t> tokens = few_ids(s.n_before, seed);
    prompt.eval(tokens);
    restored.restore(saved(prompt.get()));  // rows made from the latents alone
    options.chunk = 1;
    Session one_by_one(s.model(), options);
    one_by_one.eval(tokens);
    const Bytes a = saved(prompt.get()), b = saved(one_by_one.get());
    CHECK(word_at(a, state_at::kCacheBytes) == word_at(b, state_at::kCacheBytes));
    const size_t latents = size_t(s.spec.config.n_layers) * std::min(s.n_before, size_t(kScenarioCapacity)) *
                           prompt.get()->transformer.cache().ring().slot_bytes();
    const auto groups = [&](const Bytes& state) {
      return Bytes(state.begin() + int64_t(state_at::kCache + latents),
                   state.begin() + int64_t(state_at::kCache + word_at(state, state_at::kCacheBytes)));
    };
    CHECK(groups(a) == groups(b));
    for (int i = 0; i < 20; ++i) {
      const int32_t id = int32_t(random() % 60);
      prompt.eval(id);
      restored.eval(id);
      CHECK(same_bits(prompt.logits(), restored.logits()));
    }
  }
}

// Half of a text as a prompt, the other half decoded: against the whole decoded. Some 2 % of the most likely tokens
// change, by chance either way, so that one window of text is too little to tell. PITH_QUICK reads one, for the mean.
TEST_CASE("decoding after a prompt agrees with decoding alone: the built-in model on text, int8") {
  const Runtime runtime(read_golden("../../tools/model/m.q4.gguf"));
  const Bytes text = read_golden("tale.txt");
  const std::vector<int32_t> all =
      Tokenizer(runtime.model).encode({reinterpret_cast<const char*>(text.data()), text.size()});
  constexpr size_t kWindow = 512;
  const size_t n_windows = is_quick() ? 1 : 4;
  REQUIRE(all.size() >= n_windows * kWindow);
  pith_session_options options = session_options();
  options.capacity = 513;
  options.max_threads = 2;
  std::vector<std::vector<float>> expected, found;
  for (size_t w = 0; w < n_windows; ++w) {
    const std::vector<int32_t> tokens(all.begin() + int64_t(w * kWindow), all.begin() + int64_t((w + 1) * kWindow));
    const std::vector<std::vector<float>> decoded = all_logits(runtime.model, tokens, options);
    expected.insert(expected.end(), decoded.begin() + 255, decoded.end());
    Session session(runtime.model, options);
    session.eval(std::span(tokens).first(256));
    found.emplace_back(session.logits().begin(), session.logits().end());
    for (size_t t = 256; t < tokens.size(); ++t) {
      session.eval(tokens[t]);
      found.emplace_back(session.logits().begin(), session.logits().end());
    }
  }
  const Agreement agreed = agreement(expected, found);
  MESSAGE("mean KL ", agreed.kl_mean, ", top-1 agreement ", agreed.top1);
  if (!is_quick()) CHECK(agreed.top1 >= 0.97);
  CHECK(agreed.kl_mean < 0.0005);
}

// tests/attention_test.cpp derives the bound.
TEST_CASE("prompts in the default form equal the oracle in float32, through a ring that wraps") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  double worst = 0;
  for (SynthSpec spec : some_variants()) {
    CAPTURE(spec.name);
    spec.seed = seed;
    const Bytes floats = synth_float(spec);
    const Runtime runtime = runtime_of(spec, "f32");
    pith_session_options options = exact_options();
    options.capacity = 100;
    options.n_keep = 20;
    options.chunk = 70;
    const std::vector<int32_t> tokens = random_tokens(190, spec.config.vocab_size, random());
    const ReferenceModel oracle(floats);
    const Matrix expected = oracle.ring_logits(tokens, options.capacity, options.n_keep);
    if (!is_sure(oracle)) continue;
    const Cut cut(tokens.size(), &random);
    Session session(runtime.model, options);
    const std::vector<std::vector<float>> found = logits_at_ends(&session, tokens, cut);
    for (size_t i = 0; i < found.size(); ++i) {
      const Vector x = as_vector(found[i]), y = expected.row(int64_t(cut.ends[i]) - 1).transpose();
      worst = std::max(worst, (x - y).norm() / y.norm());
    }
  }
  MESSAGE("worst relative error ", worst);
  CHECK(worst < 2e-5);
}

// The whole block is used, and nothing beside it: its size is what a prompt needs at most.
TEST_CASE("a prompt writes up to the end of its session's memory, and not behind") {
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    const Runtime runtime = runtime_of(spec);
    pith_session_options options = session_options();
    options.capacity = 200;
    options.chunk = 128;
    options.max_threads = 1;  // whichever thread comes first may do all of a short prompt
    GuardedSession guarded(runtime.model, options, 0xa5);
    for (int i = 0; i < 3; ++i) {
      const std::vector<int32_t> tokens = random_tokens(128, 300, uint64_t(i));
      REQUIRE(int(pith_session_eval(guarded.session, tokens.data(), tokens.size(), nullptr)) == int(PITH_OK));
    }
    CHECK(guarded.guards_hold());
    unpoison(guarded.block.get() + GuardedSession::kGuard, guarded.bytes);
    size_t high_water = guarded.bytes;
    while (high_water > 0 && guarded.block.get()[GuardedSession::kGuard + high_water - 1] == 0xa5) --high_water;
    MESSAGE(spec.name, ": ", high_water, " of ", guarded.bytes);
    CHECK(guarded.bytes - high_water < 4096);
  }
}
