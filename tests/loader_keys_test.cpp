// The configuration and the packed directory at their limits: every key's last value and one beyond, every relation between keys, every
// array of the directory.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "model/config_keys.h"
#include "loader_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

template <typename T>
void set_element(RawGguf* file, const char* key, size_t index, T value) {
  constexpr size_t kHeader = 12;  // type and count
  for (RawMeta& m : file->meta) {
    if (m.key == key) return void(std::memcpy(m.value.data() + kHeader + index * sizeof value, &value, sizeof value));
  }
  FAIL("no such key");
}

std::vector<std::string> texts_of(const RawGguf& file, const char* key) {
  std::vector<std::string> out;
  for (const RawMeta& m : file.meta) {
    for (size_t at = 12; m.key == key && at < m.value.size();) {
      uint64_t n = 0;
      std::memcpy(&n, m.value.data() + at, sizeof n);
      out.emplace_back(m.value.begin() + int64_t(at + 8), m.value.begin() + int64_t(at + 8 + n));
      at += 8 + n;
    }
  }
  return out;
}

void set_text(RawGguf* file, const char* key, size_t index, const std::string& text) {
  std::vector<std::string> texts = texts_of(*file, key);
  texts.at(index) = text;
  file->set(key, kArray, string_array(texts));
}

size_t index_of(const RawGguf& file, const std::string& name) {
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    if (file.tensors[i].name == name) return i;
  }
  FAIL("no such tensor");
  return 0;
}

// A vector of 8 zeros more, listed in the packed directory.
RawGguf with_vector(const std::string& name) {
  RawGguf file = tiny_packed();
  const auto append = [&](const char* key, const Bytes& element) {
    for (RawMeta& m : file.meta) {
      if (m.key != key) continue;
      const uint64_t n = file.tensors.size();
      std::memcpy(m.value.data() + 4, &n, sizeof n);
      m.value.insert(m.value.end(), element.begin(), element.end());
    }
  };
  file.tensors.push_back({name, {8}, 0, Bytes(32), {}, {}, {}});
  append("pith.packed.names", string_value(name));
  append("pith.packed.types", string_value("vector"));
  append("pith.packed.rows", value_of<uint32_t>(1));
  append("pith.packed.cols", value_of<uint32_t>(8));
  append("pith.packed.sha256", string_value(std::string(64, '0')));
  return file;
}

// Of the tiny model: one that the whole model reads, and one vector.
constexpr const char *kMatrix = "token_embd.weight", *kVector = "output_norm.weight";

}  // namespace

TEST_CASE("an integer key is read from every integer type, and no other") {
  const char* key = "egmla.block_count";
  const auto opened = [&](uint32_t type, Bytes value) {
    return open_raw(with([&](RawGguf& f) { f.set(key, type, value); }));
  };
  CHECK(int(opened(kU8, value_of<uint8_t>(1)).status) == int(PITH_OK));
  CHECK(int(opened(kI8, value_of<int8_t>(1)).status) == int(PITH_OK));
  CHECK(int(opened(kU16, value_of<uint16_t>(1)).status) == int(PITH_OK));
  CHECK(int(opened(kI16, value_of<int16_t>(1)).status) == int(PITH_OK));
  CHECK(int(opened(kU32, value_of<uint32_t>(1)).status) == int(PITH_OK));
  CHECK(int(opened(kI32, value_of<int32_t>(1)).status) == int(PITH_OK));
  CHECK(int(opened(kU64, value_of<uint64_t>(1)).status) == int(PITH_OK));
  CHECK(int(opened(kI64, value_of<int64_t>(1)).status) == int(PITH_OK));
  CHECK(opened(kI8, value_of<int8_t>(-1)).says("is negative"));
  CHECK(opened(kI16, value_of<int16_t>(-1)).says("is negative"));
  CHECK(opened(kI32, value_of<int32_t>(-1)).says("is negative"));
  CHECK(opened(kI64, value_of<int64_t>(-1)).says("is negative"));
  CHECK(opened(kI32, value_of<int32_t>(0)).says("0 is not within 1 .. 1024"));
  CHECK(opened(kU8, value_of<uint8_t>(200)).says("200 layers"));
  CHECK(opened(kU16, value_of<uint16_t>(40000)).says("40000 is not within"));
  CHECK(opened(kU32, value_of<uint32_t>(3000000000)).says("3000000000 is not within"));
  CHECK(opened(kU64, value_of<uint64_t>(~0ull)).says("18446744073709551615 is not within"));
  for (const auto& [type, size] : {std::pair<uint32_t, size_t>{kF32, 4}, {kBool, 1}, {kString, 8}, {kF64, 8}}) {
    const Opening verdict = opened(type, Bytes(size));
    CHECK(int(verdict.status) == int(PITH_E_TYPE));
    CHECK(verdict.says("must be an integer"));
  }
}

