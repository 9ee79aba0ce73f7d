// What the objects of pith.hpp share: structs with their size, memory that an object lies in, states as bytes.
#ifndef PITH_PLACED_HPP
#define PITH_PLACED_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "pith.h"
#include "result.hpp"

namespace pith {

// A struct of pith.h as its functions want it: zeros, and its size.
template <typename Struct>
Struct sized() {
  Struct out{};
  out.struct_size = sizeof out;
  return out;
}

// The bytes that save(object, state, capacity, &bytes, &error) writes.
template <typename Object>
Result<std::vector<uint8_t>> saved(Object* object, size_t capacity,
                                   pith_status (*save)(Object*, void*, size_t, size_t*, pith_error*)) {
  std::vector<uint8_t> state(capacity);
  pith_error error;
  size_t bytes = 0;
  const pith_status status = save(object, state.data(), state.size(), &bytes, &error);
  if (status != PITH_OK) return Failure(status, error);
  state.resize(bytes);
  return state;
}

// An object of pith.h, and the memory that it lies in.
template <typename Object>
struct Placed {
  Memory memory;
  Object* object = nullptr;
};

// ask(&bytes, &error) says how much memory the object needs, make(memory, bytes, &object, &error) makes it.
template <typename Object, typename Ask, typename Make>
Result<Placed<Object>> place(const Ask& ask, const Make& make) {
  Placed<Object> out;
  pith_error error;
  size_t bytes = 0;
  pith_status status = ask(&bytes, &error);
  if (status != PITH_OK) return Failure(status, error);
  Result<Memory> memory = Memory::create(bytes);
  if (!memory) return memory.error();
  out.memory = std::move(*memory);
  status = make(out.memory.data(), bytes, &out.object, &error);
  if (status != PITH_OK) return Failure(status, error);
  return out;
}

// An empty span may have no address.
inline const uint8_t* address_of(std::span<const uint8_t> bytes) {
  static constexpr uint8_t kNone = 0;
  return bytes.empty() ? &kNone : bytes.data();
}

}  // namespace pith

#endif
