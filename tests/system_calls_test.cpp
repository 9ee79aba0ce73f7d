// After init the library asks the system for nothing but futexes: system_calls_test MODEL THREADS LIBPITH.so [STEPS]. A child makes its
// objects, then a seccomp filter for all of its threads kills it at any other system call, and it decodes through a ring that wraps,
// samples, tokenizes, and now and then reads a prompt, saves, restores, copies, rewinds and cancels. With the library linked, and opened by
// dlopen. With one thread not even futexes are allowed.
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <dlfcn.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "pith/pith.h"
#include "program_checks.h"

namespace {

constexpr int kDone = 42, kNoFilter = 43, kWrong = 44;

// Every thread of this process dies at a system call other than exit_group and, if allowed, futex.
bool forbid_system_calls(bool allows_futex) {
#ifdef __x86_64__
  constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
  constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif
  const uint32_t futex = allows_futex ? uint32_t(SYS_futex) : uint32_t(SYS_exit_group);
  sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 3),
                        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, futex, 2, 0),
                        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(SYS_exit_group), 1, 0),
                        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{sizeof code / sizeof code[0], code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

// Runs body(forbid) in a child; how it ended: what it returned, or 1000 and a signal.
template <typename Body>
int in_child(const Body& body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// ---- The library, linked or opened ----------------------------------------------------------------------------------------

#define PITH_USED(X)      \
  X(model_bytes)          \
  X(model_init)           \
  X(model_get_info)       \
  X(session_bytes)        \
  X(session_init)         \
  X(session_eval)         \
  X(session_logits)       \
  X(session_state_bytes)  \
  X(session_save)         \
  X(session_restore)      \
  X(session_copy)         \
  X(session_rewind)       \
  X(session_cancel)       \
  X(session_position)     \
  X(session_threads)      \
  X(sampler_bytes)        \
  X(sampler_init)         \
  X(sampler_draw)         \
  X(tokenizer_bytes)      \
  X(tokenizer_init)       \
  X(tokenizer_work_bytes) \
  X(tokenizer_encode)     \
  X(tokenizer_decode)

struct Api {
#define PITH_MEMBER(name) decltype(&pith_##name) name = pith_##name;
  PITH_USED(PITH_MEMBER)
#undef PITH_MEMBER
};

Api api_of(const char* path) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  Api api;
#define PITH_LOAD(name) pith::test::load(library, "pith_" #name, &api.name);
  PITH_USED(PITH_LOAD)
#undef PITH_LOAD
  return api;
}

void* block_of(size_t n) {
  void* out = nullptr;
  REQUIRE(::posix_memalign(&out, PITH_ALIGNMENT, n) == 0);
  return out;
}

// All that the steps need, made before they begin.
struct Objects {
  Objects(const Api& functions, const std::vector<char>& file, uint32_t n_threads) : api(functions) {
    size_t n = 0;
    void* data = block_of(file.size());
    std::copy(file.begin(), file.end(), static_cast<char*>(data));
    pith_model* model = nullptr;
    REQUIRE(api.model_bytes(data, file.size(), &n, nullptr) == PITH_OK);
    REQUIRE(api.model_init(data, file.size(), block_of(n), n, &model, nullptr) == PITH_OK);
    info.struct_size = sizeof info;
    REQUIRE(api.model_get_info(model, &info, nullptr) == PITH_OK);
    pith_session_options options{};
    options.struct_size = sizeof options;
    options.capacity = 200;
    options.n_keep = 4;
    options.chunk = 32;
    options.max_threads = n_threads;
    REQUIRE(api.session_bytes(model, &options, &n, nullptr) == PITH_OK);
    REQUIRE(api.session_init(model, &options, block_of(n), n, &session, nullptr) == PITH_OK);
    REQUIRE(api.session_init(model, &options, block_of(n), n, &fork, nullptr) == PITH_OK);
    state.resize(api.session_state_bytes(session));
    REQUIRE(api.sampler_bytes(nullptr, info.vocab_size, &n, nullptr) == PITH_OK);
    REQUIRE(api.sampler_init(nullptr, info.vocab_size, block_of(n), n, &sampler, nullptr) == PITH_OK);
    REQUIRE(api.tokenizer_bytes(model, &n, nullptr) == PITH_OK);
    REQUIRE(api.tokenizer_init(model, block_of(n), n, &tokenizer, nullptr) == PITH_OK);
    work.resize(api.tokenizer_work_bytes(sizeof kText));
  }

  bool step(long i) {
    const char* text = nullptr;
    size_t n = 0;
    bool good = api.session_eval(session, &token, 1, nullptr) == PITH_OK;
    good = good && api.sampler_draw(sampler, api.session_logits(session), &token, nullptr) == PITH_OK;
    good = good && api.tokenizer_decode(tokenizer, token, &text, &n, nullptr) == PITH_OK;
    return good && (i % 32 != 0 || take_apart());
  }

 private:
  bool take_apart() {
    int32_t ids[sizeof kText];
    size_t n = 0, bytes = 0;
    bool good = api.tokenizer_encode(tokenizer, kText, sizeof kText - 1, 0, ids, sizeof kText, &n, work.data(),
                                     work.size(), nullptr) == PITH_OK;
    good = good && api.session_save(session, state.data(), state.size(), &bytes, nullptr) == PITH_OK;
    good = good && api.session_restore(fork, state.data(), bytes, nullptr) == PITH_OK;
    const uint64_t position = api.session_position(fork);
    for (int32_t& id : prompt) id = ids[size_t(&id - prompt) % n];
    good = good && api.session_eval(fork, prompt, sizeof prompt / sizeof prompt[0], nullptr) == PITH_OK;
    api.session_cancel(fork);
    const pith_status rewound = api.session_rewind(fork, position, nullptr);
    good = good && (rewound == PITH_OK || rewound == PITH_E_STATE);
    const int32_t none = -1;
    pith_error error;
    good = good && api.session_eval(fork, &none, 1, &error) == PITH_E_ARGUMENT;  // and its sentence
    return good && api.session_copy(fork, session, nullptr) == PITH_OK;
  }

  static constexpr char kText[] = "The fox and the lantern";
  const Api& api;
  pith_model_info info{};
  pith_session *session = nullptr, *fork = nullptr;
  pith_sampler* sampler = nullptr;
  pith_tokenizer* tokenizer = nullptr;
  std::vector<char> work, state;
  int32_t token = 0, prompt[70] = {};

 public:
  uint32_t n_threads() const { return api.session_threads(session); }
};

int run(const Api& api, const std::vector<char>& file, uint32_t n_threads, long n_steps) {
  Objects objects(api, file, n_threads);
  // With memory that was not touched yet: a page fault is no system call.
  if (!forbid_system_calls(objects.n_threads() > 1)) return kNoFilter;
  for (long i = 0; i < n_steps; ++i) {
    if (!objects.step(i)) return kWrong;
  }
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::fprintf(stderr, "usage: system_calls_test MODEL THREADS LIBPITH.so [STEPS]\n");
    return 2;
  }
  std::ifstream in(argv[1], std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  REQUIRE(!file.empty());
  const uint32_t n_threads = uint32_t(std::atoi(argv[2]));
  const long n_steps = argc == 5 ? std::atol(argv[4]) : 5000;
  // The control: a call that is forbidden, and one of which the filter for a single thread knows nothing.
  const int control = in_child([] {
    if (!forbid_system_calls(true)) return kNoFilter;
    (void)::getppid();
    return kDone;
  });
  if (control == kNoFilter) {
    std::printf("system_calls_test: seccomp is not to be had here: skipped; 1 passed\n");
    return 0;
  }
  REQUIRE(control == 1000 + SIGSYS);
  REQUIRE(in_child([] {
            if (!forbid_system_calls(false)) return kNoFilter;
            int word = 0;
            (void)::syscall(SYS_futex, &word, 1, 1, nullptr, nullptr, 0);
            return kDone;
          }) == 1000 + SIGSYS);
  const auto check = [&](const char* what, const auto& body) {
    const int ended = in_child(body);
    if (ended == kDone) return;
    std::fprintf(stderr, "system_calls_test: %s: a child ended with %d%s\n", what, ended,
                 ended == 1000 + SIGSYS ? ", SIGSYS: a forbidden system call" : "");
    std::exit(1);
  };
  check("linked", [&] { return run(Api(), file, n_threads, n_steps); });
  check("by dlopen", [&] { return run(api_of(argv[3]), file, n_threads, n_steps); });
  std::printf(
      "system_calls_test: %ld steps linked, as many by dlopen, %u threads asked for: no system call%s; 1 passed\n",
      n_steps, n_threads, n_threads > 1 ? " but futex" : "");
  return 0;
}

#else

#include <cstdio>

int main() {
  std::printf("system_calls_test: needs Linux on x86-64 or aarch64: skipped; 1 passed\n");
  return 0;
}

#endif
