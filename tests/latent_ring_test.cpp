// The ring by itself: what it stores of a token in every shape of cache, and that no slot, layer or scalar touches another. The shapes are
// those that the picture in src/cache/latent_ring.h describes, written out.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cache/latent_ring.h"
#include "dispatch.h"
#include "raw_gguf.h"
#include "wide_scale.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

using Floats = std::vector<float>;

struct Kind {
  const char* name;
  Config config;
  Precision precision;
  // Of a token and layer: bytes of the two vectors, scalars by what they are, and numbers without padding.
  size_t latent_bytes, rope_bytes;
  int32_t n_latent_scales, n_rho, n_means, n_rope_scales;
  uint32_t elements;
};

Config latent_config(int32_t latent_width, Gate gate = Gate::none, GateNorm norm = GateNorm::none) {
  Config c = tiny_config();
  c.gate = gate;
  c.gate_norm = norm;
  c.n_layers = 2;
  c.latent_width = latent_width;
  c.rope_width = 6;
  return c;
}

Config mha_config(int32_t n_kv_heads, int32_t head_width) {
  Config c = tiny_config();
  c.attention = AttentionKind::mha;
  c.gate = Gate::none;
  c.gate_norm = GateNorm::none;
  c.n_layers = 2;
  c.n_heads = 4;
  c.n_kv_heads = n_kv_heads;
  c.content_width = c.latent_width = 0;
  c.rope_width = c.value_width = head_width;
  return c;
}

const std::vector<Kind>& kinds() {
  constexpr Precision i8 = Precision::i8, f32 = Precision::f32;
  static const std::vector<Kind> all = {
      {"one scale up to 64", latent_config(64), i8, 64, 6, 0, 1, 0, 1, 70},
      {"blocks from 72", latent_config(72), i8, 72, 6, 3, 0, 0, 1, 78},
      {"whole blocks", latent_config(128), i8, 128, 6, 4, 0, 0, 1, 134},
      {"gate", latent_config(40, Gate::up, GateNorm::none), i8, 40, 6, 0, 1, 0, 1, 46},
      {"gate, rms", latent_config(40, Gate::up, GateNorm::rms), i8, 40, 6, 0, 1, 0, 1, 46},
      {"gate, layer", latent_config(40, Gate::up, GateNorm::layer), i8, 40, 6, 0, 1, 1, 1, 46},
      {"gate, layer_split", latent_config(40, Gate::up, GateNorm::layer_split), i8, 40, 6, 0, 2, 2, 1, 46},
      {"wide gate, layer_split", latent_config(72, Gate::up, GateNorm::layer_split), i8, 72, 6, 3, 2, 2, 1, 78},
      {"wide gate, rms", latent_config(96, Gate::up, GateNorm::rms), i8, 96, 6, 3, 1, 0, 1, 102},
      {"gated latent", latent_config(40, Gate::latent, GateNorm::layer), i8, 40, 6, 0, 1, 0, 1, 46},
      {"float", latent_config(72), f32, 288, 24, 0, 0, 0, 0, 78},
      {"float gate, layer_split", latent_config(40, Gate::up, GateNorm::layer_split), f32, 160, 24, 0, 2, 2, 0, 46},
      {"float gate, rms", latent_config(40, Gate::up, GateNorm::rms), f32, 160, 24, 0, 1, 0, 0, 46},
      {"MHA, padded heads", mha_config(2, 40), i8, 128, 128, 2, 0, 0, 2, 160},
      {"MHA, whole blocks", mha_config(4, 32), i8, 128, 128, 4, 0, 0, 4, 256},
      {"MHA, float", mha_config(2, 40), f32, 320, 320, 0, 0, 0, 0, 160},
  };
  return all;
}

Plan plan_of(const Kind& kind, int32_t capacity, int32_t chunk) {
  Plan plan{};
  plan.form = kind.config.is_mha() ? AttentionForm::mha : AttentionForm::absorbed;
  plan.cache = kind.precision;
  plan.capacity = capacity;
  plan.n_keep = 1;
  plan.chunk = chunk;
  plan.kernels = choose_tier(nullptr);
  return plan;
}

