// soak MODEL SECONDS [SEED] [MOST_RATIO]: two sessions get the same tokens, drawn from the first one's logits. The first is left alone; the
// second is cancelled from another thread at any moment, saved and restored into fresh memory, copied into another session, turned to
// another number of threads, and moved to a model that was opened anew. After every evaluation the logits of both are the same bits.
// Memory, descriptors and threads of the process stay what they are after the first tenth. Prints the counts, and of the time of a step
// the median, the 99th and 99.9th percentile and the maximum, by the clock on the wall and by that of the thread; with MOST_RATIO, for
// machines that do nothing else, the 99.9th percentile on the wall must not be more than so many medians. Steps are those of one token
// with a full ring, in the session that is left alone and has one thread: all the same work.
#include <dirent.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "pith/pith.h"

namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::vector<uint8_t>;

constexpr uint32_t kCapacity = 96, kKeep = 4, kChunk = 16;
constexpr long kGrowthKib = 512;  // of memory: an allocator's and the kernel's own moves

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "soak: %s\n", what);
  std::exit(1);
}

void check(pith_status status, const pith_error& error) {
  if (status != PITH_OK) require(false, error.message);
}

// Pages of the system, all of them resident at once: what the process takes does not depend on which were touched.
struct Unmap {
  void operator()(void* memory) const { munmap(memory, size); }
  size_t size = 0;
};
using Memory = std::unique_ptr<void, Unmap>;
Memory memory_of(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  require(memory != MAP_FAILED, "out of memory");
  return Memory(memory, Unmap{size});
}

class Model {
 public:
  explicit Model(const Bytes& bytes) : file_(memory_of(bytes.size())) {
    pith_error error;
    size_t need = 0;
    std::memcpy(file_.get(), bytes.data(), bytes.size());
    check(pith_model_bytes(file_.get(), bytes.size(), &need, &error), error);
    memory_ = memory_of(need);
    check(pith_model_init(file_.get(), bytes.size(), memory_.get(), need, &model_, &error), error);
  }
  const pith_model* get() const { return model_; }
  uint32_t vocab_size() const {
    pith_model_info info{};
    pith_error error;
    info.struct_size = sizeof info;
    check(pith_model_get_info(model_, &info, &error), error);
    return info.vocab_size;
  }

 private:
  Memory file_, memory_;
  pith_model* model_ = nullptr;
};

class Session {
 public:
  Session(std::shared_ptr<const Model> model, uint32_t threads) : model_(std::move(model)) {
    pith_session_options options;
    pith_session_options_init(&options, sizeof options);
    options.capacity = kCapacity;
    options.n_keep = kKeep;
    options.chunk = kChunk;
    options.max_threads = threads;
    size_t bytes = 0;
    pith_error error;
    check(pith_session_bytes(model_->get(), &options, &bytes, &error), error);
    memory_ = memory_of(bytes);
    check(pith_session_init(model_->get(), &options, memory_.get(), bytes, &session_, &error), error);
    state_.resize(pith_session_state_bytes(session_));
  }
  pith_session* get() const { return session_; }

  // Again and again until all tokens are in: a cancelled evaluation keeps whole chunks. Returns how often it was cancelled.
  uint64_t eval(const std::vector<int32_t>& tokens) {
    pith_error error;
    const uint64_t start = pith_session_position(session_);
    for (uint64_t n_cancelled = 0;; ++n_cancelled) {
      const size_t done = size_t(pith_session_position(session_) - start);
      require(done <= tokens.size(), "a cancelled evaluation is beyond its tokens");
      const pith_status status = pith_session_eval(session_, tokens.data() + done, tokens.size() - done, &error);
      if (status != PITH_E_CANCELLED) {
        check(status, error);
        return n_cancelled;
      }
    }
  }
  void restore_from(Session* other) {
    pith_error error;
    size_t n = 0;
    check(pith_session_save(other->session_, state_.data(), state_.size(), &n, &error), error);
    check(pith_session_restore(session_, state_.data(), n, &error), error);
  }
  void copy_from(Session* other) {
    pith_error error;
    check(pith_session_copy(session_, other->session_, &error), error);
  }
  void set_threads(uint32_t n) {
    pith_error error;
    check(pith_session_set_threads(session_, n, &error), error);
  }
  const float* logits() const { return pith_session_logits(session_); }

 private:
  std::shared_ptr<const Model> model_;
  Memory memory_;
  Bytes state_;
  pith_session* session_ = nullptr;
};

// A thread that cancels whatever session it is shown, at random moments, and then lets it be: a chunk may take longer than a moment.
class Canceller {
 public:
  explicit Canceller(uint64_t seed) : thread_([this, seed] { run(seed); }) {}
  ~Canceller() {
    is_over_ = true;
    thread_.join();
  }
  void show(pith_session* session) {
    const std::lock_guard<std::mutex> lock(mutex_);
    session_ = session;
    n_left_ = kMostCancels;
  }

