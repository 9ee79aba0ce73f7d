// The library in a process that is not its own: host_test refused|limits|fork|unload MODEL [LIBPITH.so]. Threads that the system
// refuses, children of fork, and dlclose. Every hostile case runs in a child that ends with kSurvived: a library that ends the process,
// crashes or hangs shows. The oracle is a session without threads, in a process that has made none.
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "pith/pith.h"
#include "program_checks.h"

// ---- What the system says: how many CPUs there are, and whether one more thread can be ------------------------------------

using pith::test::load;

namespace {

constexpr int kCpus = 8;
std::atomic<int> n_created{0};
std::atomic<int> n_alive{0};
int refused_from = 1 << 30;      // pthread_create fails from this call on (1 is the first) ...
int refused_to = 1 << 30;        // ... up to this one
int most_alive = 1 << 30;        // or while so many threads are alive
std::atomic<int> refusal_us{0};  // how long the system thinks about a refusal

using Run = void* (*)(void*);
using Create = int (*)(pthread_t*, const pthread_attr_t*, Run, void*);

// Counts a thread as alive for as long as it runs.
struct Counted {
  Run run;
  void* context;
};
void* run_counted(void* opaque) {
  const Counted counted = *static_cast<Counted*>(opaque);
  delete static_cast<Counted*>(opaque);
  void* result = counted.run(counted.context);
  --n_alive;
  return result;
}

}  // namespace

extern "C" int pthread_create(pthread_t* id, const pthread_attr_t* attributes, Run run, void* context) noexcept {
  static const Create create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  const int n = ++n_created;
  if ((n >= refused_from && n <= refused_to) || n_alive >= most_alive) {
    ::usleep(useconds_t(refusal_us));
    return EAGAIN;
  }
  Counted* counted = new Counted{run, context};
  ++n_alive;
  const int status = create(id, attributes, run_counted, counted);
  if (status == 0) return 0;
  --n_alive;
  delete counted;
  return status;
}

extern "C" int sched_getaffinity(pid_t, size_t bytes, cpu_set_t* set) noexcept {
  CPU_ZERO_S(bytes, set);
  for (int cpu = 0; cpu < kCpus; ++cpu) CPU_SET_S(size_t(cpu), bytes, set);
  return 0;
}

