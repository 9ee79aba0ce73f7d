// Models that are split over several files: which files, and do they belong together?
#include "split_files.h"

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "open_file.h"
#include "raw_gguf.h"
#include "sentences.h"

using namespace pith::quantize;
using namespace pith::test;

namespace {

RawGguf part(uint32_t no, uint32_t count, uint32_t n_tensors, const std::vector<std::string>& tensors) {
  RawGguf file;
  file.alignment = 32;
  file.set_u32("split.no", no);
  file.set_u32("split.count", count);
  file.set_u32("split.tensors.count", n_tensors);
  for (const std::string& name : tensors) file.tensors.push_back({name, {4}, 0, Bytes(16), {}, {}, {}});
  return file;
}

std::vector<RawGguf> good_parts() { return {part(0, 3, 3, {}), part(1, 3, 3, {"a", "b"}), part(2, 3, 3, {"c"})}; }

std::string refusal_of(const std::vector<RawGguf>& files) {
  std::vector<Bytes> bytes;
  for (const RawGguf& file : files) bytes.push_back(file.build());
  std::vector<std::unique_ptr<OpenFile>> open;
  std::vector<SplitPart> parts;
  const std::vector<std::string> paths =
      files.size() == 1 ? std::vector<std::string>{"m.gguf"} : split_paths("m-00001-of-00003.gguf");
  for (size_t i = 0; i < files.size(); ++i) {
    open.push_back(std::make_unique<OpenFile>(bytes[i].data(), bytes[i].size(), SplitFiles::accepted));
    parts.push_back({paths[i], &open.back()->file});
  }
  return thrown_by([&] { check_parts(parts); });
}

}  // namespace

TEST_CASE("the paths of a split model follow from the first") {
  CHECK(split_paths("/a/m-00001-of-00003.gguf") ==
        std::vector<std::string>{"/a/m-00001-of-00003.gguf", "/a/m-00002-of-00003.gguf", "/a/m-00003-of-00003.gguf"});
  CHECK(split_paths("m-00001-of-00001.gguf") == std::vector<std::string>{"m-00001-of-00001.gguf"});
  for (const std::string path : {"m.gguf", "", ".gguf", "-of-00002.gguf", "m-00001-of-00002", "m-1-of-2.gguf",
                                 "m-0000x-of-00002.gguf", "m00001-of-00002.gguf", "m-00001-of-00002.gguf.part"}) {
    CAPTURE(path);
    CHECK(split_paths(path) == std::vector<std::string>{path});
  }
  CHECK(contains(thrown_by([] { split_paths("m-00002-of-00003.gguf"); }), "the first is m-00001-of-00003.gguf"));
  for (const char* path : {"m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-00001-of-00000.gguf"})
    CHECK(contains(thrown_by([path] { split_paths(path); }), path));
}

TEST_CASE("parts that belong together are accepted, and refused by file and key otherwise") {
  CHECK(refusal_of(good_parts()) == "");
  struct Case {
    size_t file;
    const char* key;
    uint32_t value;
  };
  for (const Case& c : {Case{1, "split.no", 2},
                        {2, "split.no", 1},
                        {0, "split.count", 2},
                        {2, "split.count", 4},
                        {1, "split.tensors.count", 4},
                        {2, "split.tensors.count", 2}}) {
    const std::string where = fmt::format("file m-0000{}-of-00003.gguf: key {}: ", c.file + 1, c.key);
    CAPTURE(where);
    std::vector<RawGguf> files = good_parts();
    files[c.file].set_u32(c.key, c.value);
    CHECK(refusal_of(files).starts_with(where + std::to_string(c.value)));
    files[c.file].remove(c.key);
    CHECK(refusal_of(files).starts_with(where + "missing"));
    files[c.file].set_string(c.key, "1");
    CHECK(contains(refusal_of(files), std::string("key ") + c.key + ": must be an integer"));
  }
}

TEST_CASE("no tensor is in two parts") {
  std::vector<RawGguf> files = good_parts();
  files[2].tensors[0].name = files[1].tensors[0].name;
  const std::string sentence = refusal_of(files);
  CHECK(contains(sentence, "m-00003-of-00003.gguf: tensor a"));
  CHECK(contains(sentence, "m-00002-of-00003.gguf"));
}

TEST_CASE("a single file is a whole model") {
  RawGguf file = part(0, 1, 1, {"a"});
  CHECK(refusal_of({file}) == "");
  file.meta.clear();
  CHECK(refusal_of({file}) == "");
  file.set_u32("split.count", 2);  // a part under another name
  CHECK(contains(refusal_of({file}),
                 "file m.gguf: key split.count: one of 2 files, of which the first is named ...-00001-of-00002.gguf"));
  const Bytes bytes = file.build();
  CHECK(contains(thrown_by([&] { OpenFile(bytes.data(), bytes.size()); }), "pith quantize ...-00001-of-00002.gguf"));
}
