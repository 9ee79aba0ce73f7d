// Malformed model files: every one is refused with the documented status, in bounded time, without touching a byte beyond
// the file, and the sentence names what is at fault. The numbers are those of the catalogue that the project keeps of
// published loader bugs; cases that need a file system stand in cli tests, cases about formats that pith lacks are absent
// keys here.
#include <doctest/doctest.h>

#include <chrono>
#include <limits>
#include <string>

#include "raw_gguf.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

struct Verdict {
  pith_status status;
  std::string message;
};

// Opens the file as an application would: model, tokenizer, session plan.
Verdict open_bytes(const uint8_t* data, size_t size) {
  const Block file = block_of(data, size);
  pith_error error{};
  size_t bytes = 0;
  pith_status status = pith_model_bytes(file.get(), size, &bytes, &error);
  if (status != PITH_OK) return {status, error.message};
  CHECK(bytes <= 64 * 1024 + 8 * size);  // what a file declares does not make the loader ask for more than it holds
  const Block memory = block_of(bytes);
  pith_model* model = nullptr;
  status = pith_model_init(file.get(), size, memory.get(), bytes, &model, &error);
  if (status != PITH_OK) return {status, error.message};
  size_t tokenizer_bytes = 0;
  status = pith_tokenizer_bytes(model, &tokenizer_bytes, &error);
  if (status != PITH_OK) return {status, error.message};
  const Block tokenizer_memory = block_of(tokenizer_bytes);
  pith_tokenizer* tokenizer = nullptr;
  status = pith_tokenizer_init(model, tokenizer_memory.get(), tokenizer_bytes, &tokenizer, &error);
  return {status, error.message};
}

Verdict open_raw(const RawGguf& file) {
  const Bytes bytes = file.build();
  return open_bytes(bytes.data(), bytes.size());
}

using Mutation = std::function<void(RawGguf&)>;

struct Case {
  const char* name;  // catalogue number, field, corruption
  pith_status expected;
  Mutation mutate;
  const char* names_field = nullptr;  // the sentence must contain it
};

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
constexpr uint64_t kMax64 = std::numeric_limits<uint64_t>::max();

Mutation u32(const char* key, uint32_t value) {
  return [=](RawGguf& f) { f.set_u32(key, value); };
}
Mutation f32(const char* key, float value) {
  return [=](RawGguf& f) { f.set_f32(key, value); };
}
// As for a model of MHA, and then more.
Mutation mha(Mutation then) {
  return [=](RawGguf& f) {
    f.set_string("egmla.attention.kind", "mha");
    f.remove("egmla.attention.gate");
    then(f);
  };
}
// Keys of 8 experts, and then more.
Mutation experts(Mutation then) {
  return [=](RawGguf& f) {
    f.set_u32("egmla.expert_count", 8);
    f.set_u32("egmla.expert_used_count", 1);
    f.set_u32("egmla.expert_feed_forward_length", 8);
    then(f);
  };
}
Mutation dims(std::vector<uint64_t> shape, uint32_t type = 0) {
  return [=](RawGguf& f) {
    RawTensor& t = f.tensor("output_norm.weight");
    t.dims = shape;
    t.type = type;
  };
}
// One more tensor, of one block of Q4_K.
Mutation block_tensor(size_t bytes) {
  return [=](RawGguf& f) { f.tensors.push_back({"blocks", {256}, 12, Bytes(bytes), {}, {}, {}}); };
}
Mutation array_header(const char* key, uint32_t type, uint64_t count) {
  return [=](RawGguf& f) {
    Bytes value;
    put<uint32_t>(&value, type);
    put<uint64_t>(&value, count);
    f.set(key, kArray, value);
  };
}
Mutation key_length(uint64_t length) {
  return [=](RawGguf& f) { f.meta.front().key_length = length; };
}
Mutation name_length(uint64_t length) {
  return [=](RawGguf& f) { f.tensors.front().name_length = length; };
}
Mutation tensor_type(uint32_t type) {
  return [=](RawGguf& f) { f.tensors.front().type = type; };
}
Mutation offset(uint64_t value) {
  return [=](RawGguf& f) { f.tensors[1].offset = value; };
}

