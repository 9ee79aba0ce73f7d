// The members of a JSON object, read one by one: what nobody has read can be told at the end.
#ifndef PITH_QUANTIZE_HF_KEYS_H
#define PITH_QUANTIZE_HF_KEYS_H

#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "document.h"

namespace pith::quantize {

// Every function throws std::runtime_error that names the key. A member that is null counts as absent.
class HfKeys {
 public:
  // `prefix` comes before the names in sentences, such as "rope_scaling.".
  explicit HfKeys(json::Document object = json::Document::object(), std::string prefix = "");

  const json::Document* find(std::string_view name);  // NULL: absent
  const json::Document& required(std::string_view name);
  // The value, or `otherwise` where the key is absent; without that it is required.
  double number(std::string_view name, std::optional<double> otherwise = {});
  uint64_t natural(std::string_view name, std::optional<uint64_t> otherwise = {});  // at most 2^53
  bool boolean(std::string_view name, bool otherwise);
  std::string string(std::string_view name, std::string_view otherwise);
  std::vector<double> numbers(std::string_view name);

  void pass_over(std::string_view name) { read_.emplace(name); }
  std::vector<const json::Document::Member*> unread() const;  // that are not null

  [[noreturn]] void refuse(std::string_view name, const std::string& why) const;

 private:
  json::Document object_;
  std::string prefix_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace pith::quantize

#endif
