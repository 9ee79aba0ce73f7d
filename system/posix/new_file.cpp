#include "new_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace pith::internal {

PathStatus path_status(const char* path) {
  struct stat status {};
  if (::stat(path, &status) != 0) return {};
  const PathKind kind = S_ISREG(status.st_mode)   ? PathKind::regular
                        : S_ISDIR(status.st_mode) ? PathKind::folder
                                                  : PathKind::other;
  return {kind, int(status.st_mode & 07777)};
}

int create_file(const char* path, bool is_private) {
  return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is_private ? 0600 : 0666);
}

int open_to_write(const char* path) { return ::open(path, O_WRONLY | O_CLOEXEC); }

void set_permissions(int descriptor, int permissions) { (void)!::fchmod(descriptor, mode_t(permissions)); }

bool go_to_start(int descriptor) { return ::lseek(descriptor, 0, SEEK_SET) >= 0; }

bool go_to_end(int descriptor) { return ::lseek(descriptor, 0, SEEK_END) >= 0; }

bool sync_file(int descriptor) { return ::fsync(descriptor) == 0; }

bool close_file(int descriptor) { return ::close(descriptor) == 0; }

void sync_folder(const char* path) {
  const int folder = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  (void)!::fsync(folder);
  ::close(folder);
}

bool replace_file(const char* from, const char* to) { return std::rename(from, to) == 0; }

void remove_file(const char* path) { ::unlink(path); }

int process_number() { return int(::getpid()); }

}  // namespace pith::internal