const std::vector<Case>& header_cases() {
  static const std::vector<Case> cases = {
      {"3 magic FUGG", PITH_E_MAGIC, [](RawGguf& f) { f.magic = "FUGG"; }},
      {"3 magic ggjt", PITH_E_MAGIC, [](RawGguf& f) { f.magic = "ggjt"; }},
      {"3 magic byte-swapped", PITH_E_MAGIC, [](RawGguf& f) { f.magic = "FUGG"; }},
      {"3 magic unprintable is escaped", PITH_E_MAGIC, [](RawGguf& f) { f.magic = "\x1b[2J"; }, "\\x1b"},
      {"4 version 0", PITH_E_VERSION, [](RawGguf& f) { f.version = 0; }},
      {"5 version 1", PITH_E_VERSION, [](RawGguf& f) { f.version = 1; }},
      {"5 version 2", PITH_E_VERSION, [](RawGguf& f) { f.version = 2; }},
      {"6 version 4", PITH_E_VERSION, [](RawGguf& f) { f.version = 4; }},
      {"6 version 2^31", PITH_E_VERSION, [](RawGguf& f) { f.version = 1u << 31; }},
      {"6 version 2^32-1", PITH_E_VERSION, [](RawGguf& f) { f.version = ~0u; }},
      {"7 big-endian", PITH_E_ENDIAN, [](RawGguf& f) { f.version = 0x03000000; }},
      {"8 n_tensors 2^64-1", PITH_E_LIMIT, [](RawGguf& f) { f.n_tensors = kMax64; }},
      {"8 n_tensors 2^63", PITH_E_LIMIT, [](RawGguf& f) { f.n_tensors = 1ull << 63; }},
      {"8 n_tensors 2^60", PITH_E_LIMIT, [](RawGguf& f) { f.n_tensors = 1ull << 60; }},
      {"9 n_kv 2^64-1", PITH_E_LIMIT, [](RawGguf& f) { f.n_meta = kMax64; }},
      {"9 n_kv 2^31-1", PITH_E_LIMIT, [](RawGguf& f) { f.n_meta = 0x7fffffff; }},
      {"9 n_kv 5e8", PITH_E_LIMIT, [](RawGguf& f) { f.n_meta = 500000000; }},
      {"11 empty", PITH_E_MISSING,
       [](RawGguf& f) {
         f.meta.clear();
         f.tensors.clear();
       },
       "general.architecture"},
  };
  return cases;
}

// n keys with their places, by FNV-1a as model_file.cpp folds it, in the first two slots of a table that all keys fill by half.
void add_colliding_keys(RawGguf* f, size_t n) {
  size_t slots = 8;
  while (slots < 2 * (f->meta.size() + n)) slots *= 2;
  for (uint64_t i = 0; n > 0; ++i) {
    std::string key;
    for (uint64_t rest = i, k = 0; k < 5; ++k, rest /= 26) key += char('a' + rest % 26);
    uint64_t h = 0xcbf29ce484222325ull;
    for (const char c : key) h = (h ^ uint8_t(c)) * 0x100000001b3ull;
    if (((h ^ h >> 29) & (slots - 1)) > 1) continue;
    f->meta.push_back({key, uint32_t(GgufType::u32), value_of<uint32_t>(1), {}});
    --n;
  }
}