 private:
  void run(uint64_t seed) {
    std::mt19937_64 random(seed);
    while (!is_over_) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      const std::lock_guard<std::mutex> lock(mutex_);
      if (session_ == nullptr || n_left_ == 0) continue;
      pith_session_cancel(session_);
      --n_left_;
    }
  }
  static constexpr int kMostCancels = 20;  // of one evaluation
  std::mutex mutex_;
  pith_session* session_ = nullptr;
  int n_left_ = 0;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

struct Usage {
  long memory_kib, descriptors, threads;
};

long count_entries(const char* path) {
  DIR* folder = opendir(path);
  require(folder != nullptr, path);
  long n = 0;
  while (readdir(folder) != nullptr) ++n;
  closedir(folder);
  return n;
}

Usage usage() {
  long pages = 0, resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  require(file != nullptr && std::fscanf(file, "%ld %ld", &pages, &resident) == 2, "no /proc/self/statm");
  std::fclose(file);
  return {resident * (sysconf(_SC_PAGESIZE) / 1024), count_entries("/proc/self/fd"), count_entries("/proc/self/task")};
}

// What the calling thread has computed so far: without what others took meanwhile.
uint64_t thread_nanoseconds() {
  timespec time;
  require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0, "no clock of the thread");
  return uint64_t(time.tv_sec) * 1'000'000'000 + uint64_t(time.tv_nsec);
}

// Step times in a table of fixed size, so that the memory of long runs stays flat: 16 entries for every doubling of nanoseconds.
class Times {
 public:
  void add(uint64_t ns) {
    const int32_t exponent = 63 - __builtin_clzll(ns | 16);
    ++counts_[exponent][(ns >> (exponent - 4)) & 15];
    ++n_;
    max_ = std::max(max_, ns);
  }
  uint64_t n() const { return n_; }
  uint64_t max() const { return max_; }
  uint64_t quantile(double q) const {
    uint64_t left = uint64_t(q * double(n_));
    for (uint64_t exponent = 4; exponent < 64; ++exponent) {
      for (uint64_t i = 0; i < 16; ++i) {
        if (counts_[exponent][i] > left) return (16 + i) << (exponent - 4);
        left -= counts_[exponent][i];
      }
    }
    return 0;
  }

 private:
  uint64_t counts_[64][16] = {}, n_ = 0, max_ = 0;
};

// Returns by how much the slowest thousandth is slower than the median.
double report_steps(const char* clock, const Times& times) {
  const auto us = [&](double q) { return double(times.quantile(q)) / 1e3; };
  const double ratio = us(0.999) / us(0.5);
  std::printf("%" PRIu64
              " steps, time %s: median %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us, p99.9 / median %.2f\n",
              times.n(), clock, us(0.5), us(0.99), us(0.999), double(times.max()) / 1e3, ratio);
  return ratio;
}

Bytes read_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  require(file != nullptr, path);
  require(std::fseek(file, 0, SEEK_END) == 0, path);
  Bytes out(size_t(std::ftell(file)));
  std::rewind(file);
  require(std::fread(out.data(), 1, out.size(), file) == out.size(), path);
  std::fclose(file);
  return out;
}

struct Counts {
  uint64_t tokens, evaluations, cancelled, restored, copied, reopened, turned;
};

class Soak {
 public:
  Soak(const char* path, uint64_t seed)
      : file_(read_file(path)),
        model_(std::make_shared<Model>(file_)),
        random_(seed),
        canceller_(seed + 1),
        calm_(model_, 1) {
    move_to(std::make_shared<const Model>(file_));  // before memory is looked at: models are two from now on
    pith_sampler_options options;
    pith_sampler_options_init(&options, sizeof options);
    options.seed = seed;
    options.temperature = 1.5f;
    size_t bytes = 0;
    pith_error error;
    check(pith_sampler_bytes(&options, model_->vocab_size(), &bytes, &error), error);
    sampler_memory_ = memory_of(bytes);
    check(pith_sampler_init(&options, model_->vocab_size(), sampler_memory_.get(), bytes, &sampler_, &error), error);
  }