// A ring in memory of exactly its size, which was not zero.
class Ring {
 public:
  Ring(const Kind& kind, int32_t capacity, int32_t chunk) {
    const Plan plan = plan_of(kind, capacity, chunk);
    Arena measure;
    ring_.lay_out(kind.config, plan, &measure);
    bytes = measure.used();
    memory_ = block_of(bytes);
    std::memset(memory_.get(), 0xa5, bytes);
    Arena arena(memory_.get());
    ring_.lay_out(kind.config, plan, &arena);
    n_slots = capacity + (chunk > 1 ? chunk : 0);
  }
  LatentRing* operator->() { return &ring_; }
  const LatentRing& get() const { return ring_; }
  Bytes slot(int32_t layer, int32_t slot) const {
    Bytes out(ring_.slot_bytes() + 1, 0x33);
    ring_.read_slot(layer, slot, out.data());
    CHECK(out.back() == 0x33);
    return out;
  }
  size_t bytes;
  int32_t n_slots;

 private:
  LatentRing ring_;
  Block memory_;
};

// What one token is, in one layer.
struct Token {
  Floats latent, rope, rho, mean;
};

Floats random_floats(int32_t n, float scale, std::mt19937_64* random) {
  std::normal_distribution<float> normal;
  Floats out(static_cast<size_t>(n));
  for (float& x : out) x = scale * normal(*random);
  return out;
}

Token random_token(const Kind& kind, std::mt19937_64* random) {
  const Config& c = kind.config;
  const int32_t heads = c.n_kv_heads * c.value_width;
  const float scale = std::exp2(float(int((*random)() % 40) - 20));
  Token token{random_floats(c.is_mha() ? heads : c.latent_width, scale, random),
              random_floats(c.is_mha() ? heads : c.rope_width, 1 / scale, random), random_floats(kind.n_rho, 1, random),
              random_floats(kind.n_means, 100, random)};
  for (float& x : token.rho) x = std::fabs(x) + 0.1f;
  return token;
}

// Blocks of `block` numbers, stored `stored` apart, give back x within half a step, which is the largest / 127 and at most 2^-9 more.
void check_integers(const int8_t* q, const Floats& scales, const Floats& x, int32_t block, int32_t stored) {
  for (size_t first = 0, b = 0; first < x.size(); first += size_t(block), ++b) {
    const size_t n = std::min(size_t(block), x.size() - first);
    float largest = 0;
    for (size_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[first + i]));
    REQUIRE(b < scales.size());
    CHECK(scales[b] >= largest / 127 * (1 - 1e-6f));
    CHECK(scales[b] <= largest / 127 * (1 + 0x1p-8f));
    for (size_t i = 0; i < n; ++i)
      CHECK(std::fabs(float(q[b * size_t(stored) + i]) * scales[b] - x[first + i]) <= scales[b] * 0.5001f);
    for (size_t i = n; i < size_t(stored) && block != stored; ++i) CHECK(q[b * size_t(stored) + i] == 0);
  }
}

Floats scalars(const Ring& ring, int32_t layer, int32_t slot, int32_t first, int32_t n) {
  Floats out(size_t(n) + 1, 77);
  if (n > 0)
    ring.get().gather_scalars(layer, &slot, 1, first, n, out.data(), n == 1 ? 2 : n);  // not the way of a stride of 1
  CHECK(out.back() == 77);
  out.pop_back();
  return out;
}

// Stores the token and returns the scale that rho must contain.
float store(Ring* ring, int32_t layer, int32_t slot, const Token& token) {
  const float inside = (*ring)->store(layer, slot, token.latent.data(), token.rope.data());
  (*ring)->store_rho(layer, slot, token.rho.data());
  (*ring)->store_mean(layer, slot, token.mean.data());
  return inside;
}