const std::vector<Case>& metadata_cases() {
  static const std::vector<Case> cases = {
      {"12 key length 2^64-1", PITH_E_LIMIT, key_length(kMax64)},
      {"13 key length 2^48-1", PITH_E_LIMIT, key_length(0xffffffffffffull)},
      {"14 empty key", PITH_E_KEY, [](RawGguf& f) { f.meta.front().key = ""; }},
      {"15 key of 65,536 bytes", PITH_E_LIMIT, [](RawGguf& f) { f.set_u32(std::string(65536, 'k'), 1); }},
      {"15 key of 65,535 bytes is valid", PITH_OK, [](RawGguf& f) { f.set_u32(std::string(65535, 'k'), 1); }},
      {"16 key with NUL", PITH_E_KEY, [](RawGguf& f) { f.set_u32(std::string("a\0b", 3), 1); }, "\\x00"},
      {"16 key with ESC", PITH_E_KEY, [](RawGguf& f) { f.set_u32("a\x1b[31m", 1); }, "\\x1b"},
      {"16 key that is a format string is plain text", PITH_OK, [](RawGguf& f) { f.set_u32("%n%s%n", 1); }},
      {"18 keys that were made to collide in a table", PITH_E_LIMIT, [](RawGguf& f) { add_colliding_keys(&f, 400); }},
      {"17 duplicate key", PITH_E_DUPLICATE, [](RawGguf& f) { f.meta.push_back(f.meta.front()); },
       "general.architecture"},
      {"18 65,000 distinct keys are read at once", PITH_OK,
       [](RawGguf& f) {
         for (int i = 0; i < 65000; ++i)
           f.meta.push_back({"key." + std::to_string(i), kU32, value_of<uint32_t>(1), {}});
       }},
      {"18 65,537 keys", PITH_E_LIMIT,
       [](RawGguf& f) {
         for (int i = 0; i < 65537; ++i)
           f.meta.push_back({"key." + std::to_string(i), kU32, value_of<uint32_t>(1), {}});
       }},
      {"19 value type 13", PITH_E_TYPE, [](RawGguf& f) { f.meta.front().type = 13; }, "general.architecture"},
      {"19 value type 255", PITH_E_TYPE, [](RawGguf& f) { f.meta.front().type = 255; }},
      {"19 value type 2^32-1", PITH_E_TYPE, [](RawGguf& f) { f.meta.front().type = ~0u; }},
      {"20 string length 2^63", PITH_E_LIMIT,
       [](RawGguf& f) { f.meta.front().value = value_of<uint64_t>(1ull << 63); }},
      {"20 string length 1 GiB", PITH_E_LIMIT,
       [](RawGguf& f) { f.meta.front().value = value_of<uint64_t>(1ull << 30); }},
      {"20 string length beyond the file", PITH_E_TRUNCATED,
       [](RawGguf& f) { f.meta.front().value = value_of<uint64_t>(1 << 20); }},
      {"22 array count 2^64-1", PITH_E_LIMIT, array_header("x", kU32, kMax64)},
      {"22 array count 2^63", PITH_E_LIMIT, array_header("x", kU32, 1ull << 63)},
      {"22 array count 2^62, bytes wrap", PITH_E_LIMIT, array_header("x", kU32, 1ull << 62)},
      {"23 array of strings, count 2^63", PITH_E_LIMIT, array_header("x", kString, 1ull << 63)},
      {"24 array of unknown type", PITH_E_TYPE, array_header("x", 13, 1ull << 40), "x"},
      {"25 array of arrays", PITH_E_UNSUPPORTED, array_header("x", kArray, 1)},
      {"26 string in an array beyond the file", PITH_E_TRUNCATED,
       [](RawGguf& f) {
         Bytes value;
         put<uint32_t>(&value, kString);
         put<uint64_t>(&value, 2);
         put_string(&value, "good");
         put<uint64_t>(&value, 1 << 20);
         f.set("x", kArray, value);
       }},
      {"27 array of strings, count beyond the file", PITH_E_LIMIT, array_header("x", kString, 1 << 21)},
      {"28 boolean 2", PITH_E_VALUE, [](RawGguf& f) { f.set("x", kBool, value_of<uint8_t>(2)); }, "x"},
      {"28 boolean 255", PITH_E_VALUE, [](RawGguf& f) { f.set("x", kBool, value_of<uint8_t>(255)); }},
      {"29 alignment as i32", PITH_E_TYPE, [](RawGguf& f) { f.set("general.alignment", kI32, value_of<int32_t>(64)); },
       "general.alignment"},
      {"29 alignment as u64", PITH_E_TYPE,
       [](RawGguf& f) { f.set("general.alignment", kU64, value_of<uint64_t>(64)); }},
      {"29 alignment as string", PITH_E_TYPE, [](RawGguf& f) { f.set_string("general.alignment", "64"); }},
      {"30 alignment 0", PITH_E_OFFSET, u32("general.alignment", 0)},
      {"30 alignment 13", PITH_E_OFFSET, u32("general.alignment", 13)},
      {"30 alignment 24", PITH_E_OFFSET, u32("general.alignment", 24)},
      {"31 alignment 1", PITH_E_OFFSET, u32("general.alignment", 1)},
      {"31 alignment 4", PITH_E_OFFSET, u32("general.alignment", 4)},
      {"32 alignment 2^30", PITH_E_OFFSET, u32("general.alignment", 1u << 30)},
      {"32 alignment 2^31", PITH_E_OFFSET, u32("general.alignment", 1u << 31)},
      {"33 architecture missing", PITH_E_MISSING, [](RawGguf& f) { f.remove("general.architecture"); },
       "general.architecture"},
      {"33 architecture is a number", PITH_E_TYPE, u32("general.architecture", 1)},
      {"33 architecture of 1 MiB", PITH_E_ARCHITECTURE,
       [](RawGguf& f) { f.set_string("general.architecture", std::string(1 << 20, 'a')); }},
      {"33 architecture unknown", PITH_E_ARCHITECTURE,
       [](RawGguf& f) { f.set_string("general.architecture", "llama"); },
       "\"llama\" is not packed for pith; run pith quantize"},
      {"33 architecture empty", PITH_E_ARCHITECTURE, [](RawGguf& f) { f.set_string("general.architecture", ""); }},
      {"34 hyper-parameter missing", PITH_E_MISSING, [](RawGguf& f) { f.remove("egmla.block_count"); },
       "egmla.block_count"},
      {"34 hyper-parameter is a string", PITH_E_TYPE, [](RawGguf& f) { f.set_string("egmla.block_count", "1"); },
       "egmla.block_count"},
      {"34 hyper-parameter is an array", PITH_E_TYPE, array_header("egmla.block_count", kU32, 0)},
      {"34 hyper-parameter negative", PITH_E_HPARAM,
       [](RawGguf& f) { f.set("egmla.block_count", kI64, value_of<int64_t>(-1)); }},
      {"34 hyper-parameter above 2^31", PITH_E_HPARAM,
       [](RawGguf& f) { f.set("egmla.block_count", kU64, value_of<uint64_t>(1ull << 33)); }},
  };
  return cases;
}

