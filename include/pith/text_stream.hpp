// Text that is safe to show: a part of pith.hpp, which includes it.
#ifndef PITH_TEXT_STREAM_HPP
#define PITH_TEXT_STREAM_HPP

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith.h"
#include "placed.hpp"
#include "result.hpp"

namespace pith {

// Text that is safe to show, from the bytes of tokens.
class TextStream {
 public:
  static Result<TextStream> create(const std::vector<std::string>& stops) {
    TextStream out{Empty()};
    std::vector<const char*> pointers;
    for (const std::string& stop : stops) pointers.push_back(stop.c_str());
    pith_error error;
    const pith_status status = pith_stream_init(&out.stream_, pointers.data(), pointers.size(), &error);
    if (status != PITH_OK) return Failure(status, error);
    return out;
  }

  Result<std::string> try_push(std::string_view text) {
    return shown(text.size(), [&](char* out, size_t capacity, size_t* bytes, pith_error* error) {
      return pith_stream_push(&stream_, text.data(), text.size(), out, capacity, bytes, error);
    });
  }
  Result<std::string> try_finish() {
    return shown(0, [&](char* out, size_t capacity, size_t* bytes, pith_error* error) {
      return pith_stream_finish(&stream_, out, capacity, bytes, error);
    });
  }
  bool stopped() const { return stream_.stopped != 0; }
  size_t state_bytes() const { return pith_stream_state_bytes(&stream_); }
  Result<std::vector<uint8_t>> try_save() const { return saved(&stream_, state_bytes(), pith_stream_save); }
  Result<void> try_restore(std::span<const uint8_t> state) {
    pith_error error;
    return result_of(pith_stream_restore(&stream_, address_of(state), state.size(), &error), error);
  }

#if PITH_EXCEPTIONS
  explicit TextStream(const std::vector<std::string>& stops = {}) : TextStream(create(stops).value()) {}
  std::string push(std::string_view text) { return try_push(text).value(); }
  std::string finish() { return try_finish().value(); }
  std::vector<uint8_t> save() const { return try_save().value(); }
  void restore(std::span<const uint8_t> state) { try_restore(state).value(); }
#endif

 private:
  struct Empty {};
  explicit TextStream(Empty) {}
  template <typename Call>
  static Result<std::string> shown(size_t n_bytes, const Call& call) {
    std::string out(pith_stream_capacity(n_bytes), '\0');
    size_t bytes = 0;
    pith_error error;
    const pith_status status = call(out.data(), out.size(), &bytes, &error);
    if (status != PITH_OK) return Failure(status, error);
    out.resize(bytes);
    return out;
  }

  pith_stream stream_ = sized<pith_stream>();
};

}  // namespace pith

#endif
