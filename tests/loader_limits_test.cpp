// What the loader allows of a file's structure, at its last value and one beyond: a check that is off by one, or that looks at another
// field, fails here. The limits are written out once more, from docs/hostile-files.md and the format.
#include <doctest/doctest.h>

#include <string>

#include "loader_testing.h"
#include "model/model_file.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// A header that claims so many tensors and keys, and `rest` zeros behind it.
Bytes header_of(uint64_t n_tensors, uint64_t n_meta, size_t rest) {
  RawGguf file;
  file.n_tensors = n_tensors;
  file.n_meta = n_meta;
  Bytes out = file.build();
  out.resize(out.size() + rest);
  return out;
}

// A tensor of no weight that pith reads, so that its own check speaks or none does.
RawGguf with_tensor(std::vector<uint64_t> dims, uint64_t offset, uint32_t type = kInt8Tensor) {
  return with([&](RawGguf& f) { f.tensors.push_back({"extra", dims, type, {}, {}, offset, {}}); });
}

// Names whose places, by FNV-1a as model_file.cpp folds it, are that of `name` in a table of `slots`.
std::vector<std::string> colliding_with(const std::string& name, size_t slots, size_t n) {
  const auto place_of = [&](const std::string& text) {
    uint64_t h = 0xcbf29ce484222325ull;
    for (const char c : text) h = (h ^ uint8_t(c)) * 0x100000001b3ull;
    return (h ^ h >> 29) & (slots - 1);
  };
  std::vector<std::string> out;
  for (uint64_t i = 0; out.size() < n; ++i) {
    std::string text;
    for (uint64_t rest = i, k = 0; k < 5; ++k, rest /= 26) text += char('a' + rest % 26);
    if (place_of(text) == place_of(name)) out.push_back(text);
  }
  return out;
}

// The tiny model with its tensors at multiples of 64 from where the weights begin.
RawGguf aligned_to(uint32_t alignment) {
  RawGguf file = tiny_packed();
  file.set_u32("general.alignment", alignment);
  file.alignment = alignment;
  for (RawTensor& t : file.tensors) t.data.resize((t.data.size() + 63) / 64 * 64);
  return file;
}

}  // namespace

TEST_CASE("counts in the header: as many as the bytes can hold, and 65,536") {
  constexpr size_t kKey = 14, kTensor = 33;  // bytes of the shortest entries
  for (const uint64_t n : {1, 2, 10}) {
    CHECK(open_bytes(header_of(0, n, kKey * n - 1)).says("metadata count"));
    CHECK(!open_bytes(header_of(0, n, kKey * n)).says("metadata count"));
    CHECK(open_bytes(header_of(n, 0, kTensor * n - 1)).says("tensor count"));
    CHECK(!open_bytes(header_of(n, 0, kTensor * n)).says("tensor count"));
  }
  CHECK(open_bytes(header_of(0, 65537, kKey * 65537)).says("metadata count"));
  CHECK(!open_bytes(header_of(0, 65536, kKey * 65536)).says("metadata count"));
  CHECK(open_bytes(header_of(65537, 0, kTensor * 65537)).says("tensor count"));
  CHECK(!open_bytes(header_of(65536, 0, kTensor * 65536)).says("tensor count"));
  const size_t n = tiny_packed().meta.size();
  const auto keys_in_all = [&](size_t n_keys) {
    return with([&](RawGguf& f) {
      for (size_t i = n; i < n_keys; ++i)
        f.meta.push_back({"key." + std::to_string(i), kU32, value_of<uint32_t>(1), {}});
    });
  };
  expect(keys_in_all(65536), PITH_OK);
  expect(keys_in_all(65537), PITH_E_LIMIT, "metadata count");
}

TEST_CASE("names in one place of a table: as many as are looked at, and a name beyond them is not there") {
  // 24 keys of the model and 232 more: a table of 1,024. The key that is looked for, and that the file lacks, has the place of them all.
  const std::vector<std::string> keys = colliding_with("split.count", 1024, 300);
  size_t n_good = 0;
  for (size_t n = 232; n <= keys.size(); ++n) {
    const Opening opening = open_raw(with([&](RawGguf& f) {
      for (size_t i = 0; i < n; ++i) f.meta.push_back({keys[i], kU32, value_of<uint32_t>(1), {}});
    }));
    if (opening.status == PITH_OK) n_good = n;
    else CHECK(int(opening.status) == int(PITH_E_LIMIT));
  }
  CHECK(n_good >= 232);
  CHECK(n_good <= 256);
  const std::vector<std::string> names = colliding_with("x", 1024, 300);
  for (const size_t n : {256, 257}) {
    RawGguf file;
    for (size_t i = 0; i < n; ++i) file.tensors.push_back({names[i], {64}, kInt8Tensor, Bytes(64), {}, {}, {}});
    file.set_u32("general.alignment", 64);
    if (n == 256)
      file.tensors.push_back({"other", {64}, kInt8Tensor, Bytes(64), {}, {}, {}});  // 257 as well: the same table
    CHECK(open_raw(file).says("collides with 256 others") == (n == 257));
  }
}

