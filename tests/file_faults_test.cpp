// What happens to a model's file while a program uses it: file_faults_test MODEL. Reads that come short, are interrupted, fail or find the
// end; files that are truncated, replaced, unlinked or overwritten under a mapping and under a copy; parts of files. What may end a process
// runs in a child, and the way that it ends is part of the promise of pith.hpp.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "pith/pith.hpp"
#include "program_checks.h"

// ---- The system's reads, which fail as the test says ----------------------------------------------------------------------

namespace {

enum class Fault { none, interrupted, input_output, end };
constexpr size_t kMostBytes = 1000;  // of a read, so that a small file takes many
Fault fault = Fault::none;
int n_reads = 0, fault_at = 0;  // the first read is 1
bool is_for_good = false;

bool is_faulty() { return fault != Fault::none && (n_reads == fault_at || (is_for_good && n_reads > fault_at)); }

}  // namespace

extern "C" ssize_t pread(int fd, void* out, size_t n, off_t offset) {
  static const auto real = reinterpret_cast<ssize_t (*)(int, void*, size_t, off_t)>(dlsym(RTLD_NEXT, "pread"));
  ++n_reads;
  if (is_faulty() && fault == Fault::end) return 0;
  if (is_faulty()) {
    errno = fault == Fault::interrupted ? EINTR : EIO;
    return -1;
  }
  return real(fd, out, n < kMostBytes ? n : kMostBytes, offset);
}

namespace {

using Bytes = std::vector<char>;
using Logits = std::vector<float>;

Bytes bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in.good());
  return Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

void write_file(const std::string& path, const Bytes& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), std::streamsize(bytes.size()));
  REQUIRE(out.good());
}

// A prompt and some steps, which read every weight.
Logits logits_of(const pith::Model& model) {
  pith::Session session(model);
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 40; ++i) tokens.push_back(i * 7 % int32_t(model.info().vocab_size));
  session.eval(tokens);
  session.eval(3);
  return Logits(session.logits().begin(), session.logits().end());
}

bool same_bits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
}

int count_descriptors() {
  int n = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  while (::readdir(folder) != nullptr) ++n;
  ::closedir(folder);
  return n;
}

// ---- Reads ----------------------------------------------------------------------------------------------------------------

int check_reads(const std::string& path, const Logits& expected) {
  fault = Fault::none;
  n_reads = 0;
  REQUIRE(same_bits(logits_of(pith::Model::read(path)), expected));  // every read comes short
  const int n_needed = n_reads, n_descriptors = count_descriptors();
  REQUIRE(n_needed > 10);
  int n_cases = 0;
  for (const Fault kind : {Fault::interrupted, Fault::input_output, Fault::end}) {
    for (const bool for_good : {false, true}) {
      if (kind == Fault::interrupted && for_good) continue;  // no system interrupts for ever
      for (int at = 1; at <= n_needed; ++at, ++n_cases) {
        fault = kind;
        is_for_good = for_good;
        fault_at = at;
        n_reads = 0;
        const pith::Result<pith::Model> model = pith::Model::try_read(path);
        fault = Fault::none;
        REQUIRE(model.has_value() == (kind == Fault::interrupted));
        REQUIRE(count_descriptors() == n_descriptors);
        if (model) {
          if (at % 16 == 0) REQUIRE(same_bits(logits_of(*model), expected));
          continue;
        }
        const std::string message = model.error().message(), why = kind == Fault::end ? "cut while" : "Input/output";
        REQUIRE(message.find(path) != std::string::npos && message.find(why) != std::string::npos);
      }
    }
  }
  return n_cases;
}

void check_refusals(const std::string& folder) {
  for (const std::string& path : {folder, folder + "/none", std::string("/dev/zero"), std::string()}) {
    REQUIRE(!pith::Model::try_read(path) && !pith::Model::try_open(path));
  }
  const std::string fifo = folder + "/fifo", empty = folder + "/empty";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE(pith::Model::try_read(fifo).error().status() == PITH_E_ARGUMENT);
  ::unlink(fifo.c_str());
  write_file(empty, {});
  REQUIRE(pith::Model::try_read(empty).error().status() == PITH_E_TRUNCATED);
  REQUIRE(pith::Model::try_open(empty).error().status() == PITH_E_TRUNCATED);
  ::unlink(empty.c_str());
  const std::string model = folder + "/model.gguf";
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const pith::Result<pith::Model> mapped = pith::Model::try_open(model), read = pith::Model::try_read(model);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  for (const auto* result : {&mapped, &read})
    REQUIRE(!*result && std::string(result->error().message()).find("Too many open files") != std::string::npos);
}

// ---- A part of a file -----------------------------------------------------------------------------------------------------