const std::vector<Case>& hyper_parameter_cases() {
  static const std::vector<Case> cases = {
      {"35 head_count 0", PITH_E_HPARAM, u32("egmla.attention.head_count", 0), "head_count"},
      {"36 head_count_kv 0", PITH_E_HPARAM, mha(u32("egmla.attention.head_count_kv", 0)), "head_count_kv"},
      {"36 head_count_kv above head_count", PITH_E_HPARAM, mha(u32("egmla.attention.head_count_kv", 2)),
       "head_count_kv"},
      {"36 head_count_kv does not divide", PITH_E_HPARAM, mha([](RawGguf& f) {
         f.set_u32("egmla.attention.head_count", 3);
         f.set_u32("egmla.attention.head_count_kv", 2);
       }),
       "head_count_kv"},
      {"37 head_count_kv is an array", PITH_E_TYPE, mha([](RawGguf& f) {
         f.set("egmla.attention.head_count_kv", kArray, number_array<uint32_t>(kU32, {1, 0}));
       }),
       "head_count_kv"},
      {"38 block_count 0", PITH_E_HPARAM, u32("egmla.block_count", 0), "block_count"},
      {"38 block_count 513 without tensors", PITH_E_MISSING, u32("egmla.block_count", 513), "block_count"},
      {"38 block_count 2^31", PITH_E_HPARAM, u32("egmla.block_count", 1u << 31)},
      {"38 block_count 2^32-1", PITH_E_HPARAM, u32("egmla.block_count", ~0u)},
      {"39 embedding_length 0", PITH_E_HPARAM, u32("egmla.embedding_length", 0), "embedding_length"},
      {"39 embedding_length at odds with the tensors", PITH_E_SHAPE, u32("egmla.embedding_length", 9),
       "token_embd.weight"},
      {"39 embedding_length 2^31", PITH_E_HPARAM, u32("egmla.embedding_length", 1u << 31)},
      {"40 feed_forward_length 0", PITH_E_HPARAM, u32("egmla.feed_forward_length", 0), "feed_forward_length"},
      {"40 feed_forward_length missing", PITH_E_MISSING, [](RawGguf& f) { f.remove("egmla.feed_forward_length"); },
       "feed_forward_length"},
      {"41 rope.dimension_count odd", PITH_E_HPARAM, u32("egmla.rope.dimension_count", 3), "rope.dimension_count"},
      {"41 rope.dimension_count 0", PITH_E_HPARAM, u32("egmla.rope.dimension_count", 0), "rope.dimension_count"},
      {"41 rope.dimension_count at odds with the frequencies", PITH_E_SHAPE, u32("egmla.rope.dimension_count", 4),
       "pith.rope.frequencies"},
      {"42 freq_base 0", PITH_E_HPARAM, f32("egmla.rope.freq_base", 0), "rope.freq_base"},
      {"42 freq_base negative", PITH_E_HPARAM, f32("egmla.rope.freq_base", -1)},
      {"42 freq_base NaN", PITH_E_HPARAM, f32("egmla.rope.freq_base", kNan)},
      {"42 freq_base infinite", PITH_E_HPARAM, f32("egmla.rope.freq_base", kInfinity)},
      {"42 freq_base 1e-45", PITH_E_HPARAM, f32("egmla.rope.freq_base", 1e-45f)},
      {"42 freq_base 1e38", PITH_E_HPARAM, f32("egmla.rope.freq_base", 1e38f)},
      {"43 epsilon 0", PITH_E_HPARAM, f32("egmla.block_norm_epsilon", 0), "block_norm_epsilon"},
      {"43 epsilon negative", PITH_E_HPARAM, f32("egmla.block_norm_epsilon", -1e-6f)},
      {"43 epsilon NaN", PITH_E_HPARAM, f32("egmla.block_norm_epsilon", kNan)},
      {"43 epsilon infinite", PITH_E_HPARAM, f32("egmla.block_norm_epsilon", kInfinity)},
      {"44 context_length 0", PITH_E_HPARAM, u32("egmla.context_length", 0), "context_length"},
      {"44 context_length 1 is valid", PITH_OK, u32("egmla.context_length", 1)},
      {"44 context_length 2^32-1", PITH_E_HPARAM, u32("egmla.context_length", ~0u)},
      {"45 experts without their tensors", PITH_E_MISSING, experts([](RawGguf&) {}), "blk.0.ffn_gate_inp.weight"},
      {"45 experts without their keys", PITH_E_MISSING, u32("egmla.expert_count", 64), "expert_used_count"},
      {"45 expert_count 0 is valid", PITH_OK, u32("egmla.expert_count", 0)},
      {"45 expert_count 1025", PITH_E_HPARAM, u32("egmla.expert_count", 1025), "expert_count"},
      {"45 expert_count 2^32-1", PITH_E_HPARAM, u32("egmla.expert_count", ~0u), "expert_count"},
      {"45 expert_used_count 0", PITH_E_HPARAM, experts(u32("egmla.expert_used_count", 0)), "expert_used_count"},
      {"45 expert_used_count above expert_count", PITH_E_HPARAM, experts(u32("egmla.expert_used_count", 9)),
       "expert_used_count"},
      {"45 expert_used_count 65", PITH_E_HPARAM, experts([](RawGguf& f) {
         f.set_u32("egmla.expert_count", 128);
         f.set_u32("egmla.expert_used_count", 65);
       }),
       "expert_used_count"},
      {"45 groups that do not divide the experts", PITH_E_HPARAM, experts(u32("egmla.expert_group_count", 3)),
       "expert_group_count"},
      {"45 no groups", PITH_E_HPARAM, experts(u32("egmla.expert_group_count", 0)), "expert_group_count"},
      {"45 more groups used than there are", PITH_E_HPARAM, experts(u32("egmla.expert_group_used_count", 2)),
       "expert_group_used_count"},
      {"45 more experts used than the groups have", PITH_E_HPARAM, experts([](RawGguf& f) {
         f.set_u32("egmla.expert_group_count", 8);
         f.set_u32("egmla.expert_used_count", 2);
       }),
       "expert_used_count"},
      {"45 experts of no width", PITH_E_HPARAM, experts(u32("egmla.expert_feed_forward_length", 0)),
       "expert_feed_forward_length"},
      {"45 experts of a width of 2^31", PITH_E_HPARAM, experts(u32("egmla.expert_feed_forward_length", 1u << 31)),
       "expert_feed_forward_length"},
      {"45 shared experts of a width beyond 2^20", PITH_E_HPARAM, experts([](RawGguf& f) {
         f.set_u32("egmla.expert_shared_count", 64);
         f.set_u32("egmla.expert_feed_forward_length", 1 << 20);
       }),
       "expert_shared_count"},
      {"45 no layer with experts", PITH_E_HPARAM, experts(u32("egmla.leading_dense_block_count", 1)),
       "leading_dense_block_count"},
      {"45 a gating function from the future", PITH_E_UNSUPPORTED,
       experts([](RawGguf& f) { f.set_string("egmla.expert_gating_func", "tanh"); }), "expert_gating_func"},
      {"45 a gating function that is a number", PITH_E_TYPE, experts(u32("egmla.expert_gating_func", 2)),
       "expert_gating_func"},
      {"45 expert_weights_scale NaN", PITH_E_HPARAM, experts(f32("egmla.expert_weights_scale", kNan)),
       "expert_weights_scale"},
      {"46 sliding window", PITH_E_UNSUPPORTED, u32("egmla.attention.sliding_window", 4), "sliding_window"},
      {"47 a divisor of another format is not read", PITH_OK, u32("llama.n_mult", 0)},
      {"value_length not a multiple of 8", PITH_E_HPARAM, u32("egmla.attention.value_length", 12), "value_length"},
      {"a kind of attention from the future", PITH_E_UNSUPPORTED,
       [](RawGguf& f) { f.set_string("egmla.attention.kind", "linear"); }, "attention.kind"},
  };
  return cases;
}

