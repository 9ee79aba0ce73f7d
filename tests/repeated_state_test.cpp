// Contexts that pith bench makes by repeating cached rows: the rows are where they belong, and nothing else is changed.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "repeated_state.h"
#include "session/session.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

constexpr int32_t kCapacity = 64;

Runtime small_runtime(const char* kind, uint64_t seed) {
  SynthSpec spec = std::strcmp(kind, "egmla") == 0 ? gated_spec(kind, GateNorm::layer) : small_spec(kind);
  if (spec.name == "mha") set_mha(&spec.config, 2, 1);
  spec.seed = seed;
  return runtime_of(spec, "q8");
}

pith_session_options options_of(int32_t capacity) {
  pith_session_options options = session_options();
  options.capacity = uint32_t(capacity);
  return options;
}

Bytes row_of(Session& session, int32_t layer, int32_t slot) {
  const LatentRing& ring = session.get()->transformer.cache().ring();
  Bytes row(ring.slot_bytes());
  ring.read_slot(layer, slot, row.data());
  return row;
}

}  // namespace

TEST_CASE("repeated state: every token has the rows of the one that it repeats, in every layer") {
  const uint64_t seed = std::random_device()();
  INFO("seed ", seed);
  for (const char* kind : {"mla", "mha"}) {
    INFO("kind ", kind);
    const Runtime runtime = small_runtime(kind, seed);
    Session short_one(runtime.model, options_of(kCapacity)), deep(runtime.model, options_of(kCapacity));
    const int32_t vocab_size = int32_t(runtime.model.info().vocab_size);
    for (const int32_t n : {1, 7, 16}) {
      const std::vector<int32_t> ids = random_tokens(size_t(n), vocab_size, seed + uint64_t(n));
      short_one.reset();
      short_one.eval(ids);
      for (const int32_t depth : {n, n + 1, 3 * n, kCapacity - 1}) {
        deep.restore(cli::repeated_state(runtime.model, short_one.save(), uint64_t(depth)));
        REQUIRE(deep.position() == uint64_t(depth));
        size_t n_equal = 0, n_rows = 0;
        for (int32_t layer = 0; layer < int32_t(runtime.model.info().n_layers); ++layer) {
          for (int32_t slot = 0; slot < depth; ++slot, ++n_rows)
            n_equal += row_of(deep, layer, slot) == row_of(short_one, layer, slot % n) ? 1 : 0;
        }
        CHECK(n_equal == n_rows);
        CHECK(std::equal(deep.logits().begin(), deep.logits().end(), short_one.logits().begin()));
        deep.eval(ids[0]);  // and it goes on
        CHECK(deep.position() == uint64_t(depth) + 1);
      }
    }
  }
}

TEST_CASE("repeated state: as deep as it was it is the same state") {
  const Runtime runtime = small_runtime("mla", 3);
  Session session(runtime.model, options_of(kCapacity));
  session.eval(random_tokens(20, int32_t(runtime.model.info().vocab_size), 3));
  const std::vector<uint8_t> state = session.save();
  CHECK(cli::repeated_state(runtime.model, state, 20) == state);
}

TEST_CASE("repeated state: refused are gated models, empty sessions and what is no state") {
  const Runtime gated = small_runtime("egmla", 4), latent = small_runtime("mla", 4);
  Session with_gates(gated.model, options_of(kCapacity)), empty(latent.model, options_of(kCapacity));
  with_gates.eval(1);
  CHECK_THROWS_WITH(static_cast<void>(cli::repeated_state(gated.model, with_gates.save(), 8)),
                    "option --fill: a gated model's cache is grouped by token ids, and takes a prompt alone");
  CHECK_THROWS_WITH(static_cast<void>(cli::repeated_state(latent.model, empty.save(), 8)),
                    "state: not of a session that holds tokens");
  CHECK_THROWS_WITH(static_cast<void>(cli::repeated_state(latent.model, std::vector<uint8_t>(50), 8)),
                    "state: not of a session");
}