void check_token(const Kind& kind, Ring* ring, int32_t layer, int32_t slot, const Token& token, float inside) {
  const LatentRing& r = ring->get();
  const uint8_t* latent = r.latents_of(layer) + r.latent_stride() * size_t(slot);
  const uint8_t* rope = r.ropes_of(layer) + r.rope_stride() * size_t(slot);
  const CacheShape& shape = r.shape();
  if (kind.precision == Precision::f32) {
    CHECK(inside == 1);
    CHECK(std::memcmp(latent, token.latent.data(), token.latent.size() * sizeof(float)) == 0);
    CHECK(std::memcmp(rope, token.rope.data(), token.rope.size() * sizeof(float)) == 0);
  } else {
    const int8_t *q = reinterpret_cast<const int8_t*>(latent), *k = reinterpret_cast<const int8_t*>(rope);
    const Floats rope_scales = scalars(*ring, layer, slot, shape.rope_scale_at(), kind.n_rope_scales);
    if (kind.config.is_mha()) {
      const int32_t head = kind.config.value_width, stored = (head + 31) / 32 * 32;
      check_integers(q, scalars(*ring, layer, slot, 0, kind.n_latent_scales), token.latent, head, stored);
      check_integers(k, rope_scales, token.rope, head, stored);
    } else {
      const bool is_narrow = kind.n_latent_scales == 0;
      const int32_t block = is_narrow ? kind.config.latent_width : 32;
      check_integers(q, is_narrow ? Floats{inside} : scalars(*ring, layer, slot, 0, kind.n_latent_scales), token.latent,
                     block, block);
      check_integers(k, rope_scales, token.rope, kind.config.rope_width, kind.config.rope_width);
      CHECK((inside == 1) == !is_narrow);
      CHECK(r.latent_integers(layer, slot) == q);
    }
  }
  if (kind.config.is_mha()) return;
  Floats latent_out(token.latent.size() + 1, 77), rho(token.rho.size() + 1, 77), mean(token.mean.size() + 1, 77),
      scales(size_t(kind.n_latent_scales) + 1, 77);
  r.load_latent(layer, slot, latent_out.data());
  r.load_rho(layer, slot, rho.data());
  r.load_mean(layer, slot, mean.data());
  r.load_latent_scales(layer, slot, scales.data());
  CHECK((latent_out.back() == 77 && rho.back() == 77 && mean.back() == 77 && scales.back() == 77));
  scales.pop_back();
  CHECK(scales == scalars(*ring, layer, slot, 0, kind.n_latent_scales));
  for (size_t i = 0; i < token.latent.size(); ++i) {
    const bool is_exact = kind.precision == Precision::f32;
    const float step = is_exact ? 0 : kind.n_latent_scales == 0 ? inside : scales[i / 32];
    CHECK(std::fabs(latent_out[i] * (kind.n_latent_scales == 0 ? inside : 1) - token.latent[i]) <= 0.5001f * step);
  }
  const float error = kind.precision == Precision::f32 ? 0 : 0x1p-10f;
  for (size_t i = 0; i < token.rho.size(); ++i) CHECK(std::fabs(rho[i] - token.rho[i]) <= error * token.rho[i]);
  for (size_t i = 0; i < token.mean.size(); ++i)
    CHECK(std::fabs(mean[i] - token.mean[i]) <= error * std::fabs(token.mean[i]));
}

}  // namespace