void check_parts(const std::string& path, const Bytes& file, const Logits& expected) {
  for (const size_t offset : {size_t(0), size_t(64), size_t(4096), size_t(4096 * 5 + 64 * 13)}) {
    Bytes archive(offset, 'x');
    archive.insert(archive.end(), file.begin(), file.end());
    archive.insert(archive.end(), 777, 'y');
    write_file(path, archive);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    pith::Model model = pith::Model::open(fd, offset, file.size());
    pith::Model moved = std::move(model);
    REQUIRE(moved.mapped_bytes() == file.size() && moved.resident_bytes() > 0);
    const auto status_of = [&](int descriptor, uint64_t at, size_t bytes) {
      const pith::Result<pith::Model> opened = pith::Model::try_open(descriptor, at, bytes);
      return opened ? PITH_OK : opened.error().status();
    };
    REQUIRE(status_of(fd, offset + 8, file.size() - 8) == PITH_E_ALIGNMENT);
    REQUIRE(status_of(fd, offset, file.size() - 1) == PITH_E_TRUNCATED);
    REQUIRE(status_of(fd, offset, 0) == PITH_E_TRUNCATED);
    REQUIRE(status_of(fd, offset, archive.size() - offset + 1) == PITH_E_ARGUMENT);
    REQUIRE(status_of(fd, archive.size() + 1, 0) == PITH_E_ARGUMENT);
    REQUIRE(status_of(fd, UINT64_MAX, 64) == PITH_E_ARGUMENT);
    REQUIRE(status_of(fd, 64, SIZE_MAX) == PITH_E_ARGUMENT);
    ::close(fd);
    REQUIRE(status_of(fd, offset, file.size()) == PITH_E_ARGUMENT);  // no descriptor any more
    REQUIRE(same_bits(logits_of(moved), expected));
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(status_of(ends[0], 0, 64) == PITH_E_ARGUMENT);
    ::close(ends[0]);
    ::close(ends[1]);
  }
}

// ---- Files that change ----------------------------------------------------------------------------------------------------

enum class Change { none, truncated, half, renamed, unlinked, overwritten };

void change_file(const std::string& path, const Bytes& file, Change change) {
  Bytes other = file;
  switch (change) {
    case Change::none: break;
    case Change::truncated: REQUIRE(::truncate(path.c_str(), 0) == 0); break;
    case Change::half: REQUIRE(::truncate(path.c_str(), off_t(file.size() / 2)) == 0); break;
    case Change::renamed:
      std::fill(other.begin(), other.end(), 'z');
      write_file(path + ".new", other);
      REQUIRE(::rename((path + ".new").c_str(), path.c_str()) == 0);
      break;
    case Change::unlinked: REQUIRE(::unlink(path.c_str()) == 0); break;
    case Change::overwritten: {  // the last quarter, which is weights
      const int fd = ::open(path.c_str(), O_WRONLY);
      const size_t at = file.size() / 4 * 3;
      for (size_t i = at; i < other.size(); ++i) other[i] = char(other[i] ^ 0x11);
      REQUIRE(::pwrite(fd, other.data() + at, other.size() - at, off_t(at)) == ssize_t(other.size() - at));
      ::close(fd);
    }
  }
}

constexpr int kSame = 40, kOther = 41, kFailed = 42;

// How a child ends that uses the model after the file was changed: by one of the above, or by 1000 and a signal.
int outcome(const std::string& path, const Bytes& file, bool is_read, Change change, const Logits& expected) {
  write_file(path, file);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    pith::Model model = is_read ? pith::Model::read(path) : pith::Model::open(path);
    change_file(path, file, change);
    try {
      ::_exit(same_bits(logits_of(model), expected) ? kSame : kOther);
    } catch (const pith::Error&) {
      ::_exit(kFailed);
    }
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  ::unlink(path.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int check_changes(const std::string& path, const Bytes& file, const Logits& expected) {
  const auto ends = [&](bool is_read, Change change) { return outcome(path, file, is_read, change, expected); };
  int n_cases = 0;
  for (const Change change :
       {Change::none, Change::truncated, Change::half, Change::renamed, Change::unlinked, Change::overwritten}) {
    REQUIRE(ends(true, change) == kSame);
    n_cases += 2;
    const int mapped = ends(false, change);
    if (change == Change::truncated || change == Change::half) REQUIRE(mapped == 1000 + SIGBUS);
    else if (change == Change::overwritten) REQUIRE(mapped == kOther || mapped == kFailed);
    else REQUIRE(mapped == kSame);
  }
  return n_cases;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: file_faults_test MODEL\n");
    return 2;
  }
  const char* parent = std::getenv("TMPDIR");
  std::string folder = std::string(parent != nullptr ? parent : "/tmp") + "/pith_file_faults_XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const Bytes file = bytes_of(argv[1]);
  const std::string path = folder + "/model.gguf";
  write_file(path, file);
  const Logits expected = logits_of(pith::Model::open(path));
  const int n_reads_checked = check_reads(path, expected);
  check_refusals(folder);
  check_parts(path, file, expected);
  const int n_changes = check_changes(path, file, expected);
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
  std::printf("file_faults_test: %d faults of reads, %d changes of files; 1 passed\n", n_reads_checked, n_changes);
  return 0;
}
