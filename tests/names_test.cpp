// Names that stand in two places, because one of them is for people or for another language, are the same names there.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "forward_trace.h"
#include "pith/pith.h"

using namespace pith::parity;

namespace {

using Names = std::set<std::string>;

std::string source(const std::string& path) {
  std::ifstream in(PITH_SOURCE_DIR "/" + path);
  REQUIRE_MESSAGE(in.good(), path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The first group of every match.
Names names_in(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  Names names;
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at) names.insert((*at)[1]);
  return names;
}

}  // namespace

TEST_CASE("every status of the header has a string of its own, and no other number has one") {
  const Names numbers = names_in(source("include/pith/pith.h"), R"(\bPITH_(?:OK|E_[A-Z_]+) = (\d+))");
  CHECK(numbers.size() > 30);
  CHECK(names_in(source("include/pith/pith.h"), R"(\b(PITH_(?:OK|E_[A-Z_]+)) = \d)").size() == numbers.size());
  std::map<std::string, int> number_of;
  Names unlisted;  // what the other numbers are called
  for (int number = 0; number < 256; ++number) {
    const std::string text = pith_status_string(pith_status(number));
    CAPTURE(number);
    CAPTURE(text);
    if (numbers.count(std::to_string(number)) == 0) unlisted.insert(text);
    else CHECK(number_of.emplace(text, number).second);
  }
  CHECK(unlisted == Names{"unknown status"});
  CHECK(number_of.count("unknown status") == 0);
  CHECK(number_of.count("") == 0);
  CHECK(number_of.size() == numbers.size());
}

TEST_CASE("PyTorch's traces have the tensors of the runtime's, and the header lists them") {
  Names names;
  for (const std::string& name : names_in_order(1)) names.insert(name.substr(name.rfind('.') + 1));
  CHECK(names.size() > 10);
  CHECK(names_in(source("tools/train/trace.py"), R"re(\bnote(?:_layer)?\("(\w+)")re") == names);
  const std::string header = source("tools/parity/forward_trace.h");
  Names listed = names_in(header, R"(//   (?:layer\.N\.)?(\w+) +(?:I32 )?\[T)");
  CHECK(listed.erase("tokens") == 1);
  CHECK(listed == names);
}
