#include "split_files.h"

#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>

#include <fmt/core.h>

namespace pith::quantize {
namespace {

constexpr size_t kDigits = 5;

// The name STEM-00001-of-00003 of a GGUF file, taken apart.
struct SplitName {
  std::string_view stem;
  int no, count;  // from 1 on
};

std::optional<int> take_number(std::string_view* text) {
  if (text->size() < kDigits) return {};
  int number = 0;
  for (const char c : text->substr(text->size() - kDigits)) {
    if (c < '0' || c > '9') return {};
    number = 10 * number + (c - '0');
  }
  text->remove_suffix(kDigits);
  return number;
}

bool take(std::string_view* text, std::string_view ending) {
  if (!text->ends_with(ending)) return false;
  text->remove_suffix(ending.size());
  return true;
}

std::optional<SplitName> split_name(std::string_view path) {
  if (!take(&path, ".gguf")) return {};
  const std::optional<int> count = take_number(&path);
  if (!count || !take(&path, "-of-")) return {};
  const std::optional<int> no = take_number(&path);
  if (!no || !take(&path, "-")) return {};
  return SplitName{path, *no, *count};
}

std::string part_path(std::string_view stem, uint64_t no, uint64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, no, count);
}

[[noreturn]] void refuse(const SplitPart& part, const char* key, const std::string& reason) {
  throw std::runtime_error(fmt::format("file {}: key {}: {}", part.path, key, reason));
}

std::optional<uint64_t> find_uint(const SplitPart& part, const char* key) {
  uint64_t value = 0;
  bool found = false;
  pith_error error{};
  if (part.file->get_uint(key, &value, &found, &error) != PITH_OK)
    throw std::runtime_error(fmt::format("file {}: {}", part.path, error.message));
  return found ? std::optional(value) : std::nullopt;
}

uint64_t get_uint(const SplitPart& part, const char* key, size_t n_parts) {
  const std::optional<uint64_t> value = find_uint(part, key);
  if (!value) refuse(part, key, fmt::format("missing in one of {} files", n_parts));
  return *value;
}

// A single file, under any name: it must hold the whole model.
void check_whole(const SplitPart& part) {
  const uint64_t count = find_uint(part, "split.count").value_or(1);
  if (count > 1)
    refuse(part, "split.count",
           fmt::format("one of {} files, of which the first is named {}", count, part_path("...", 1, count)));
}

void check_keys(const SplitPart& part, size_t index, size_t n_parts, uint64_t n_tensors) {
  const uint64_t count = get_uint(part, "split.count", n_parts), no = get_uint(part, "split.no", n_parts);
  const uint64_t total = get_uint(part, "split.tensors.count", n_parts);
  if (count != n_parts) refuse(part, "split.count", fmt::format("{}, but its name says {}", count, n_parts));
  if (no != index) refuse(part, "split.no", fmt::format("{} (from 0 on), but its name says {}", no, index));
  if (total != n_tensors)
    refuse(part, "split.tensors.count", fmt::format("{}, but the {} files have {}", total, n_parts, n_tensors));
}

void check_names(std::span<const SplitPart> parts) {
  std::map<std::string_view, const SplitPart*> first;
  for (const SplitPart& part : parts) {
    for (size_t i = 0; i < part.file->n_tensors(); ++i) {
      const std::string_view name = part.file->tensor(i).name;
      const auto [at, is_new] = first.emplace(name, &part);
      if (!is_new)
        throw std::runtime_error(fmt::format("file {}: tensor {}: is in {} too", part.path, name, at->second->path));
    }
  }
}

}  // namespace

std::vector<std::string> split_paths(const std::string& path) {
  const std::optional<SplitName> name = split_name(path);
  if (!name) return {path};
  if (name->no < 1 || name->no > name->count)
    throw std::runtime_error(fmt::format("file {}: named as file {} of {}", path, name->no, name->count));
  if (name->no != 1)
    throw std::runtime_error(fmt::format("file {}: named as file {} of {}; the first is {}", path, name->no,
                                         name->count, part_path(name->stem, 1, uint64_t(name->count))));
  std::vector<std::string> paths;
  for (int no = 1; no <= name->count; ++no) paths.push_back(part_path(name->stem, uint64_t(no), uint64_t(name->count)));
  return paths;
}

void check_parts(std::span<const SplitPart> parts) {
  if (parts.size() == 1) return check_whole(parts[0]);
  uint64_t n_tensors = 0;
  for (const SplitPart& part : parts) n_tensors += part.file->n_tensors();
  for (size_t i = 0; i < parts.size(); ++i) check_keys(parts[i], i, parts.size(), n_tensors);
  check_names(parts);
}

}  // namespace pith::quantize
