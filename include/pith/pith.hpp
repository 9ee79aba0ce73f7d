// pith.hpp - the C++20 wrapper of pith.h: owns the mapping of the model file and every block of memory; throws pith::Error.
//
//     pith::Model model = pith::Model::open("model.gguf");
//     pith::Session session(model);
//     session.eval(pith::Tokenizer(model).encode("Once upon a time"));
//     std::span<const float> logits = session.logits();
//
// Objects refer to the model that they were made from: keep it alive (it may be moved: its memory stays where it is).
#ifndef PITH_HPP
#define PITH_HPP

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "pith.h"

namespace pith {

// A failed call: its status, and the sentence that names the field at fault.
class Error : public std::runtime_error {
 public:
  Error(pith_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  pith_status status() const { return status_; }

 private:
  pith_status status_;
};

inline void check(pith_status status, const pith_error* error = nullptr) {
  if (status == PITH_OK) return;
  const bool has_sentence = error != nullptr && error->message[0] != '\0';
  throw Error(status, has_sentence ? error->message : pith_status_string(status));
}

// A block of memory at a multiple of PITH_ALIGNMENT.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes)
      : block_(static_cast<uint8_t*>(::operator new (bytes, std::align_val_t{PITH_ALIGNMENT}))), bytes_(bytes) {}
  void* data() const { return block_.get(); }
  size_t size() const { return bytes_; }

 private:
  struct Free {
    void operator()(uint8_t* block) const { ::operator delete (block, std::align_val_t{PITH_ALIGNMENT}); }
  };
  std::unique_ptr<uint8_t, Free> block_;
  size_t bytes_ = 0;
};

// A read-only private mapping of a regular file.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not block
    if (fd < 0) fail(path, std::strerror(errno));
    struct stat status {};
    const bool is_regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    size_ = is_regular ? size_t(status.st_size) : 0;
    if (size_ > 0) {
      void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
      if (mapping != MAP_FAILED) data_ = mapping;
    }
    const int reason = errno;
    ::close(fd);
    if (!is_regular) fail(path, "not a regular file");
    if (size_ > 0 && data_ == nullptr) fail(path, std::strerror(reason));
  }
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<void*>(data_), size_);
  }
  // An empty file has no mapping: its data is some valid address.
  const void* data() const { return data_ != nullptr ? data_ : kEmpty; }
  size_t size() const { return size_; }

 private:
  [[noreturn]] static void fail(const std::string& path, const std::string& why) {
    throw Error(PITH_E_ARGUMENT, "file " + path + ": " + why);
  }
  alignas(PITH_ALIGNMENT) static constexpr char kEmpty[PITH_ALIGNMENT] = {};
  const void* data_ = nullptr;
  size_t size_ = 0;
};

class Model {
 public:
  // Maps the file. Replace a model file by renaming a new one over it: writing into it would change a running model.
  static Model open(const std::string& path) { return Model(MappedFile(path)); }
  // Bytes that the caller keeps, at a multiple of PITH_ALIGNMENT.
  static Model view(const void* data, size_t size) { return Model(data, size); }

  const pith_model* get() const { return model_; }
  pith_model_info info() const {
    pith_model_info out{};
    out.struct_size = sizeof out;
    check(pith_model_get_info(model_, &out));
    return out;
  }

 private:
  explicit Model(MappedFile file) : Model(file.data(), file.size()) { file_ = std::move(file); }
  Model(const void* data, size_t size) {
    pith_error error{};
    size_t bytes = 0;
    check(pith_model_bytes(data, size, &bytes, &error), &error);
    memory_ = Memory(bytes);
    check(pith_model_init(data, size, memory_.data(), bytes, &model_, &error), &error);
  }

  MappedFile file_;
  Memory memory_;
  pith_model* model_ = nullptr;
};

// How many fast CPUs there are among those that Linux lists below `sysfs`: little cores beside them hold a whole team up. By
// cpu_capacity, at least two thirds of the best (a phone's prime and big cores, no little ones); or else by the highest frequency,
// at least nine tenths. All CPUs where nothing is listed; at most 64, what max_threads takes.
inline uint32_t count_fast_cpus(const std::string& sysfs = "/sys") {
  std::vector<long> capacities, frequencies;
  const auto read_number = [&](size_t cpu, const char* name) -> long {
    std::ifstream in(sysfs + "/devices/system/cpu/cpu" + std::to_string(cpu) + "/" + name);
    long value = 0;
    return in >> value ? value : 0;
  };
  const size_t n_cpus = std::thread::hardware_concurrency();
  for (size_t cpu = 0; cpu < 1024; ++cpu) {
    std::ifstream present(sysfs + "/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_id");
    if (!present.good()) break;
    capacities.push_back(read_number(cpu, "cpu_capacity"));
    frequencies.push_back(read_number(cpu, "cpufreq/cpuinfo_max_freq"));
  }
  const auto count = [](const std::vector<long>& speeds, double share) {
    const auto best = std::max_element(speeds.begin(), speeds.end());
    if (best == speeds.end() || *best == 0) return speeds.size();
    return size_t(std::count_if(speeds.begin(), speeds.end(),
                                [&](long speed) { return double(speed) >= share * double(*best); }));
  };
  const bool has_capacities = std::any_of(capacities.begin(), capacities.end(), [](long c) { return c > 0; });
  const size_t fastest = has_capacities ? count(capacities, 2.0 / 3) : count(frequencies, 0.9);
  const size_t n = fastest == 0 ? n_cpus : fastest;
  return uint32_t(std::clamp<size_t>(n, 1, 64));
}

