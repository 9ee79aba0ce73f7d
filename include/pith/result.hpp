// What a call of pith.hpp gives: Result<T>, a value or a Failure, in programs with exceptions and without; and Error,
// the exception of the calls that throw.
#ifndef PITH_RESULT_HPP
#define PITH_RESULT_HPP

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "pith.h"

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define PITH_EXCEPTIONS 1
#else
#define PITH_EXCEPTIONS 0
#endif

namespace pith {

// A failed call: its status, and the sentence that names what is at fault.
class Failure {
 public:
  Failure(pith_status status, const pith_error& error) : status_(status), error_(error) {
    if (error_.message[0] == '\0') say(pith_status_string(status));
  }
  Failure(pith_status status, std::string_view sentence) : status_(status) { say(sentence); }
  pith_status status() const { return status_; }
  const char* message() const { return error_.message; }

 private:
  void say(std::string_view sentence) {
    const size_t n = sentence.copy(error_.message, sizeof error_.message - 1);
    error_.message[n] = '\0';
  }
  pith_status status_;
  pith_error error_;
};

#if PITH_EXCEPTIONS
class Error : public std::runtime_error {
 public:
  Error(pith_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  explicit Error(const Failure& failure) : Error(failure.status(), failure.message()) {}
  pith_status status() const { return status_; }

 private:
  pith_status status_;
};
#endif

// Throws Error; without exceptions prints the sentence and ends the program.
[[noreturn]] inline void throw_failure(const Failure& failure) {
#if PITH_EXCEPTIONS
  throw Error(failure);
#else
  std::fprintf(stderr, "pith: %s\n", failure.message());
  std::abort();
#endif
}

// A value or a Failure, as std::expected has it. value() of a Failure throws Error, or ends a program without
// exceptions; *result and result-> are for those who have asked first.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Failure failure) : content_(std::in_place_index<1>, failure) {}
  bool has_value() const { return content_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& operator*() & { return *std::get_if<0>(&content_); }
  const T& operator*() const& { return *std::get_if<0>(&content_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&content_)); }
  T* operator->() { return std::get_if<0>(&content_); }
  const T* operator->() const { return std::get_if<0>(&content_); }
  T value() && {
    if (!has_value()) throw_failure(error());
    return std::move(**this);
  }
  const T& value() const& {
    if (!has_value()) throw_failure(error());
    return **this;
  }
  const Failure& error() const { return *std::get_if<1>(&content_); }

 private:
  std::variant<T, Failure> content_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Failure failure) : failure_(failure) {}
  bool has_value() const { return !failure_.has_value(); }
  explicit operator bool() const { return has_value(); }
  void value() const {
    if (!has_value()) throw_failure(error());
  }
  const Failure& error() const { return *failure_; }

 private:
  std::optional<Failure> failure_;
};

// What a call of pith.h said.
inline Result<void> result_of(pith_status status, const pith_error& error) {
  if (status == PITH_OK) return {};
  return Failure(status, error);
}

// Raises what a call of pith.h said.
inline void check(pith_status status, const pith_error* error = nullptr) {
  if (status != PITH_OK) throw_failure(Failure(status, error == nullptr ? pith_error{} : *error));
}

// A block of memory at a multiple of PITH_ALIGNMENT.
class Memory {
 public:
  Memory() = default;
  static Result<Memory> create(size_t bytes) {
    Memory memory;
    memory.block_.reset(static_cast<uint8_t*>(::operator new (bytes, std::align_val_t{PITH_ALIGNMENT}, std::nothrow)));
    memory.bytes_ = bytes;
    if (memory.block_ == nullptr)
      return Failure(PITH_E_MEMORY, "memory: the heap does not have " + std::to_string(bytes) + " bytes");
    return memory;
  }
#if PITH_EXCEPTIONS
  explicit Memory(size_t bytes) : Memory(create(bytes).value()) {}
#endif
  void* data() const { return block_.get(); }
  size_t size() const { return bytes_; }

 private:
  struct Free {
    void operator()(uint8_t* block) const { ::operator delete (block, std::align_val_t{PITH_ALIGNMENT}); }
  };
  std::unique_ptr<uint8_t, Free> block_;
  size_t bytes_ = 0;
};

}  // namespace pith

#endif