TEST_CASE("ring: what a token takes, in every shape of cache") {
  for (const Kind& kind : kinds()) {
    CAPTURE(std::string(kind.name));
    for (const int32_t chunk : {1, 3}) {
      Ring ring(kind, 5, chunk);
      const CacheShape& shape = ring.get().shape();
      const size_t n_scalars = size_t(kind.n_latent_scales + kind.n_rho + kind.n_means + kind.n_rope_scales);
      const size_t scalar = kind.precision == Precision::i8 ? 2 : 4;
      CHECK(ring.get().latent_stride() == kind.latent_bytes);
      CHECK(ring.get().rope_stride() == kind.rope_bytes);
      CHECK(shape.n_latent_scales == kind.n_latent_scales);
      CHECK(shape.n_rho == kind.n_rho);
      CHECK(shape.n_means == kind.n_means);
      CHECK(shape.n_rope_scales == kind.n_rope_scales);
      CHECK(shape.elements == kind.elements);
      CHECK(ring.get().slot_bytes() == kind.latent_bytes + kind.rope_bytes + n_scalars * scalar);
      const RingBytes bytes = ring_bytes(kind.config, plan_of(kind, 5, chunk));
      CHECK(bytes.per_token == 2 * ring.get().slot_bytes());
      CHECK(bytes.elements_per_token == 2 * kind.elements);
      CHECK(bytes.cache == Ring(kind, 5, 1).bytes);
      // Two layers; kernels may read 63 bytes after the vectors; arrays begin at multiples of 64.
      const auto block = [](size_t n) { return (n + kGapBytes + 63) / 64 * 64; };
      const size_t rows = 2 * size_t(ring.n_slots);
      CHECK(ring.bytes == block(rows * kind.latent_bytes + 64) + block(rows * kind.rope_bytes + 64) +
                              block(rows * n_scalars * scalar));
    }
  }
}

TEST_CASE("ring: every slot of every layer gives back its own token, whatever the others hold") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Kind& kind : kinds()) {
    CAPTURE(std::string(kind.name));
    Ring ring(kind, 5, 3);
    std::vector<Token> tokens;
    Floats inside;
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (int32_t slot = 0; slot < ring.n_slots; ++slot) {
        tokens.push_back(random_token(kind, &random));
        inside.push_back(store(&ring, layer, slot, tokens.back()));
      }
    }
    for (int32_t layer = 1; layer >= 0; --layer) {
      for (int32_t slot = 0; slot < ring.n_slots; ++slot) {
        const size_t i = size_t(layer * ring.n_slots + slot);
        check_token(kind, &ring, layer, slot, tokens[i], inside[i]);
      }
    }
  }
}

TEST_CASE("ring: means beyond fp16 keep their sign and stay finite") {
  const Kind& kind = kinds()[6];
  std::mt19937_64 random(1);
  Ring ring(kind, 3, 1);
  Token token = random_token(kind, &random);
  const std::pair<float, float> cases[] = {{65504, 65504},   {65505, 65504}, {1e30f, 65504}, {-65504, -65504},
                                           {-1e30f, -65504}, {0, 0},         {65472, 65472}};
  for (const auto& [mean, stored] : cases) {
    token.mean = {mean, -mean};
    store(&ring, 1, 2, token);
    float out[2];
    ring->load_mean(1, 2, out);
    CHECK(out[0] == stored);
    CHECK(out[1] == -stored);
  }
  const Kind& exact = kinds()[11];
  Ring floats(exact, 3, 1);
  Token large = random_token(exact, &random);
  large.mean = {1e30f, -1e30f};
  store(&floats, 0, 0, large);
  float out[2];
  floats->load_mean(0, 0, out);
  CHECK(out[0] == 1e30f);
  CHECK(out[1] == -1e30f);
}