namespace {

// ---- The library, linked or opened ----------------------------------------------------------------------------------------

constexpr int kSurvived = 42;
constexpr unsigned kSecondsToHang = 60;

struct Api {
  decltype(&pith_model_bytes) model_bytes = pith_model_bytes;
  decltype(&pith_model_init) model_init = pith_model_init;
  decltype(&pith_model_get_info) model_info = pith_model_get_info;
  decltype(&pith_session_bytes) session_bytes = pith_session_bytes;
  decltype(&pith_session_init) session_init = pith_session_init;
  decltype(&pith_session_eval) eval = pith_session_eval;
  decltype(&pith_session_logits) logits = pith_session_logits;
  decltype(&pith_session_threads) threads = pith_session_threads;
};

Api api_of(void* library) {
  Api api;
  load(library, "pith_model_bytes", &api.model_bytes);
  load(library, "pith_model_init", &api.model_init);
  load(library, "pith_model_get_info", &api.model_info);
  load(library, "pith_session_bytes", &api.session_bytes);
  load(library, "pith_session_init", &api.session_init);
  load(library, "pith_session_eval", &api.eval);
  load(library, "pith_session_logits", &api.logits);
  load(library, "pith_session_threads", &api.threads);
  return api;
}

struct Memory {
  explicit Memory(size_t n) : bytes(n) { REQUIRE(::posix_memalign(&address, PITH_ALIGNMENT, n + 1) == 0); }
  ~Memory() { std::free(address); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* address = nullptr;
  size_t bytes;
};

std::vector<char> file_of(const char* path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> out{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  REQUIRE(!out.empty());
  return out;
}

struct Model {
  Model(const Api& functions, const std::vector<char>& file)
      : api(functions), data(file.size()), memory(bytes_of(file)) {
    REQUIRE(api.model_init(data.address, data.bytes, memory.address, memory.bytes, &handle, nullptr) == PITH_OK);
    info.struct_size = sizeof info;
    REQUIRE(api.model_info(handle, &info, nullptr) == PITH_OK);
  }
  size_t bytes_of(const std::vector<char>& file) {
    std::memcpy(data.address, file.data(), file.size());
    size_t n = 0;
    REQUIRE(api.model_bytes(data.address, data.bytes, &n, nullptr) == PITH_OK);
    return n;
  }
  const Api& api;
  Memory data, memory;
  pith_model* handle = nullptr;
  pith_model_info info{};
};

pith_session_options options_of(uint32_t max_threads) {
  pith_session_options options;
  pith_session_options_init(&options, sizeof options);
  options.capacity = 200;  // several tiles of attention, so that threads share work
  options.max_threads = max_threads;
  return options;
}

using Logits = std::vector<float>;
bool same_bits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
}

struct Session {
  Session(const Model& of, const pith_session_options& o) : model(of), options(o), memory(bytes_of(of, o)) {}
  Session(const Model& of, uint32_t max_threads) : Session(of, options_of(max_threads)) { init(); }
  static size_t bytes_of(const Model& of, const pith_session_options& options) {
    size_t n = 0;
    REQUIRE(of.api.session_bytes(of.handle, &options, &n, nullptr) == PITH_OK);
    return n;
  }
  void init() {
    REQUIRE(model.api.session_init(model.handle, &options, memory.address, memory.bytes, &handle, nullptr) == PITH_OK);
  }
  Logits eval(const int32_t* tokens, size_t n) {
    REQUIRE(model.api.eval(handle, tokens, n, nullptr) == PITH_OK);
    const float* logits = model.api.logits(handle);
    return Logits(logits, logits + model.info.vocab_size);
  }
  uint32_t threads() const { return model.api.threads(handle); }
  const Model& model;
  pith_session_options options;
  Memory memory;
  pith_session* handle = nullptr;
};

// A prompt, and tokens that are decoded after it.
struct Text {
  static constexpr size_t kPrompt = 90, kSteps = 10;
  explicit Text(const Model& model) {
    const uint64_t seed = std::random_device()();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);  // children would say it again
    std::mt19937_64 random(seed);
    for (int32_t& token : tokens) token = int32_t(random() % model.info.vocab_size);
  }
  // The logits after the prompt and after every step, in a row.
  Logits read(Session* session, size_t first = 0) const {
    Logits all;
    const auto add = [&](const Logits& some) { all.insert(all.end(), some.begin(), some.end()); };
    if (first == 0) add(session->eval(tokens, kPrompt));
    for (size_t i = std::max(first, kPrompt); i < kPrompt + kSteps; ++i) add(session->eval(tokens + i, 1));
    return all;
  }
  Logits expected(const Model& model) const {
    Session alone(model, 1);
    return read(&alone);
  }
  int32_t tokens[kPrompt + kSteps];
};

// Runs body() in a child, which may hang for a minute, and returns what it ended with: kSurvived if body returned.
template <typename Body>
int in_child(const Body& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(kSecondsToHang);
    body();
    std::exit(kSurvived);  // as a host ends: with destructors
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#ifdef PITH_OPENMP
constexpr bool kIsOpenMP = true;
#else
constexpr bool kIsOpenMP = false;
#endif

// ---- Threads that are refused ---------------------------------------------------------------------------------------------

void check_sessions(const Model& model, const Text& text, const Logits& expected, uint32_t asked, uint32_t least,
                    uint32_t most) {
  for (int i = 0; i < 3; ++i) {
    Session session(model, asked);
    const uint32_t n = session.threads();
    // OpenMP's threads of the first session are in the way of the next one's search for them.
    REQUIRE(n >= (kIsOpenMP ? 1 : least) && n <= most);
    REQUIRE(same_bits(text.read(&session), expected));
  }
}

int refused(const Model& model) {
  const Text text(model);
  const Logits expected = text.expected(model);
  REQUIRE(n_created == 0);
  int n_cases = 0;
  for (const uint32_t asked : {2u, 5u, 64u}) {
    const uint32_t most = std::min<uint32_t>(asked, kCpus);
    REQUIRE(in_child([&] { check_sessions(model, text, expected, asked, most, most); }) == kSurvived);
    for (uint32_t k = 1; k <= most; ++k, n_cases += 3) {
      // One refusal: the next session makes up for it. OpenMP's runtime bears none at this place.
      if (!kIsOpenMP) {
        REQUIRE(in_child([&] {
                  refused_from = refused_to = int(k);
                  check_sessions(model, text, expected, asked, std::min(k, most), most);
                  Session last(model, asked);
                  REQUIRE(last.threads() == most);
                }) == kSurvived);
        REQUIRE(in_child([&] {
                  refused_from = int(k);
                  check_sessions(model, text, expected, asked, std::min(k, most), std::min(k, most));
                }) == kSurvived);
      }
      REQUIRE(in_child([&] {
                most_alive = int(k) - 1;
                check_sessions(model, text, expected, asked, std::min(k, most), std::min(k, most));
              }) == kSurvived);
    }
  }
  // The control: a host's own thread is refused by what refuses ours.
  REQUIRE(in_child([&] {
            most_alive = 0;
            pthread_t id;
            REQUIRE(pthread_create(
                        &id, nullptr, [](void* p) { return p; }, nullptr) == EAGAIN);
          }) == kSurvived);
  std::printf("host_test: %d refusals survived; 1 passed\n", n_cases);
  return 0;
}

bool can_make_thread() {
  pthread_t id;
  if (pthread_create(
          &id, nullptr, [](void* p) { return p; }, nullptr) != 0)
    return false;
  pthread_join(id, nullptr);
  return true;
}

constexpr int kNoLimit = 43;

// As a user who may have no more processes.
void be_a_full_user() {
  if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(kNoLimit);
  const rlimit none{0, 0};
  REQUIRE(::setrlimit(RLIMIT_NPROC, &none) == 0);
  if (can_make_thread()) ::_exit(kNoLimit);
}

// A session that is made with so much address space left; returns its threads.
uint32_t make_in_little_space(const Model& model, const Text& text, const Logits& expected, rlim_t spare_bytes) {
  Session session(model, options_of(kCpus));
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlimit little{rlim_t(pages) * rlim_t(::sysconf(_SC_PAGESIZE)) + spare_bytes, RLIM_INFINITY};
  REQUIRE(::setrlimit(RLIMIT_AS, &little) == 0);
  session.init();
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  REQUIRE(::setrlimit(RLIMIT_AS, &all) == 0);
  REQUIRE(same_bits(text.read(&session), expected));
  return session.threads();
}

// The same by limits of the system: of processes of a user, and of address space.
int limits(const Model& model) {
  const Text text(model);
  const Logits expected = text.expected(model);
  const int by_user = in_child([&] {
    be_a_full_user();
    check_sessions(model, text, expected, 4, 1, 1);
  });
  REQUIRE(by_user == kSurvived || by_user == kNoLimit);
  uint32_t fewest = 64, most = 0;
  for (rlim_t spare_kb = 0; spare_kb < 100000; spare_kb = spare_kb * 5 / 4 + 300) {
    const int ended =
        in_child([&] { ::_exit(100 + int(make_in_little_space(model, text, expected, spare_kb << 10))); });
    REQUIRE(ended > 100 && ended <= 100 + kCpus);
    fewest = std::min(fewest, uint32_t(ended - 100));
    most = std::max(most, uint32_t(ended - 100));
  }
  REQUIRE(fewest == 1 && most == kCpus);  // the limits limit
  std::printf("host_test: limit of processes %s, of address space 1 .. %d threads; 1 passed\n",
              by_user == kSurvived ? "survived" : "not to be had here", kCpus);
  return 0;
}

// ---- Children of fork -----------------------------------------------------------------------------------------------------

// The child of a process that has evaluated with threads goes on with a session, and makes another.
void go_on(Session* session, const Text& text, const Logits& expected_rest, const Logits& expected) {
  REQUIRE(session->threads() == 1);
  REQUIRE(same_bits(text.read(session, Text::kPrompt + 1), expected_rest));
  Session another(session->model, 4);
  REQUIRE(another.threads() == 4 && session->threads() == 4);
  REQUIRE(same_bits(text.read(&another), expected));
}

// What a callback is told, to fork in it.
struct Callback {
  int n_calls = 0;
  pid_t child = -1;
};

int forks(const Model& model) {
  const Text text(model);
  const Logits expected = text.expected(model);
  const size_t n_vocab = model.info.vocab_size;
  const Logits expected_rest(expected.begin() + long(2 * n_vocab), expected.end());
  Session session(model, 4), other(model, 4);
  REQUIRE(session.threads() == 4);
  session.eval(text.tokens, Text::kPrompt);
  session.eval(text.tokens + Text::kPrompt, 1);
  // Children and grandchildren, of a process whose threads have just worked, and of one whose threads sleep.
  for (const int sleep_us : {0, 20000}) {
    ::usleep(useconds_t(sleep_us));
    REQUIRE(in_child([&] {
              REQUIRE(in_child([&] { go_on(&session, text, expected_rest, expected); }) == kSurvived);
              go_on(&session, text, expected_rest, expected);
              REQUIRE(kIsOpenMP || n_alive >= 3);
              REQUIRE(in_child([&] {
                        Session late(model, 2);
                        REQUIRE(same_bits(text.read(&late), expected));
                      }) == kSurvived);
            }) == kSurvived);
  }
  // While another thread is inside a session: that one is busy for ever, the others are not.
  std::atomic<bool> is_over{false};
  std::thread evaluating([&] {
    while (!is_over) text.read(&other);
  });
  int n_busy = 0;
  for (int i = 0; i < 50; ++i) {
    const int ended = in_child([&] {
      const int32_t token = 1;
      const pith_status status = pith_session_eval(other.handle, &token, 1, nullptr);
      REQUIRE(status == PITH_OK || status == PITH_E_BUSY);
      go_on(&session, text, expected_rest, expected);
      if (status == PITH_E_BUSY) ::_exit(kSurvived + 1);
    });
    REQUIRE(ended == kSurvived || ended == kSurvived + 1);
    n_busy += ended == kSurvived + 1;
  }
  is_over = true;
  evaluating.join();
  // While another thread is making threads.
  refused_from = n_created + 2;
  refusal_us = 3000;
  is_over = false;
  std::thread making([&] {
    while (!is_over) Session refused_ones(model, kCpus);
  });
  for (int i = 0; i < 10; ++i) {
    REQUIRE(in_child([&] {
              refused_from = refused_to;
              go_on(&session, text, expected_rest, expected);
            }) == kSurvived);
  }
  is_over = true;
  making.join();
  refused_from = refused_to;
  // In the middle of an evaluation, by a callback: both go on with it.
  if (!kIsOpenMP) {
    Callback callback;
    Session forking(model, [&] {
      pith_session_options options = options_of(4);
      options.chunk = 32;
      options.progress = [](void* opaque, uint64_t, uint64_t) {
        Callback* of = static_cast<Callback*>(opaque);
        if (++of->n_calls == 3) of->child = ::fork();
      };
      options.progress_context = &callback;
      return options;
    }());
    forking.init();
    Session alone(model, [] {
      pith_session_options options = options_of(1);
      options.chunk = 32;
      return options;
    }());
    alone.init();
    const bool is_same = same_bits(forking.eval(text.tokens, Text::kPrompt), alone.eval(text.tokens, Text::kPrompt));
    if (callback.child == 0) ::_exit(is_same ? kSurvived : 1);
    int status = 0;
    REQUIRE(is_same && callback.child > 0 && ::waitpid(callback.child, &status, 0) == callback.child);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == kSurvived);
  }
  REQUIRE(session.threads() == 4);  // nothing of it was the parent's loss
  REQUIRE(same_bits(text.read(&session, Text::kPrompt + 1), expected_rest));
  std::printf("host_test: 64 children went on, %d beside a session that was busy; 1 passed\n", n_busy);
  return 0;
}

// ---- dlclose --------------------------------------------------------------------------------------------------------------

struct Footprint {
  long resident_pages = 0, n_threads = 0, n_descriptors = 0, n_mappings = 0;
  bool has_library = false;