TEST_CASE("a real key is read from f32 and f64, a boolean from a boolean, a word from a string, and nothing else") {
  const auto opened = [&](const char* key, uint32_t type, Bytes value) {
    return open_raw(with([&](RawGguf& f) { f.set(key, type, value); }));
  };
  CHECK(int(opened("egmla.rope.freq_base", kF64, value_of<double>(10000)).status) == int(PITH_OK));
  CHECK(opened("egmla.rope.freq_base", kF64, value_of<double>(1e300)).says("out of range"));
  CHECK(opened("egmla.rope.freq_base", kU32, value_of<uint32_t>(10000)).says("must be a floating-point number"));
  CHECK(opened("egmla.folded", kU8, value_of<uint8_t>(1)).says("must be a boolean"));
  CHECK(opened("egmla.folded", kBool, value_of<uint8_t>(0)).says("egmla.folded: missing or false"));
  CHECK(opened("egmla.attention.kind", kU32, value_of<uint32_t>(0)).says("must be a string"));
  CHECK(opened("pith.rope.frequencies", kU64, value_of<uint64_t>(1)).says("must be an array of GGUF type 10"));
  CHECK(opened("pith.rope.frequencies", kArray, number_array<int64_t>(kI64, {1}))
            .says("must be an array of GGUF type 10"));
  CHECK(
      opened("pith.rope.frequencies", kArray, number_array<uint64_t>(kU64, {1, 2})).says("2 frequencies for 1 pairs"));
  CHECK(open_raw(with([](RawGguf& f) { f.remove("pith.rope.frequencies"); })).says("pith.rope.frequencies: missing"));
}

TEST_CASE("every number of the configuration at its limits and beyond") {
  for (const ConfigKey& key : config_keys()) {
    const std::string name = std::string(kKeyPrefix) + key.name;
    CAPTURE(name);
    const auto opened = [&](double value) {
      return open_raw(with([&](RawGguf& f) {
        if (key.scope == KeyScope::mha) {
          f.set_string("egmla.attention.kind", "mha");
          f.remove("egmla.attention.gate");
        } else if (key.scope == KeyScope::scaled) {
          f.set_string("egmla.rope.scaling.type", "yarn");
          f.set_f32("egmla.rope.scaling.factor", 2);
          f.set_u32("egmla.rope.scaling.original_context_length", 8);
        } else if (key.scope == KeyScope::experts) {
          f.set_u32("egmla.expert_count", 8);
          f.set_u32("egmla.expert_used_count", 1);
          f.set_u32("egmla.expert_feed_forward_length", 8);
        }
        if (key.kind == KeyKind::integer) f.set(name, kI64, value_of(int64_t(value)));
        else f.set(name, kF64, value_of(value));
      }));
    };
    if (key.kind == KeyKind::integer) {
      const auto is_out = [&](double value) {
        return opened(value).says(name + ": " + std::to_string(int64_t(value)) + " is not within");
      };
      CHECK(!is_out(key.low));
      CHECK(!is_out(key.high));
      CHECK(is_out(key.high + 1));
      if (key.low > 0) CHECK(is_out(key.low - 1));
    } else if (key.kind == KeyKind::real) {
      const auto is_out = [&](double value) {
        return opened(value).says(name + ": the number is not finite or out of range");
      };
      CHECK(!is_out(key.low));
      CHECK(!is_out(key.high));
      CHECK(is_out(std::nextafter(key.high, HUGE_VAL)));
      CHECK(is_out(std::nextafter(key.low, -HUGE_VAL)));
      CHECK(is_out(std::nan("")));
    }
  }
}