TEST_CASE("a file that was never measured is opened with the same care") {
  size_t bytes = 0;
  CHECK(int(ModelFile::directory_bytes(nullptr, 0, &bytes, nullptr)) == int(PITH_E_TRUNCATED));
  const Bytes cut(23, 'G');
  ModelFile file;
  CHECK(int(file.open(cut.data(), cut.size(), nullptr, nullptr)) == int(PITH_E_TRUNCATED));
}

TEST_CASE("the header's 24 bytes") {
  RawGguf other;
  other.magic = "FUGH";
  CHECK(open_raw(other).says("begins with \"FUGH\", not with"));
  CHECK(open_bytes(header_of(0, 0, 0)).says("general.architecture"));  // whole, and empty
  Bytes cut = header_of(0, 0, 0);
  cut.pop_back();
  CHECK(int(open_bytes(cut).status) == int(PITH_E_TRUNCATED));
  size_t size = 0;
  alignas(64) const uint8_t nothing[1] = {};
  CHECK(int(pith_model_bytes(nothing, 0, &size, nullptr)) == int(PITH_E_TRUNCATED));
}

TEST_CASE("a file that ends inside of an entry says in which part") {
  struct Cut {
    const char* words;
    RawGguf file;
    size_t left;  // bytes after the header
  };
  RawGguf key, array, tensor;
  key.set_u32("some.key", 1);
  array.set("some.key", kArray, number_array<uint32_t>(kU32, {1, 2}));
  tensor.tensors.push_back({"some.tensor", {8, 8}, 0, Bytes(256), {}, {}, {}});
  const size_t name = 8 + 8;  // length and letters of some.key
  const Cut cuts[] = {{"key: the file ends inside its length", key, 7},
                      {"key: the file ends inside its 8 bytes", key, name - 1},
                      {"key some.key: the file ends before its type", key, name + 3},
                      {"key some.key: the file ends inside its value", key, name + 4 + 3},
                      {"key some.key: the file ends inside its array header", array, name + 4 + 3},
                      {"key some.key: the file ends inside its array header", array, name + 4 + 4 + 7},
                      {"key some.key: an array of 2 elements is impossible here", array, name + 4 + 12 + 7},
                      {"tensor name: the file ends inside its length", tensor, 7},
                      {"tensor some.tensor: the file ends in its dimensions", tensor, 8 + 11 + 3},
                      {"tensor some.tensor: the file ends in its dimensions", tensor, 8 + 11 + 4 + 7},
                      {"tensor some.tensor: the file ends in its dimensions", tensor, 8 + 11 + 4 + 15},
                      {"tensor some.tensor: the file ends inside its entry", tensor, 8 + 11 + 4 + 16 + 3},
                      {"tensor some.tensor: the file ends inside its entry", tensor, 8 + 11 + 4 + 16 + 4 + 7},
                      {": the file ends before its last byte", tensor, 8 + 11 + 4 + 16 + 4 + 8}};
  for (const Cut& cut : cuts) {
    CAPTURE(std::string(cut.words));
    // The count of one entry is checked against its shortest form first: of a file that is shorter, the rest is tried as a second entry.
    for (const bool is_second : {false, true}) {
      RawGguf file = cut.file;
      size_t before = 24;
      if (is_second && !file.meta.empty()) {
        file.meta.insert(file.meta.begin(), {"first", kString, string_value(std::string(100, 'x')), {}});
        before += 8 + 5 + 4 + 8 + 100;
      } else if (is_second) {
        file.tensors.insert(file.tensors.begin(), {std::string(64, 'f'), {1, 1, 1, 1}, 0, Bytes(4), {}, {}, {}});
        before += 8 + 64 + 4 + 32 + 4 + 8;
      }
      Bytes bytes = file.build();
      bytes.resize(before + cut.left);
      const Opening verdict = open_bytes(bytes);
      CAPTURE(verdict.message);
      if (!verdict.says("count:")) CHECK(verdict.says(cut.words));
      else CHECK(!is_second);
    }
  }
}