TEST_CASE("ring: scalars of many slots at once are those of each") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Kind& kind : kinds()) {
    CAPTURE(std::string(kind.name));
    Ring ring(kind, 140, 1);
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (int32_t slot = 0; slot < 140; ++slot) store(&ring, layer, slot, random_token(kind, &random));
    }
    const int32_t n_scalars = ring.get().shape().n_scalars();
    for (const int32_t n_slots : {1, 2, 63, 64, 65, 127, 128, 129}) {
      std::vector<int32_t> slots(static_cast<size_t>(n_slots));
      for (int32_t& slot : slots) slot = int32_t(random() % 140);
      for (int32_t first = 0; first < n_scalars; ++first) {
        for (int32_t n = 1; first + n <= n_scalars; ++n) {
          for (const int32_t stride : {n, n + 1, n + 5}) {
            Floats out(size_t(n_slots * stride) + 1, 77), one(static_cast<size_t>(n));
            ring->gather_scalars(1, slots.data(), n_slots, first, n, out.data(), stride);
            CHECK(out.back() == 77);
            for (int32_t i = 0; i < n_slots; ++i) {
              ring->gather_scalars(1, &slots[size_t(i)], 1, first, n, one.data(), 8);
              bool is_same = true;
              for (int32_t j = 0; j < n; ++j) is_same = is_same && out[size_t(i * stride + j)] == one[size_t(j)];
              for (int32_t j = n; j < stride && i + 1 < n_slots; ++j)
                is_same = is_same && out[size_t(i * stride + j)] == 77;
              CHECK(is_same);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("ring: scales of many slots, for every head that reads them, are those of each") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Kind& kind : kinds()) {
    if (!kind.config.is_mha() || kind.precision == Precision::f32) continue;
    CAPTURE(std::string(kind.name));
    Ring ring(kind, 20, 1);
    for (int32_t slot = 0; slot < 20; ++slot) store(&ring, 1, slot, random_token(kind, &random));
    const int32_t slots[] = {7, 0, 19, 7, 3}, n_slots = 5, first = ring.get().shape().rope_scale_at();
    const int32_t n = kind.n_rope_scales;
    for (int32_t copies = 1; copies < 18; ++copies) {
      for (const int32_t stride : {n * copies, n * copies + 5}) {
        std::vector<uint16_t> out(size_t(n_slots * stride + LatentRing::kSpreadSlack) + 1, 0x7777);
        ring->spread_scales(1, slots, n_slots, first, n, copies, out.data(), stride);
        CHECK(out.back() == 0x7777);
        for (int32_t i = 0; i < n_slots; ++i) {
          const Floats each = scalars(ring, 1, slots[i], first, n);
          for (int32_t j = 0; j < n * copies; ++j)
            CHECK(scale_to_float(out[size_t(i * stride + j)]) == each[size_t(j / copies)]);
        }
      }
    }
  }
}

TEST_CASE("ring: a slot's bytes are put aside, put back, moved and copied, and no other slot changes") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Kind& kind : kinds()) {
    CAPTURE(std::string(kind.name));
    Ring ring(kind, 4, 2), other(kind, 4, 5);  // other chunks: rows of the layers are further apart
    const auto all = [&](const Ring& of) {
      std::vector<Bytes> out;
      for (int32_t layer = 0; layer < 2; ++layer) {
        for (int32_t slot = 0; slot < of.n_slots; ++slot) out.push_back(of.slot(layer, slot));
      }
      return out;
    };
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (int32_t slot = 0; slot < ring.n_slots; ++slot) store(&ring, layer, slot, random_token(kind, &random));
    }
    std::vector<Bytes> expected = all(ring);
    const auto at = [&](int32_t layer, int32_t slot) -> Bytes& {
      return expected[size_t(layer * ring.n_slots + slot)];
    };
    CHECK(ring->staged_slot(1) == 5);
    ring->move(1, 5, 0);
    at(1, 0) = at(1, 5);
    CHECK(all(ring) == expected);
    const Bytes aside = ring.slot(0, 3);
    ring->write_slot(1, 2, aside.data());
    at(1, 2) = at(0, 3);
    CHECK(all(ring) == expected);
    const std::vector<Bytes> before = all(other);
    other->copy_from(ring.get(), 3);
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (int32_t slot = 0; slot < other.n_slots; ++slot)
        CHECK(other.slot(layer, slot) == (slot < 3 ? at(layer, slot) : before[size_t(layer * other.n_slots + slot)]));
    }
    CHECK(all(ring) == expected);
    // -128, which products exclude, in any byte of an int8 vector; scalars and floats may hold any bytes.
    Bytes bytes = ring.slot(0, 1);
    CHECK(ring->is_slot(bytes.data()));
    for (size_t i = 0; i < ring->slot_bytes(); ++i) {
      const uint8_t was = bytes[i];
      bytes[i] = 0x80;
      const bool is_vector = i < ring->latent_stride() + ring->rope_stride();
      CHECK(ring->is_slot(bytes.data()) == !(kind.precision == Precision::i8 && is_vector));
      bytes[i] = was;
    }
  }
}