TEST_CASE("every word of the configuration, and one that is none") {
  size_t n_words = 0;
  for (const ConfigKey& key : config_keys()) {
    if (key.kind != KeyKind::word) continue;
    const std::string name = std::string(kKeyPrefix) + key.name;
    const auto opened = [&](const std::string& word) {
      return open_raw(with([&](RawGguf& f) {
        if (key.scope == KeyScope::mha) {
          f.set_string("egmla.attention.kind", "mha");
          f.remove("egmla.attention.gate");
        } else if (key.scope == KeyScope::experts) {
          f.set_u32("egmla.expert_count", 8);
          f.set_u32("egmla.expert_used_count", 1);
          f.set_u32("egmla.expert_feed_forward_length", 8);
        }
        f.set_string(name, word);
      }));
    };
    CAPTURE(name);
    for (size_t i = 0; !word_at(key.words, i).empty(); ++i, ++n_words)
      CHECK(!opened(std::string(word_at(key.words, i))).says("is not known to this version"));
    for (const char* word : {"", "Rms", "none ", "rm", "latent, mha", "0"})
      CHECK(opened(word).says("is not known to this version"));
  }
  CHECK(n_words > 15);
}

TEST_CASE("what must hold between keys, at the last value that does") {
  const auto hparam = [](std::initializer_list<std::pair<const char*, uint32_t>> keys, const std::string& words,
                         bool is_refused) {
    const Opening verdict = open_raw(with([&](RawGguf& f) {
      for (const auto& [name, value] : keys) f.set_u32(std::string(kKeyPrefix) + name, value);
    }));
    CAPTURE(words);
    CAPTURE(verdict.message);
    CHECK(verdict.says("key " + std::string(kKeyPrefix) + words) == is_refused);
    if (is_refused) CHECK(int(verdict.status) == int(PITH_E_HPARAM));
  };
  for (const char* name : {"attention.value_length", "attention.key_length_content", "attention.kv_lora_rank"}) {
    hparam({{name, 12}}, std::string(name) + ": 12 is not a multiple of 8", true);
    hparam({{name, 16}}, std::string(name) + ": 16 is not a multiple", false);
    hparam({{name, 9}}, std::string(name) + ": 9 is not a multiple of 8", true);
  }
  hparam({{"rope.dimension_count", 3}}, "rope.dimension_count: 3 is odd", true);
  hparam({{"rope.dimension_count", 4}}, "rope.dimension_count: 4 is odd", false);
  // Heads times their widths: at most 2^24. 4096 (4080 + 2 + 8) is below; 4096 (4080 + 8 + 8) is 2^24 itself; with a content of 4088 beyond.
  hparam({{"attention.head_count", 4096}, {"attention.key_length_content", 4080}, {"rope.dimension_count", 8}},
         "attention.head_count: 4096 heads of this width are too many", false);
  hparam({{"attention.head_count", 4096}, {"attention.key_length_content", 4080}, {"rope.dimension_count", 10}},
         "attention.head_count: 4096 heads of this width are too many", true);
  hparam({{"attention.head_count", 4096}, {"attention.key_length_content", 4088}, {"rope.dimension_count", 8}},
         "attention.head_count: 4096 heads of this width are too many", true);
  hparam({{"attention.head_count", 4096}, {"attention.value_length", 4088}, {"rope.dimension_count", 2}},
         "attention.head_count: 4096 heads of this width are too many", true);
  hparam({{"attention.head_count", 4096}, {"attention.kv_lora_rank", 4096}},
         "attention.head_count: 4096 heads are too many for this kv_lora_rank", false);
  hparam({{"attention.head_count", 4096}, {"attention.kv_lora_rank", 4104}},
         "attention.head_count: 4096 heads are too many for this kv_lora_rank", true);
  const auto experts = [&](std::initializer_list<std::pair<const char*, uint32_t>> keys, const std::string& words,
                           bool is_refused) {
    RawGguf file = tiny_packed();
    for (const auto& [name, value] : {std::pair<const char*, uint32_t>{"expert_count", 8},
                                      {"expert_used_count", 1},
                                      {"expert_feed_forward_length", 8}})
      file.set_u32(std::string(kKeyPrefix) + name, value);
    for (const auto& [name, value] : keys) file.set_u32(std::string(kKeyPrefix) + name, value);
    const Opening verdict = open_raw(file);
    CAPTURE(words);
    CAPTURE(verdict.message);
    CHECK(verdict.says("key " + std::string(kKeyPrefix) + words) == is_refused);
  };
  experts({{"leading_dense_block_count", 0}}, "leading_dense_block_count", false);
  experts({{"leading_dense_block_count", 1}}, "leading_dense_block_count: 1 of 1 layers leave none with experts", true);
  experts({{"expert_used_count", 8}}, "expert_used_count", false);
  experts({{"expert_used_count", 9}}, "expert_used_count: 9 of 8 experts", true);
  experts({{"expert_group_count", 4}}, "expert_group_count", false);
  experts({{"expert_group_count", 3}}, "expert_group_count: 3 does not divide the 8 experts", true);
  experts({{"expert_group_count", 4}, {"expert_group_used_count", 4}}, "expert_group_used_count", false);
  experts({{"expert_group_count", 4}, {"expert_group_used_count", 5}}, "expert_group_used_count: 5 of 4 groups", true);
  experts({{"expert_group_count", 4}, {"expert_group_used_count", 2}, {"expert_used_count", 4}}, "expert_used_count",
          false);
  experts({{"expert_group_count", 4}, {"expert_group_used_count", 2}, {"expert_used_count", 5}},
          "expert_used_count: 5 experts from 2 groups of 2", true);
  experts({{"expert_shared_count", 64}, {"expert_feed_forward_length", 16384}}, "expert_shared_count", false);
  experts({{"expert_shared_count", 64}, {"expert_feed_forward_length", 16385}}, "expert_shared_count", true);
}

