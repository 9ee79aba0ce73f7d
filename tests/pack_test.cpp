// From float files to packed files: what is copied, converted, hashed and refused.
#include "pack.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "file_hash.h"
#include "gguf_source.h"
#include "opened_file.h"
#include "sentences.h"
#include "sha256.h"
#include "synth.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::quantize;
using namespace pith::test;

namespace {

SynthSpec small_spec() {
  SynthSpec spec;
  spec.name = "small";
  spec.config = tiny_config();
  spec.config.n_layers = 2;
  spec.config.width = 24;
  spec.config.n_heads = spec.config.n_kv_heads = 3;
  spec.config.feed_forward_width = 40;
  spec.config.vocab_size = 260;
  return spec;
}

// One tensor on its way from a float file to another.
struct Tensor {
  std::string name;
  TensorType type;
  std::vector<uint64_t> dims;
  Bytes data;
  bool keep = true;
};

// Copies a float file; `edit` may change every tensor, `finish` may add to the end.
Bytes rewritten(const Bytes& file, const std::function<void(Tensor*)>& edit,
                const std::function<void(GgufWriter*)>& finish = {}) {
  const OpenedFile in(file, false);
  GgufWriter out;
  std::vector<Tensor> tensors(in.file.n_tensors());
  for (size_t i = 0; i < in.file.n_meta(); ++i) out.add_entry(in.file.meta(i));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorEntry& t = in.file.tensor(i);
    tensors[i] = {std::string(t.name), t.type, {t.dims, t.dims + t.n_dims}, Bytes(t.data, t.data + t.bytes)};
    edit(&tensors[i]);
    if (tensors[i].keep) out.add_tensor(tensors[i].name, tensors[i].type, tensors[i].dims, tensors[i].data);
  }
  if (finish) finish(&out);
  return out.bytes();
}

void nothing(Tensor*) {}

// The sentence of the error, or "" if the file packs.
std::string refusal(const Bytes& file) {
  return thrown_by([&] { pack_model(file.data(), file.size(), pack_options("q4")); });
}

void set_float(Tensor* t, size_t index, float value) { std::memcpy(t->data.data() + 4 * index, &value, sizeof value); }

}  // namespace

TEST_CASE("a packed file keeps the metadata and says what every tensor is") {
  const Bytes input = synth_float(small_spec());
  const OpenedFile in(input, false);
  for (const std::string type : {"q4", "q4m", "q8", "f32"}) {
    CAPTURE(type);
    const OpenedFile out(pack_model(input.data(), input.size(), pack_options(type)), true);
    for (size_t i = 0; i < in.file.n_meta(); ++i) {
      const MetaEntry& entry = in.file.meta(i);
      const MetaEntry* copy = out.file.find_meta(entry.key);
      CAPTURE(std::string(entry.key));
      REQUIRE(copy != nullptr);
      CHECK(std::string_view(reinterpret_cast<const char*>(copy->value), copy->value_bytes) ==
            std::string_view(reinterpret_cast<const char*>(entry.value), entry.value_bytes));
    }
    CHECK(out.config.folded);
    CHECK(out.file.n_tensors() == in.file.n_tensors() + 2);  // attn_output.bias, from beta, in both layers
    uint64_t alignment = 0;
    REQUIRE(out.file.get_uint("general.alignment", &alignment, nullptr, nullptr) == PITH_OK);
    CHECK(alignment == 64);
    for (size_t i = 0; i < out.file.n_tensors(); ++i) {
      const TensorEntry& t = out.file.tensor(i);
      CAPTURE(std::string(t.name));
      CHECK(t.sha256 == sha256_hex(t.data, t.bytes));
      if (t.is_vector) continue;
      const bool is_embedding = t.name == "token_embd.weight" || t.name == "output.weight";
      CHECK(t.packed_type == (type == "f32"                  ? WeightType::f32
                              : type == "q8" || is_embedding ? WeightType::q8
                              : type == "q4m"                ? WeightType::q4m
                                                             : WeightType::q4));
    }
  }
}