const std::vector<Case>& tensor_cases() {
  static const std::vector<Case> cases = {
      {"48 name length 0", PITH_E_LIMIT, [](RawGguf& f) { f.tensors.front().name = ""; }},
      {"48 name of 64 bytes is well formed", PITH_E_MISSING,
       [](RawGguf& f) { f.tensors.front().name = std::string(64, 'n'); }},
      {"48 name of 65 bytes", PITH_E_LIMIT, [](RawGguf& f) { f.tensors.front().name = std::string(65, 'n'); }},
      {"48 name length 2^32", PITH_E_LIMIT, name_length(1ull << 32)},
      {"48 name length 2^64-1", PITH_E_LIMIT, name_length(kMax64)},
      {"49 duplicate name", PITH_E_DUPLICATE, [](RawGguf& f) { f.tensors[1].name = f.tensors[0].name; },
       "token_embd.weight"},
      {"50 name with NUL", PITH_E_KEY, [](RawGguf& f) { f.tensors.front().name = std::string("blk.0\0x", 7); },
       "\\x00"},
      {"51 n_dims 0", PITH_E_DIMS, [](RawGguf& f) { f.tensors.front().n_dims = 0; }},
      {"51 n_dims 5", PITH_E_DIMS, [](RawGguf& f) { f.tensors.front().n_dims = 5; }},
      {"51 n_dims 9", PITH_E_DIMS, [](RawGguf& f) { f.tensors.front().n_dims = 9; }},
      {"51 n_dims 2^32-1", PITH_E_DIMS, [](RawGguf& f) { f.tensors.front().n_dims = ~0u; }},
      {"52 dimension 0", PITH_E_DIMS, dims({0}), "output_norm.weight"},
      {"53 dimension 2^63", PITH_E_DIMS, dims({1ull << 63})},
      {"53 dimension 2^64-1", PITH_E_DIMS, dims({kMax64})},
      {"54 product wraps to 0: 2^32 x 2^32", PITH_E_OVERFLOW, dims({1ull << 32, 1ull << 32})},
      {"54 product wraps to 0: 2^31 x 2^31 x 4", PITH_E_OVERFLOW, dims({1ull << 31, 1ull << 31, 4})},
      {"54 product wraps to 0: 2^62 x 4", PITH_E_OVERFLOW, dims({1ull << 62, 4})},
      {"55 product wraps to small: 2^62+1 x 4", PITH_E_OVERFLOW, dims({(1ull << 62) + 1, 4})},
      {"55 product wraps to small: 2^64-1 x 2", PITH_E_DIMS, dims({kMax64, 2})},
      {"56 padded bytes wrap: F32 4 x 2^30-1 x 2^30+1", PITH_E_OVERFLOW, dims({4, (1ull << 30) - 1, (1ull << 30) + 1})},
      {"56 padded bytes wrap: I8 2^32-1 x 2^32+1", PITH_E_OVERFLOW, dims({(1ull << 32) - 1, (1ull << 32) + 1}, 24)},
      {"57 bytes wrap: F32 of 2^62 elements", PITH_E_OVERFLOW, dims({1ull << 31, 1ull << 31})},
      {"57 bytes wrap: F32 of 2^61 elements", PITH_E_OVERFLOW, dims({1ull << 30, 1ull << 31})},
      {"58 a large tensor that the file lacks", PITH_E_TRUNCATED, dims({1ull << 33})},
      {"59 a matrix whose bytes are not whole panels", PITH_E_SHAPE,
       [](RawGguf& f) {
         f.tensor("token_embd.weight").data.resize(100);
         f.tensor("token_embd.weight").dims = {100};
       },
       "token_embd.weight"},
      {"60 removed type 4", PITH_E_TYPE, tensor_type(4)},
      {"60 removed type 31", PITH_E_TYPE, tensor_type(31)},
      {"60 removed type 36", PITH_E_TYPE, tensor_type(36)},
      {"61 type 2^31", PITH_E_TYPE, tensor_type(1u << 31)},
      {"61 type -1", PITH_E_TYPE, tensor_type(~0u)},
      {"62 unsupported type IQ2_XXS", PITH_E_UNSUPPORTED, tensor_type(16), "token_embd.weight: type IQ2_XXS"},
      {"62 unsupported type F64", PITH_E_UNSUPPORTED, tensor_type(28), "token_embd.weight: type F64"},
      {"62 unsupported type NVFP4", PITH_E_UNSUPPORTED, tensor_type(40), "token_embd.weight: type NVFP4"},
      {"62 a type from the future", PITH_E_TYPE, tensor_type(42), "token_embd.weight: unknown type 42"},
      {"Q4_0 of 31 weights is not whole blocks", PITH_E_DIMS, dims({31}, 2), "output_norm.weight: dimension 0 of 31"},
      {"Q8_0 of 40 x 4 weights is not whole blocks a row", PITH_E_DIMS, dims({40, 4}, 8), "blocks of 32, as Q8_0"},
      {"Q4_K of 32 weights is not whole blocks", PITH_E_DIMS, dims({32}, 12), "blocks of 256, as Q4_K"},
      {"IQ4_XS of 2^40 - 1 weights is not whole blocks", PITH_E_DIMS, dims({(1ull << 40) - 1}, 23), "IQ4_XS"},
      {"bytes of blocks overflow: Q8_0 of 2^63 weights", PITH_E_OVERFLOW, dims({1ull << 40, 1ull << 23}, 8)},
      {"bytes of blocks overflow: Q5_1 of 2^63 + 2^62 weights", PITH_E_OVERFLOW, dims({3ull << 38, 1ull << 24}, 7)},
      {"elements overflow before their blocks do: Q2_K of 2^64 weights", PITH_E_OVERFLOW,
       dims({1ull << 40, 1ull << 24}, 10)},
      {"blocks that the file lacks: Q2_K of 2^63 weights", PITH_E_TRUNCATED, dims({1ull << 40, 1ull << 23}, 10)},
      {"a block one byte short", PITH_E_TRUNCATED, block_tensor(143), "blocks"},
      {"a block that is there, which no packed file has", PITH_E_SHAPE, block_tensor(144), "pith.packed.names"},
      {"63 offset off the alignment", PITH_E_OFFSET, offset(65)},
      {"64 offset 2^64-64 wraps", PITH_E_OVERFLOW, offset(0 - 64ull)},
      {"64 offset 2^63", PITH_E_OVERFLOW, offset(1ull << 63)},
      {"65 last tensor one byte short", PITH_E_TRUNCATED, [](RawGguf& f) { f.tensors.back().data.pop_back(); }},
      {"66 offset beyond the file", PITH_E_TRUNCATED, offset(1ull << 40)},
      {"67 two tensors share bytes", PITH_E_OVERLAP, offset(0)},
      {"68 the sum of the sizes wraps", PITH_E_TRUNCATED,
       [](RawGguf& f) {
         for (int i = 0; i < 2; ++i)
           f.tensors.push_back({"big" + std::to_string(i), {(1ull << 39), 1ull << 22}, 24, {}, {}, {}, {}});
       }},
      {"69 trailing bytes are allowed", PITH_OK,
       [](RawGguf& f) { f.tensors.back().data.resize(f.tensors.back().data.size() + 1000); }},
      {"70 tensor missing", PITH_E_MISSING,
       [](RawGguf& f) { f.tensor("output_norm.weight").name = "output_norm.weights"; }, "output_norm.weight"},
      {"70 tensor of another shape", PITH_E_SHAPE,
       [](RawGguf& f) {
         RawTensor& t = f.tensor("output_norm.weight");
         t.data.resize(36);
         t.dims = {9};
       },
       "output_norm.weight"},
      {"a packed array shorter than the tensors", PITH_E_SHAPE,
       [](RawGguf& f) {
         f.set("pith.packed.rows", kArray, number_array<uint32_t>(kU32, {1, 2}));
       },
       "pith.packed.rows"},
      {"an unknown packed type", PITH_E_UNSUPPORTED,
       [](RawGguf& f) {
         f.set("pith.packed.types", kArray, string_array(std::vector<std::string>(f.tensors.size(), "q3")));
       },
       "q3"},
      {"a packed version from the future", PITH_E_UNSUPPORTED, u32("pith.packed.version", 2), "pith.packed.version"},
      {"a float model", PITH_E_NOT_PACKED, [](RawGguf& f) { f.remove("pith.packed.version"); }, "pith quantize"},
      {"an unfolded model", PITH_E_NOT_PACKED, [](RawGguf& f) { f.remove("egmla.folded"); }, "egmla.folded"},
      {"77 split file", PITH_E_SPLIT, u32("split.count", 2), "pith quantize ...-00001-of-00002.gguf"},
  };
  return cases;
}