TEST_CASE("choices that exclude each other") {
  expect(with([](RawGguf& f) { f.set_string("egmla.attention.kind", "mha"); }), PITH_E_HPARAM,
         "a gate needs latent attention");
  expect(with([](RawGguf& f) {
           f.set_string("egmla.attention.gate", "latent");
           f.set_string("egmla.attention.gate_norm", "layer_split");
         }),
         PITH_E_HPARAM, "no k and v parts to norm apart");
  for (const char* gate : {"latent", "up"}) {
    for (const char* norm : {"none", "rms", "layer"}) {
      const Opening verdict = open_raw(with([&](RawGguf& f) {
        f.set_string("egmla.attention.gate", gate);
        f.set_string("egmla.attention.gate_norm", norm);
      }));
      CHECK(!verdict.says("to norm apart"));
    }
  }
}

TEST_CASE("the packed directory: every array whole, every name once, every shape possible") {
  const RawGguf good = tiny_packed();
  const size_t n = good.tensors.size(), matrix = index_of(good, kMatrix), vector = index_of(good, kVector);
  for (const char* key :
       {"pith.packed.names", "pith.packed.types", "pith.packed.rows", "pith.packed.cols", "pith.packed.sha256"}) {
    expect(with([&](RawGguf& f) { f.remove(key); }), PITH_E_MISSING, std::string(key) + ": missing");
    expect(with([&](RawGguf& f) { f.set_u32(key, 1); }), PITH_E_TYPE, key);
  }
  for (const char* key : {"pith.packed.rows", "pith.packed.cols", "pith.packed.matrices"}) {
    for (const size_t other : {n - 1, n + 1})
      expect(
          with([&](RawGguf& f) { f.set(key, kArray, number_array<uint32_t>(kU32, std::vector<uint32_t>(other, 1))); }),
          PITH_E_SHAPE, key);
  }
  for (const char* key : {"pith.packed.names", "pith.packed.types", "pith.packed.sha256"})
    expect(with([&](RawGguf& f) { f.set(key, kArray, string_array(std::vector<std::string>(n + 1, "f32"))); }),
           PITH_E_SHAPE, key);
  const std::vector<uint32_t> ones(n, 1);
  const auto with_matrices = [&](size_t index, uint32_t value) {
    return with([&](RawGguf& f) {
      f.set("pith.packed.matrices", kArray, number_array<uint32_t>(kU32, ones));
      set_element(&f, "pith.packed.matrices", index, value);
    });
  };
  expect(with_matrices(matrix, 1), PITH_OK);
  expect(with_matrices(matrix, 0), PITH_E_SHAPE, "are not those of 0 matrices");
  expect(with_matrices(matrix, 2), PITH_E_SHAPE, "257 rows are not those of 2 matrices");
  expect(with_matrices(matrix, 1025), PITH_E_SHAPE, "are not those of 1025 matrices");

  expect(with([&](RawGguf& f) { set_text(&f, "pith.packed.names", matrix, "nobody"); }), PITH_E_MISSING,
         "tensor nobody: named by");
  expect(with([&](RawGguf& f) { set_text(&f, "pith.packed.names", vector, kMatrix); }), PITH_E_DUPLICATE,
         "twice in pith.packed.names");
  for (const size_t length : {0, 63, 65})
    expect(with([&](RawGguf& f) { set_text(&f, "pith.packed.sha256", matrix, std::string(length, '0')); }),
           PITH_E_VALUE, "is not 64 hex digits");
  for (const char* type : {"", "q3", "Vector", "f16"})
    expect(with([&](RawGguf& f) { set_text(&f, "pith.packed.types", matrix, type); }), PITH_E_UNSUPPORTED,
           "unknown packed type");
  expect(with([&](RawGguf& f) { set_text(&f, "pith.packed.types", matrix, "q8"); }), PITH_E_SHAPE,
         "its packed shape takes");
  for (const char* key : {"pith.packed.rows", "pith.packed.cols"}) {
    for (const size_t tensor : {matrix, vector}) {
      for (const uint32_t value : {0u, (1u << 30) + 1, ~0u})
        expect(with([&](RawGguf& f) { set_element(&f, key, tensor, value); }), PITH_E_SHAPE, "columns");
    }
    expect(with([&](RawGguf& f) { set_element(&f, key, matrix, 1u << 30); }), PITH_E_SHAPE, "its packed shape takes");
  }
  expect(with([&](RawGguf& f) { set_element(&f, "pith.packed.rows", vector, 2u); }), PITH_E_SHAPE,
         "2 rows of 8 columns");
  expect(with([&](RawGguf& f) {
           f.tensors[matrix].dims = {f.tensors[matrix].data.size() / 2, 2};
         }),
         PITH_E_SHAPE, kMatrix);
  expect(with([&](RawGguf& f) { f.tensors[vector].type = kInt8Tensor, f.tensors[vector].dims = {32}; }), PITH_E_SHAPE,
         kVector);
  expect(with([&](RawGguf& f) {
           f.tensors[matrix].type = 0, f.tensors[matrix].dims = {f.tensors[matrix].data.size() / 4};
         }),
         PITH_E_SHAPE, kMatrix);
  expect(with([](RawGguf& f) { f.remove("pith.packed.version"); }), PITH_E_NOT_PACKED, "pith.packed.version: missing");
  for (const uint32_t version : {0, 2})
    expect(with([&](RawGguf& f) { f.set_u32("pith.packed.version", version); }), PITH_E_UNSUPPORTED,
           "this version reads 1");
}

