// What a call refuses, as the sentence that it throws.
#ifndef PITH_TESTS_SENTENCES_H
#define PITH_TESTS_SENTENCES_H

#include <stdexcept>
#include <string>

namespace pith::test {

// The sentence of the std::runtime_error that `run` throws; empty if it throws none.
template <typename Run>
std::string thrown_by(const Run& run) {
  try {
    run();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace pith::test

#endif