TEST_CASE("sha256 of the empty string and of abc") {  // FIPS 180-2
  CHECK(sha256_hex("", 0) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc", 3) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("float16 and bfloat16 are read exactly") {
  const Bytes input = synth_float(small_spec());
  const std::string name = "blk.1.ffn_down.weight";
  for (const TensorType type : {TensorType::f16, TensorType::bf16}) {
    std::vector<float> expected;
    const Bytes converted = rewritten(input, [&](Tensor* t) {
      if (t->name != name) return;
      Bytes data;
      for (size_t i = 0; i < t->data.size() / 4; ++i) {
        const uint32_t bits = read_le<uint32_t>(t->data.data() + 4 * i);
        const uint16_t half =
            type == TensorType::f16 ? float_to_half(read_le<float>(t->data.data() + 4 * i)) : uint16_t(bits >> 16);
        put(&data, half);
        const uint32_t wide = uint32_t(half) << 16;
        expected.push_back(type == TensorType::f16 ? half_to_float(half)
                                                   : read_le<float>(reinterpret_cast<const uint8_t*>(&wide)));
      }
      t->type = type;
      t->data = data;
    });
    const OpenedFile out(pack_model(converted.data(), converted.size(), pack_options("f32")), true);
    const TensorEntry* t = out.file.find_tensor(std::string_view(name));
    REQUIRE(t != nullptr);
    for (uint32_t row = 0; row < t->rows; ++row)
      for (uint32_t col = 0; col < t->cols; ++col)
        REQUIRE(packed_element(WeightType::f32, t->data, row, col, t->cols) == expected[row * t->cols + col]);
  }
}

TEST_CASE("what is missing, misshaped, foreign or not a number is refused by name") {
  const Bytes good = rewritten(synth_float(small_spec()), nothing);
  CHECK(refusal(good) == "");  // the positive control of all that follow
  const auto refused = [&](const std::string& name, const std::function<void(Tensor*)>& edit) {
    return refusal(rewritten(good, [&](Tensor* t) {
      if (t->name == name) edit(t);
    }));
  };
  const std::string q = "blk.1.attn_q.weight", norm = "blk.0.attn_gate_norm.weight";
  CHECK(refused(q, [](Tensor* t) { t->keep = false; }) == "tensor blk.1.attn_q.weight: missing");
  CHECK(
      contains(refused(q, [](Tensor* t) { t->name = "blk.1.attn_q.weights"; }), "tensor blk.1.attn_q.weight: missing"));
  CHECK(contains(refused(q, [](Tensor* t) { std::swap(t->dims[0], t->dims[1]); }), "tensor " + q + ": 24 x 30"));
  CHECK(contains(refused(q, [](Tensor* t) { t->dims = {24 * 30}; }), "tensor " + q));
  CHECK(contains(refused(q,
                         [](Tensor* t) {
                           t->type = TensorType::i8;
                           t->data.resize(24 * 30);
                         }),
                 "tensor " + q + ": is not a float"));
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(refused(q, [&](Tensor* t) { set_float(t, 17, infinity); }) == "tensor " + q + ": element 17 is not finite");
  CHECK(refused(norm, [](Tensor* t) { set_float(t, 3, std::nanf("")); }) ==
        "tensor " + norm + ": element 3 is not finite");
  CHECK(contains(refused(q, [](Tensor* t) { set_float(t, 17, 1e7f); }), "tensor " + q + ": its weights are too large"));
  const float extra[4] = {};
  CHECK(refusal(rewritten(good, nothing, [&](GgufWriter* out) {
          out->add_tensor_f32("blk.0.attn_q_norm.weight", {4}, extra);
        })) == "tensor blk.0.attn_q_norm.weight: not a tensor of this configuration");
  CHECK(refusal(rewritten(good, nothing, [&](GgufWriter* out) {
          out->add_tensor_f32("rope_factors_long.weight", {4}, extra);
        })) == "");
}

namespace {

// All weights of a tensor times a power of two.
Bytes with_scaled(const Bytes& file, const std::string& name, float factor) {
  return rewritten(file, [&](Tensor* t) {
    for (size_t i = 0; t->name == name && i < t->data.size() / 4; ++i) {
      float x;
      std::memcpy(&x, t->data.data() + 4 * i, sizeof x);
      set_float(t, i, x * factor);
    }
  });
}

}  // namespace

TEST_CASE("weights of any size pack, or are refused by name: 1e-12 to 1e12") {
  const Bytes good = synth_float(small_spec());
  const std::string name = "blk.1.ffn_up.weight";
  size_t n_packed = 0;
  for (const char* type : {"q4", "q4m", "q8", "f32"}) {
    for (int exponent = -40; exponent <= 40; exponent += 5) {
      CAPTURE(std::string(type));
      CAPTURE(exponent);
      const Bytes file = with_scaled(good, name, std::ldexp(1.0f, exponent));
      PackReport report;
      std::string why;
      try {
        std::vector<uint8_t> packed;
        const GgufSource source({{file.data(), file.size()}});
        report = pack_model(source, pack_options(type), into(&packed));
      } catch (const std::runtime_error& error) {
        why = error.what();
      }
      const bool is_f32 = std::string(type) == "f32";
      if (why.empty()) {
        for (const PackedMatrices& line : report) CHECK((is_f32 || line.relative_error() < 0.13));
        ++n_packed;
      } else {
        CHECK(!is_f32);
        CHECK(contains(why, exponent < 0 ? "tensor " + name + ": its weights are too small for fp16 scales"
                                         : "tensor " + name + ": its weights are too large"));
      }
      if (exponent >= -10 && exponent <= 15) CHECK(why == "");
    }
  }
  CHECK(n_packed >= 4 * 6 + 11);
  MESSAGE(n_packed, " of 68 were packed");
}

TEST_CASE("what is folded beyond float32 is refused by name") {
  SynthSpec spec = small_spec();
  spec.config.gate = Gate::up;
  spec.config.gate_norm = GateNorm::layer;
  spec.config.gate_width = 16;
  const Bytes good = synth_float(spec);
  CHECK(refusal(good) == "");
  const Bytes bad =
      with_scaled(with_scaled(good, "blk.0.attn_gate_norm.weight", 0x1p70f), "blk.0.attn_q.weight", 0x1p70f);
  const std::string why = thrown_by([&] { pack_model(bad.data(), bad.size(), pack_options("f32")); });
  CHECK(contains(
      why, "tensor blk.0.attn_q.weight: with the norms and scales that are folded into it, it is beyond float32"));
}

TEST_CASE("the hash of the header covers every bit before the tensors") {
  const Bytes good = synth_float(small_spec());
  const Bytes packed = pack_model(good.data(), good.size(), pack_options("q4"));
  const OpenedFile in(packed, true);
  size_t begin = packed.size();
  for (size_t i = 0; i < in.file.n_tensors(); ++i)
    begin = std::min(begin, size_t(in.file.tensor(i).data - in.bytes.get()));
  Bytes header(packed.begin(), packed.begin() + long(begin));
  REQUIRE(stored_header_hash(header).size() == 64);
  CHECK(stored_header_hash(header) == header_hash(header));
  // By another way: the bytes with zeros where the digits are.
  std::string zeroed(header.begin(), header.end());
  const size_t at = zeroed.find(stored_header_hash(header));
  zeroed.replace(at, 64, std::string(64, '0'));
  CHECK(sha256_hex(zeroed.data(), zeroed.size()) == stored_header_hash(header));
  size_t n_missed = 0;
  for (size_t bit = 0; bit < 8 * header.size(); bit += 7) {
    header[bit / 8] ^= uint8_t(1u << bit % 8);
    n_missed += !stored_header_hash(header).empty() && stored_header_hash(header) == header_hash(header);
    header[bit / 8] ^= uint8_t(1u << bit % 8);
  }
  CHECK(n_missed == 0);
}

TEST_CASE("a packed model is not packed again") {
  const Bytes good = synth_float(small_spec());
  const Bytes once = pack_model(good.data(), good.size(), pack_options("q8"));
  CHECK(contains(refusal(once), "packed already"));
  CHECK(contains(refusal(rewritten(good, nothing, [](GgufWriter* out) { out->add_bool("egmla.folded", true); })),
                 "egmla.folded"));
  CHECK(refusal(rewritten(good, nothing, [](GgufWriter* out) { out->add_bool("egmla.folded", false); })) == "");
  CHECK_THROWS_WITH(pack_options("q5"), doctest::Contains("q5"));
}

TEST_CASE("progress grows to its total") {
  const Bytes input = synth_float(small_spec());
  PackOptions options = pack_options("q4");
  std::vector<std::pair<uint64_t, uint64_t>> calls;
  options.progress = [&](uint64_t done, uint64_t total) { calls.emplace_back(done, total); };
  pack_model(input.data(), input.size(), options);
  REQUIRE(calls.size() > 10);
  for (size_t i = 0; i < calls.size(); ++i) {
    CHECK(calls[i].second == calls.back().second);
    CHECK(calls[i].first <= calls[i].second);
    if (i > 0) CHECK(calls[i].first > calls[i - 1].first);
  }
  CHECK(calls.back().first == calls.back().second);
}