TEST_CASE("a tensor that the configuration does not list is refused, but for the packer's own") {
  expect(with_vector("stranger.weight"), PITH_E_UNSUPPORTED,
         "tensor stranger.weight: not a tensor of this configuration");
  expect(with_vector("rope_factors_long.weight"), PITH_OK);
  expect(with_vector("rope_factors_short.weight"), PITH_OK);
}

TEST_CASE("a matrix where a vector belongs, a vector where a matrix does, and a stack of matrices where one does") {
  const RawGguf good = tiny_packed();
  const size_t vector = index_of(good, kVector), matrix = index_of(good, kMatrix);
  expect(with([&](RawGguf& f) {  // one row of 8 numbers, in a panel of 8 rows
           f.tensors[vector].data.resize(packed_bytes(WeightType::f32, 1, 8));
           f.tensors[vector].type = kInt8Tensor;
           f.tensors[vector].dims = {f.tensors[vector].data.size()};
           set_text(&f, "pith.packed.types", vector, "f32");
         }),
         PITH_E_SHAPE, "output_norm.weight: 1 x 8; the hyper-parameters ask for 1 x 8");
  expect(with([&](RawGguf& f) {  // 257 matrices of one row
           f.tensors[matrix].data.resize(stored_bytes(WeightType::f32, 257, 257, 8));
           f.tensors[matrix].dims = {f.tensors[matrix].data.size()};
           std::vector<uint32_t> matrices(f.tensors.size(), 1);
           matrices[matrix] = 257;
           f.set("pith.packed.matrices", kArray, number_array<uint32_t>(kU32, matrices));
         }),
         PITH_E_SHAPE, "token_embd.weight: 257 matrices; the hyper-parameters ask for 1");
}

TEST_CASE("a key that must be absent or 0 is an integer") {
  expect(with([](RawGguf& f) { f.set_u32("egmla.attention.sliding_window", 0); }), PITH_OK);
  expect(with([](RawGguf& f) { f.set_string("egmla.attention.sliding_window", "0"); }), PITH_E_TYPE, "sliding_window");
}

TEST_CASE("an unknown architecture is quoted, the first 64 bytes of it") {
  for (const size_t n : {1, 63, 64, 65, 100}) {
    const Opening verdict =
        open_raw(with([&](RawGguf& f) { f.set_string("general.architecture", std::string(n, 'a')); }));
    CHECK(int(verdict.status) == int(PITH_E_ARCHITECTURE));
    std::string quoted(1, '"');
    quoted.append(std::min<size_t>(n, 64), 'a').append(1, '"');
    CHECK(verdict.says(quoted));
  }
}