TEST_CASE("lengths: strings of 16 MiB, arrays of 2^22 elements") {
  expect(with([](RawGguf& f) { f.set_string("text", std::string(16 << 20, 'x')); }), PITH_OK);
  expect(with([](RawGguf& f) { f.set_string("text", std::string((16 << 20) + 1, 'x')); }), PITH_E_LIMIT,
         "key text: 16777217");
  expect(with([](RawGguf& f) { f.set("list", kArray, number_array<uint8_t>(kU8, std::vector<uint8_t>(4 << 20))); }),
         PITH_OK);
  expect(
      with([](RawGguf& f) { f.set("list", kArray, number_array<uint8_t>(kU8, std::vector<uint8_t>((4 << 20) + 1))); }),
      PITH_E_LIMIT, "an array of 4194305");
  // The elements that are there, and one more, as the last thing in a file.
  for (const auto& of :
       {std::pair<uint32_t, size_t>{kU8, 1}, {kI16, 2}, {kF32, 4}, {kU64, 8}, {kBool, 1}, {kString, 8}}) {
    const uint32_t type = of.first;
    const size_t element = of.second;
    RawGguf file;
    Bytes value;
    put<uint32_t>(&value, type);
    put<uint64_t>(&value, 3);
    value.resize(value.size() + 3 * element);  // zeros; as strings, of no letters
    file.set("list", kArray, value);
    CAPTURE(type);
    CHECK(open_raw(file).says("general.architecture"));
    file.meta[0].value.pop_back();
    CHECK(open_raw(file).says("an array of 3"));
  }
}

TEST_CASE("keys and names are printable ASCII, up to ~, from !") {
  for (int letter = 0; letter < 256; ++letter) {
    const bool is_good = letter >= 33 && letter <= 126;
    CAPTURE(letter);
    const std::string text = std::string("a") + char(letter);
    CHECK(open_raw(with([&](RawGguf& f) { f.set_u32(text, 1); })).says("printable") == !is_good);
    RawGguf file;
    file.tensors.push_back({text, {1}, 0, Bytes(4), {}, {}, {}});
    CHECK(open_raw(file).says("printable") == !is_good);
  }
}

TEST_CASE("booleans are 0 or 1, alone and in arrays") {
  for (const uint8_t value : {uint8_t(0), uint8_t(1), uint8_t(2)}) {
    const pith_status status = value < 2 ? PITH_OK : PITH_E_VALUE;
    expect(with([&](RawGguf& f) { f.set("flag", kBool, value_of(value)); }), status);
    expect(with([&](RawGguf& f) { f.set("flags", kArray, number_array<uint8_t>(kBool, {1, 0, value})); }), status);
  }
  expect(with([](RawGguf& f) { f.set("number", kU8, value_of<uint8_t>(2)); }), PITH_OK);
}

TEST_CASE("dimensions up to 2^40, bytes with their padding up to 2^62") {
  const uint64_t k40 = uint64_t(1) << 40;
  expect(with_tensor({k40}, 0), PITH_E_TRUNCATED, "tensor extra");
  expect(with_tensor({k40 + 1}, 0), PITH_E_OVERFLOW, "dimension 0 of 1099511627777");
  expect(with_tensor({1, 1, 1, k40 + 1}, 0), PITH_E_OVERFLOW, "dimension 3");
  expect(with_tensor({1, 1, 1, 0}, 0), PITH_E_DIMS, "dimension 3 is 0");
  // 64 (2^28 - 1) (2^28 + 1) = 2^62 - 64, which padding to 64 leaves below 2^62; 2^62 itself is beyond with it.
  expect(with_tensor({64, (1u << 28) - 1, (1u << 28) + 1}, 0), PITH_E_TRUNCATED, "tensor extra");
  expect(with_tensor({k40, 1u << 22}, 0), PITH_E_OVERFLOW, "its byte size overflows");
  expect(with_tensor({64}, uint64_t(1) << 62), PITH_E_TRUNCATED, "tensor extra");
  expect(with_tensor({64}, (uint64_t(1) << 62) + 64), PITH_E_OVERFLOW, "offset 4611686018427387968");
  // Elements beyond 2^64 whose bytes are small; bytes beyond 2^64 of fewer elements; padding beyond 2^64.
  expect(with_tensor({k40, 1u << 24}, 0), PITH_E_OVERFLOW, "dimension 1");
  expect(with_tensor({k40, 1u << 22}, 0, 0), PITH_E_OVERFLOW, "its byte size overflows");
  expect(with_tensor({k40, (1u << 24) - 1}, 0), PITH_E_OVERFLOW, "its byte size overflows");
}