inline pith_session_options session_options() {
  pith_session_options options;
  pith_session_options_init(&options);
  return options;
}

class Session {
 public:
  explicit Session(const Model& model, const pith_session_options& options = session_options())
      : vocab_size_(model.info().vocab_size) {
    pith_error error{};
    size_t bytes = 0;
    check(pith_session_bytes(model.get(), &options, &bytes, &error), &error);
    memory_ = Memory(bytes);
    check(pith_session_init(model.get(), &options, memory_.data(), bytes, &session_, &error), &error);
  }

  pith_session* get() const { return session_; }
  size_t bytes() const { return memory_.size(); }
  void eval(std::span<const int32_t> tokens) { check(pith_session_eval(session_, tokens.data(), tokens.size())); }
  void eval(int32_t token) { eval(std::span(&token, 1)); }
  // [vocab_size], valid until the next call; empty before the first eval.
  std::span<const float> logits() const {
    const float* first = pith_session_logits(session_);
    return {first, first == nullptr ? 0 : vocab_size_};
  }
  uint64_t position() const { return pith_session_position(session_); }
  void reset() { check(pith_session_reset(session_)); }
  // From any thread or signal handler, while another is inside eval: that throws an Error of PITH_E_CANCELLED.
  void cancel() { pith_session_cancel(session_); }
  // To an earlier position, without logits.
  void rewind(uint64_t position) { check(pith_session_rewind(session_, position)); }
  // Of the same model and options.
  void copy_from(Session& other) { check(pith_session_copy(session_, other.session_)); }
  std::vector<uint8_t> save() {
    std::vector<uint8_t> state(pith_session_state_bytes(session_));
    size_t bytes = 0;
    check(pith_session_save(session_, state.data(), state.size(), &bytes));
    state.resize(bytes);
    return state;
  }
  void restore(std::span<const uint8_t> state) {
    const uint8_t none = 0;  // an empty span may have no address
    pith_error error{};
    check(pith_session_restore(session_, state.empty() ? &none : state.data(), state.size(), &error), &error);
  }

 private:
  size_t vocab_size_;
  Memory memory_;
  pith_session* session_ = nullptr;
};

class Tokenizer {
 public:
  explicit Tokenizer(const Model& model) {
    pith_error error{};
    size_t bytes = 0;
    check(pith_tokenizer_bytes(model.get(), &bytes, &error), &error);
    memory_ = Memory(bytes);
    check(pith_tokenizer_init(model.get(), memory_.data(), bytes, &tokenizer_, &error), &error);
  }

  const pith_tokenizer* get() const { return tokenizer_; }
  int32_t bos() const { return pith_tokenizer_bos(tokenizer_); }
  int32_t eos() const { return pith_tokenizer_eos(tokenizer_); }
  std::vector<int32_t> encode(std::string_view text) const {
    std::vector<int32_t> tokens(text.size());
    const Memory work(pith_tokenizer_work_bytes(text.size()) + 1);
    size_t count = 0;
    check(pith_tokenizer_encode(tokenizer_, text.data(), text.size(), tokens.data(), tokens.size(), &count, work.data(),
                                work.size()));
    tokens.resize(count);
    return tokens;
  }
  // The bytes of one token: possibly a part of a UTF-8 character.
  std::string_view decode(int32_t token) const {
    const char* text = nullptr;
    size_t bytes = 0;
    check(pith_tokenizer_decode(tokenizer_, token, &text, &bytes));
    return {text, bytes};
  }

 private:
  Memory memory_;
  pith_tokenizer* tokenizer_ = nullptr;
};

inline pith_sampler_options sampler_options() {
  pith_sampler_options options;
  pith_sampler_options_init(&options);
  return options;
}

class Sampler {
 public:
  Sampler(uint32_t vocab_size, const pith_sampler_options& options = sampler_options()) {
    pith_error error{};
    size_t bytes = 0;
    check(pith_sampler_bytes(&options, vocab_size, &bytes, &error), &error);
    memory_ = Memory(bytes);
    check(pith_sampler_init(&options, vocab_size, memory_.data(), bytes, &sampler_, &error), &error);
  }
  void accept(int32_t token) { check(pith_sampler_accept(sampler_, token)); }
  int32_t draw(std::span<const float> logits) {
    int32_t token = 0;
    check(pith_sampler_draw(sampler_, logits.data(), &token));
    return token;
  }

 private:
  Memory memory_;
  pith_sampler* sampler_ = nullptr;
};

// Text that is safe to show, from the bytes of tokens.
class TextStream {
 public:
  explicit TextStream(const std::vector<std::string>& stops = {}) {
    std::vector<const char*> pointers;
    for (const std::string& stop : stops) pointers.push_back(stop.c_str());
    if (pith_stream_init(&stream_, pointers.data(), pointers.size()) != PITH_OK)
      throw Error(PITH_E_ARGUMENT, "option stop: at most 8 strings of 1 to 64 bytes");
  }
  std::string push(std::string_view text) {
    std::string out(pith_stream_capacity(text.size()), '\0');
    size_t bytes = 0;
    check(pith_stream_push(&stream_, text.data(), text.size(), out.data(), out.size(), &bytes));
    out.resize(bytes);
    return out;
  }
  std::string finish() {
    std::string out(pith_stream_capacity(0), '\0');
    size_t bytes = 0;
    check(pith_stream_finish(&stream_, out.data(), out.size(), &bytes));
    out.resize(bytes);
    return out;
  }
  bool stopped() const { return stream_.stopped != 0; }

 private:
  pith_stream stream_{};
};

}  // namespace pith

#endif