  void run(double seconds) {
    const Clock::time_point start = Clock::now();
    const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    Usage before{};
    for (double at = 0, looked_at = 0; at < seconds; at = passed()) {
      disturb();
      step();
      const bool is_warm = at > seconds / 10;
      if (!is_warm || (before.threads != 0 && at < looked_at + 1)) continue;
      looked_at = at;
      const Usage now = usage();
      if (before.threads == 0) before = now;
      if (now.memory_kib > before.memory_kib + kGrowthKib)
        std::fprintf(stderr, "soak: %ld KiB after %ld\n", now.memory_kib, before.memory_kib);
      require(now.memory_kib <= before.memory_kib + kGrowthKib, "memory grows");
      require(now.descriptors == before.descriptors, "the number of descriptors changes");
      require(now.threads == before.threads, "the number of threads changes");
    }
    const Usage after = usage();
    std::printf("memory %ld -> %ld KiB, descriptors %ld -> %ld, threads %ld -> %ld\n", before.memory_kib,
                after.memory_kib, before.descriptors, after.descriptors, before.threads, after.threads);
  }

  void report(double most_ratio) const {
    std::printf("%" PRIu64 " tokens (%" PRIu64 " turns of the ring) in %" PRIu64
                " evaluations, all logits the same bits; disturbed: %" PRIu64 " times cancelled, %" PRIu64
                " restored, %" PRIu64 " copied, %" PRIu64 " models opened, %" PRIu64 " changes of threads\n",
                n_.tokens, n_.tokens / kCapacity, n_.evaluations, n_.cancelled, n_.restored, n_.copied, n_.reopened,
                n_.turned);
    const double ratio = report_steps("wall", times_);
    report_steps("of the thread", thread_times_);
    require(n_.tokens > 3 * kCapacity && n_.restored > 0 && n_.copied > 0 && times_.n() > 0,
            "too short to say anything");
    require(most_ratio == 0 || ratio <= most_ratio, "slow steps");
  }

 private:
  // One token, or now and then as many as a prompt has.
  void step() {
    pith_error error;
    std::vector<int32_t> tokens(random_() % 16 == 0 ? 1 + random_() % (2 * kChunk) : 1);
    for (int32_t& token : tokens) token = int32_t(random_() % model_->vocab_size());
    if (calm_.logits() != nullptr) check(pith_sampler_draw(sampler_, calm_.logits(), &tokens[0], &error), error);
    const bool is_full = pith_session_position(calm_.get()) >= kCapacity;
    const Clock::time_point start = Clock::now();
    const uint64_t thread_start = thread_nanoseconds();
    require(calm_.eval(tokens) == 0, "a session was cancelled that nobody cancels");
    if (tokens.size() == 1 && is_full) {
      thread_times_.add(thread_nanoseconds() - thread_start);
      times_.add(uint64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count()));
    }
    canceller_.show(disturbed_->get());
    n_.cancelled += disturbed_->eval(tokens);
    canceller_.show(nullptr);
    n_.tokens += tokens.size();
    ++n_.evaluations;
    require(std::memcmp(calm_.logits(), disturbed_->logits(), model_->vocab_size() * sizeof(float)) == 0,
            "the logits of the disturbed session differ");
    require(pith_session_position(calm_.get()) == pith_session_position(disturbed_->get()), "the positions differ");
  }

  void disturb() {
    switch (random_() % 64) {
      case 0:
        other_->restore_from(disturbed_.get());
        std::swap(other_, disturbed_);
        ++n_.restored;
        break;
      case 1:
        other_->copy_from(disturbed_.get());
        std::swap(other_, disturbed_);
        ++n_.copied;
        break;
      case 2:
        disturbed_->set_threads(1 + uint32_t(random_() % 2));
        ++n_.turned;
        break;
      case 3: reopen(); break;
      default: break;
    }
  }

  // As after a restart: another model in other memory, and a session that knows what the state says. Copies need one model.
  void reopen() {
    move_to(std::make_shared<const Model>(file_));
    ++n_.reopened;
  }

  void move_to(const std::shared_ptr<const Model>& model) {
    auto fresh = std::make_unique<Session>(model, 2);
    if (disturbed_ != nullptr) fresh->restore_from(disturbed_.get());
    disturbed_ = std::move(fresh);
    other_ = std::make_unique<Session>(model, 2);
  }

  Bytes file_;
  std::shared_ptr<const Model> model_;
  std::mt19937_64 random_;
  Canceller canceller_;
  Session calm_;
  std::unique_ptr<Session> disturbed_, other_;
  Memory sampler_memory_;
  pith_sampler* sampler_ = nullptr;
  Times times_, thread_times_;
  Counts n_{};
};

}  // namespace

int main(int argc, char** argv) {
  require(argc >= 3, "usage: soak MODEL SECONDS [SEED] [MOST_RATIO]");
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : std::random_device()();
  std::printf("seed %" PRIu64 "\n", seed);
  Soak soak(argv[1], seed);
  soak.run(std::atof(argv[2]));
  soak.report(argc > 4 ? std::atof(argv[4]) : 0);
}