  explicit Footprint(const std::string& library) {
    std::ifstream statm("/proc/self/statm");
    statm >> resident_pages >> resident_pages;
    std::ifstream status("/proc/self/status"), maps("/proc/self/maps");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("Threads:", 0) == 0) n_threads = std::atol(line.c_str() + 8);
    }
    for (std::string line; std::getline(maps, line); ++n_mappings)
      has_library |= line.find(library) != std::string::npos;
    DIR* directory = ::opendir("/proc/self/fd");
    while (directory != nullptr && ::readdir(directory) != nullptr) ++n_descriptors;
    ::closedir(directory);
  }
};

// Opens the library, works with threads, and closes it without a word, as plugins are.
void use_and_close(const char* path, const std::vector<char>& file, const Text& text, const Logits& expected,
                   int pause_us) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  const Api api = api_of(library);
  {
    const Model model(api, file);
    Session session(model, 2);
    REQUIRE(session.threads() == 2);
    REQUIRE(same_bits(text.read(&session), expected));
  }
  ::usleep(useconds_t(pause_us));
  REQUIRE(::dlclose(library) == 0);
}

int unload(const Model& model, const std::vector<char>& file, const char* path) {
  const std::string name = std::string(path).substr(std::string(path).rfind('/') + 1);
  const Text text(model);
  const Logits expected = text.expected(model);
  REQUIRE(!Footprint(name).has_library);
  for (int i = 0; i < 10; ++i) use_and_close(path, file, text, expected, 0);
  const Footprint before(name);
  for (int i = 0; i < 100; ++i) use_and_close(path, file, text, expected, i % 10 == 0 ? 10000 : 0);
  const Footprint after(name);
  REQUIRE(kIsOpenMP || !after.has_library);  // it does go
  REQUIRE(after.n_threads == before.n_threads && (kIsOpenMP || after.n_threads == 1));
  REQUIRE(after.n_descriptors == before.n_descriptors);
  REQUIRE(after.n_mappings <= before.n_mappings + 4);
  REQUIRE(after.resident_pages <= before.resident_pages + 256);
  // A fork afterwards calls nothing of what is gone; and a child may open it again.
  REQUIRE(in_child([&] { use_and_close(path, file, text, expected, 0); }) == kSurvived);
  std::printf(
      "host_test: opened and closed 110 times; %ld threads, %ld descriptors, %ld mappings, %ld pages and %+ld; 1 "
      "passed\n",
      after.n_threads, after.n_descriptors, after.n_mappings, after.resident_pages,
      after.resident_pages - before.resident_pages);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  REQUIRE(argc >= 3);
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  const std::string mode = argv[1];
  const std::vector<char> file = file_of(argv[2]);
  const Api linked;
  const Model model(linked, file);
  if (mode == "refused") return refused(model);
  if (mode == "limits") return limits(model);
  if (mode == "fork") return forks(model);
  REQUIRE(mode == "unload" && argc == 4);
  return unload(model, file, argv[3]);
}