Mutation tokens(std::vector<std::string> list) {
  return [=](RawGguf& f) { f.set("tokenizer.ggml.tokens", kArray, string_array(list)); };
}

const std::vector<Case>& vocabulary_cases() {
  static const std::vector<Case> cases = {
      {"71 tokens missing", PITH_E_VOCABULARY, [](RawGguf& f) { f.remove("tokenizer.ggml.tokens"); },
       "tokenizer.ggml.tokens"},
      {"71 tokens empty", PITH_E_VOCABULARY, tokens({}), "tokenizer.ggml.tokens"},
      {"71 tokens are numbers", PITH_E_TYPE,
       [](RawGguf& f) {
         f.set("tokenizer.ggml.tokens", kArray, number_array<uint32_t>(kU32, std::vector<uint32_t>(257)));
       },
       "tokenizer.ggml.tokens"},
      {"71 tokens fewer than the vocabulary", PITH_E_VOCABULARY, tokens({"a", "b"}), "tokenizer.ggml.tokens"},
      {"72 token_type shorter", PITH_E_VOCABULARY,
       [](RawGguf& f) {
         f.set("tokenizer.ggml.token_type", kArray, number_array<int32_t>(kI32, {3, 1}));
       },
       "token_type"},
      {"72 token_type of bytes", PITH_E_TYPE,
       [](RawGguf& f) {
         f.set("tokenizer.ggml.token_type", kArray, number_array<uint8_t>(kU8, std::vector<uint8_t>(257, 1)));
       },
       "token_type"},
      {"73 bos id = vocabulary size", PITH_E_VOCABULARY, u32("tokenizer.ggml.bos_token_id", 257), "bos_token_id"},
      {"73 eos id 2^32-1", PITH_E_VOCABULARY, u32("tokenizer.ggml.eos_token_id", ~0u), "eos_token_id"},
      {"73 unknown id out of range", PITH_E_VOCABULARY, u32("tokenizer.ggml.unknown_token_id", 300),
       "unknown_token_id"},
      {"73 padding id out of range", PITH_E_VOCABULARY, u32("tokenizer.ggml.padding_token_id", 300),
       "padding_token_id"},
      {"73 no special ids at all", PITH_OK,
       [](RawGguf& f) {
         f.remove("tokenizer.ggml.bos_token_id");
         f.remove("tokenizer.ggml.eos_token_id");
       }},
      {"74 merge without a space", PITH_E_VOCABULARY,
       [](RawGguf& f) { f.set("tokenizer.ggml.merges", kArray, string_array({"ab"})); }, "merges"},
      {"74 merge of an unknown token can never happen", PITH_OK,
       [](RawGguf& f) { f.set("tokenizer.ggml.merges", kArray, string_array({"a b"})); }},
      {"another tokenizer", PITH_E_UNSUPPORTED, [](RawGguf& f) { f.set_string("tokenizer.ggml.model", "bert"); },
       "tokenizer.ggml.model"},
      {"another tokenizer without what it needs", PITH_E_VOCABULARY,
       [](RawGguf& f) { f.set_string("tokenizer.ggml.model", "llama"); }, "tokenizer.ggml.scores"},
      {"78 a chat template of 16 MiB is never run", PITH_OK,
       [](RawGguf& f) { f.set_string("tokenizer.chat_template", std::string(16 << 20, '{')); }},
  };
  return cases;
}