TEST_CASE("a tensor's bytes end where the file ends, or before") {
  const RawGguf good = tiny_packed();
  const Bytes bytes = good.build();
  CHECK(int(open_bytes(bytes).status) == int(PITH_OK));
  Bytes cut = bytes;
  cut.pop_back();
  CHECK(open_bytes(cut).says("the file ends before its last byte"));
  // A file that ends before its weights begin.
  RawGguf empty;
  empty.tensors.push_back({"t", {1}, 0, {}, {}, {}, {}});
  Bytes head = empty.build();
  head.resize(24 + 8 + 1 + 4 + 8 + 4 + 8);
  CHECK(open_bytes(head).says("tensor t: the file ends before its last byte"));
}

TEST_CASE("tensors may touch, and not share a byte, in any order in the file") {
  // Two of 64 bytes: the second at 64 touches the first, at 0 shares all of it. In the file's order or the other way round.
  for (const bool is_swapped : {false, true}) {
    for (const uint64_t other : {0, 64}) {
      RawGguf file;
      file.set_u32("general.alignment", 64);
      for (const uint64_t offset : {uint64_t(0), other})
        file.tensors.push_back({file.tensors.empty() ? "t0" : "t1", {64}, kInt8Tensor, Bytes(64), {}, offset, {}});
      if (is_swapped) std::swap(file.tensors[0], file.tensors[1]);
      CHECK(open_raw(file).says("shares bytes with") == (other == 0));
      file.tensors[is_swapped ? 1 : 0].dims = {65};  // one byte into the next
      CHECK(open_raw(file).says("shares bytes with"));
    }
  }
}

TEST_CASE("alignments: powers of two from 8 to 65,536") {
  const auto open_aligned = [](uint32_t alignment) {
    RawGguf file = aligned_to(alignment);
    Opening verdict;
    // With 8, chance decides where the weights begin: a filler moves them to a multiple of 64.
    for (size_t filler = 0; filler < 64; ++filler) {
      file.set_string("filler", std::string(filler, 'x'));
      verdict = open_raw(file);
      if (verdict.status == PITH_OK || verdict.says("general.alignment")) break;
    }
    return verdict;
  };
  for (uint32_t alignment = 8; alignment <= 65536; alignment *= 2) {
    CAPTURE(alignment);
    const Opening verdict = open_aligned(alignment);
    CAPTURE(verdict.message);
    CHECK(int(verdict.status) == int(PITH_OK));
  }
  for (const uint32_t alignment : {0u, 1u, 4u, 7u, 9u, 12u, 48u, 65535u, 65537u, 131072u, 1u << 31})
    CHECK(open_raw(with([&](RawGguf& f) { f.set_u32("general.alignment", alignment); })).says("general.alignment"));
  // The packed bytes of a matrix begin at multiples of 64, whatever the file's alignment.
  RawGguf file = aligned_to(8);
  size_t n_good = 0;
  for (size_t filler = 0; filler < 64; ++filler) {
    file.set_string("filler", std::string(filler, 'x'));
    const Opening verdict = open_raw(file);
    n_good += verdict.status == PITH_OK;
    CHECK((verdict.status == PITH_OK || (verdict.status == PITH_E_OFFSET && verdict.says("misaligned in the file"))));
  }
  CHECK(n_good == 8);  // fillers of 0 .. 63 bytes move the weights to eight places, one of which is good
}

TEST_CASE("a split file says which command joins it, whatever its number") {
  expect(with([](RawGguf& f) { f.set_u32("split.count", 1); }), PITH_OK);
  expect(with([](RawGguf& f) { f.set_u32("split.count", 0); }), PITH_OK);
  expect(with([](RawGguf& f) { f.set_u32("split.count", 2); }), PITH_E_SPLIT,
         "one of 2 files; make one of them: pith quantize ...-00001-of-00002.gguf MODEL.gguf");
  expect(with([](RawGguf& f) { f.set_u32("split.count", 98765); }), PITH_E_SPLIT, "-00001-of-98765.gguf");
  expect(with([](RawGguf& f) { f.set("split.count", kU64, value_of<uint64_t>(1234567)); }), PITH_E_SPLIT,
         "-00001-of-34567.gguf");
  expect(with([](RawGguf& f) { f.set_string("split.count", "2"); }), PITH_E_TYPE, "split.count");
}
