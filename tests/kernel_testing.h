// What tests of kernels share: tiers, random numbers, guarded memory, comparison of bits.
#ifndef PITH_TESTS_KERNEL_TESTING_H
#define PITH_TESTS_KERNEL_TESTING_H

#include <doctest/doctest.h>

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "dispatch.h"

namespace pith::test {

using namespace internal;

using Floats = std::vector<float>;

constexpr float kNan = __builtin_nanf(""), kInf = __builtin_inff();
constexpr float kCanary = 12345.678f;

inline const Kernels& scalar() { return *choose_tier("scalar"); }

template <typename F>
void for_each_tier(F f) {
  for (size_t i = 0; i < tier_count(); ++i) {
    const Tier tier = tier_at(i);
    CAPTURE(std::string(tier.kernels->name));
    if (tier.usable) f(*tier.kernels);
  }
}

// Two pages of floats between inaccessible ones, filled with canaries.
class Pages {
 public:
  Pages() {
    base_ = static_cast<uint8_t*>(mmap(nullptr, 4 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(base_ != MAP_FAILED);
    REQUIRE(mprotect(base_ + kPage, 2 * kPage, PROT_READ | PROT_WRITE) == 0);
  }
  ~Pages() { munmap(base_, 4 * kPage); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // n floats: place 0 .. 3 begin that many elements after the first page, place 4 ends right before the last.
  float* put(const std::vector<float>& x, int place) {
    std::fill_n(first(), kFloats, kCanary);
    data_ = place < 4 ? first() + place : first() + kFloats - x.size();
    n_ = x.size();
    std::copy(x.begin(), x.end(), data_);
    return data_;
  }
  std::vector<float> get() const { return {data_, data_ + n_}; }
  bool is_clean_around() const {
    const auto is_canary = [](float x) { return x == kCanary; };
    return std::all_of(first(), data_, is_canary) && std::all_of(data_ + n_, first() + kFloats, is_canary);
  }

 private:
  static constexpr size_t kPage = 4096, kFloats = 2 * kPage / sizeof(float);
  float* first() const { return reinterpret_cast<float*>(base_ + kPage); }
  uint8_t* base_;
  float* data_ = nullptr;
  size_t n_ = 0;
};

// n elements that end right before an inaccessible page and, for the other half of the tests, begin right after one.
template <typename T>
class Guarded {
 public:
  Guarded(size_t n, bool at_end) : n_(n) {
    const size_t bytes = (n * sizeof(T) + kPage - 1) / kPage * kPage + kPage;
    size_ = bytes + kPage;
    base_ = static_cast<uint8_t*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(base_ != MAP_FAILED);
    mprotect(base_, kPage, PROT_NONE);
    mprotect(base_ + bytes, kPage, PROT_NONE);
    data_ = reinterpret_cast<T*>(at_end ? base_ + bytes - n * sizeof(T) : base_ + kPage);
  }
  Guarded(const std::vector<T>& x, bool at_end) : Guarded(x.size(), at_end) { std::copy(x.begin(), x.end(), data_); }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  T* data() { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  size_t size() const { return n_; }
  std::vector<T> get() const { return {data_, data_ + n_}; }

 private:
  static constexpr size_t kPage = 4096;
  size_t n_, size_;
  uint8_t* base_;
  T* data_;
};

// Equal bits, or NaN both: which NaN is nobody's business.
inline bool same(const Floats& a, const Floats& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) ? !std::isnan(b[i]) : std::memcmp(&a[i], &b[i], sizeof(float)) != 0) return false;
  }
  return a.size() == b.size();
}

struct Random {
  uint64_t seed = std::random_device{}();
  std::mt19937_64 engine{seed};
  float normal() { return std::normal_distribution<float>()(engine); }
  uint64_t below(uint64_t n) { return engine() % n; }
  void fill(Guarded<float>* out, float spread = 1) {
    for (size_t i = 0; i < out->size(); ++i) (*out)[i] = spread * normal();
  }
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine); }
  float sign() { return engine() % 2 == 0 ? 1.0f : -1.0f; }
  // Every magnitude between the smallest denormal and `largest`, and now and then a zero of either sign.
  float any(double largest) {
    if (engine() % 16 == 0) return 0.0f * sign();
    return sign() * float(std::exp2(std::uniform_real_distribution<double>(-149, std::log2(largest))(engine)));
  }
};

}  // namespace pith::test

#endif