void check_cases(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    CAPTURE(std::string(c.name));
    RawGguf file = tiny_packed();
    c.mutate(file);
    const Bytes bytes = file.build();
    const auto start = std::chrono::steady_clock::now();
    const Verdict verdict = open_bytes(bytes.data(), bytes.size());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    CAPTURE(verdict.message);
    CHECK(int(verdict.status) == int(c.expected));
    CHECK(seconds.count() <
          5);  // far above 100 ms, for sanitizers and busy machines; quadratic work would take minutes
    if (c.expected == PITH_OK) continue;
    CHECK(!verdict.message.empty());
    if (c.names_field != nullptr) CHECK(verdict.message.find(c.names_field) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("the file that the cases corrupt is valid") { CHECK(int(open_raw(tiny_packed()).status) == int(PITH_OK)); }

TEST_CASE("hostile headers") { check_cases(header_cases()); }
TEST_CASE("hostile metadata") { check_cases(metadata_cases()); }
TEST_CASE("hostile hyper-parameters") { check_cases(hyper_parameter_cases()); }
TEST_CASE("hostile tensor tables") { check_cases(tensor_cases()); }
TEST_CASE("hostile vocabularies") { check_cases(vocabulary_cases()); }

TEST_CASE("10: one tensor more or fewer than declared") {
  for (const int change : {-1, 1}) {
    RawGguf file = tiny_packed();
    file.n_tensors = file.tensors.size() + size_t(change);
    CHECK(int(open_raw(file).status) != int(PITH_OK));
  }
}

TEST_CASE("1, 65: every prefix of a valid file is refused") {
  const Bytes bytes = tiny_packed().build();
  size_t refused = 0;
  // Every byte of the header and metadata; then a sample of the weights, where all prefixes fail alike.
  for (size_t size = 0; size < bytes.size(); size += size < 24576 ? 1 : 97) {
    const Verdict verdict = open_bytes(bytes.data(), size);
    CAPTURE(size);
    REQUIRE(int(verdict.status) != int(PITH_OK));
    ++refused;
  }
  CHECK(refused > 10000);
}

TEST_CASE("76: no single bit flip makes the loader misbehave") {
  const Bytes original = tiny_packed().build();
  const size_t metadata_bytes = 24576 < original.size() ? 24576 : original.size();
  size_t accepted = 0, refused = 0;
  Bytes bytes = original;
  for (size_t bit = 0; bit < 8 * metadata_bytes; ++bit) {
    bytes[bit / 8] = uint8_t(original[bit / 8] ^ (1u << (bit % 8)));
    const Verdict verdict = open_bytes(bytes.data(), bytes.size());
    ++(verdict.status == PITH_OK ? accepted : refused);
    bytes[bit / 8] = original[bit / 8];
  }
  MESSAGE("bit flips: ", refused, " refused, ", accepted, " in values that no structure gives away");
  CHECK(refused > 0);
  CHECK(int(open_bytes(bytes.data(), bytes.size()).status) == int(PITH_OK));
}

TEST_CASE("75: weights that are not finite poison the session, not the process") {
  for (const float bad : {kNan, kInfinity}) {
    RawGguf file = tiny_packed();
    std::memcpy(file.tensor("output_norm.weight").data.data(), &bad, sizeof bad);
    const Bytes bytes = file.build();
    const Block data = block_of(bytes.data(), bytes.size());
    size_t size = 0;
    REQUIRE(int(pith_model_bytes(data.get(), bytes.size(), &size, nullptr)) == int(PITH_OK));
    const Block memory = block_of(size);
    pith_model* model = nullptr;
    REQUIRE(int(pith_model_init(data.get(), bytes.size(), memory.get(), size, &model, nullptr)) == int(PITH_OK));
    REQUIRE(int(pith_session_bytes(model, nullptr, &size, nullptr)) == int(PITH_OK));
    const Block session_memory = block_of(size);
    pith_session* session = nullptr;
    REQUIRE(int(pith_session_init(model, nullptr, session_memory.get(), size, &session, nullptr)) == int(PITH_OK));
    const int32_t token = 3;
    CHECK(int(pith_session_eval(session, &token, 1, nullptr)) == int(PITH_E_NUMERIC));
    CHECK(int(pith_session_eval(session, &token, 1, nullptr)) == int(PITH_E_STATE));
    CHECK(int(pith_session_reset(session, nullptr)) == int(PITH_OK));
    CHECK(int(pith_session_eval(session, &token, 1, nullptr)) == int(PITH_E_NUMERIC));
  }
}
