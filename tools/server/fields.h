// The members of a JSON object that a client sent, read strictly: what is not as it must be is refused by name.
#ifndef PITH_SERVER_FIELDS_H
#define PITH_SERVER_FIELDS_H

#include <cstdint>
#include <optional>
#include <string>

#include "document.h"

namespace pith::server {

// Members that are absent or null are those that nobody gave.
class Fields {
 public:
  // `path`: what stands before the names of these members in a sentence, such as "messages[2].".
  explicit Fields(const json::Document& object, std::string path = "");

  const json::Document* find(const char* name) const;  // NULL: not given
  const json::Document& at(const char* name) const;    // which must be given
  std::string name_of(const char* name) const { return path_ + name; }

  std::optional<bool> boolean(const char* name) const;
  std::optional<int64_t> integer(const char* name) const;  // of 64 bits, with or without sign
  std::optional<uint32_t> natural(const char* name, uint32_t least, uint32_t most) const;
  // `least` itself is refused where `excludes_least`.
  std::optional<double> number(const char* name, double least, double most, bool excludes_least = false) const;
  std::optional<std::string> string(const char* name) const;

 private:
  const json::Document& object_;
  std::string path_;
};

}  // namespace pith::server

#endif
