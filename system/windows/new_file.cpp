#include "new_file.h"

#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <sys/stat.h>
#include <windows.h>

#include <cerrno>

// Paths go through functions of the active code page, which the program's manifest makes UTF-8.
namespace pith::internal {
namespace {

void note_error() {
  switch (GetLastError()) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND: errno = ENOENT; break;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS: errno = EEXIST; break;
    case ERROR_DISK_FULL: errno = ENOSPC; break;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION: errno = EACCES; break;
    default: errno = EIO;
  }
}

// Others may remove it while it is open: so a handler of Ctrl-C can.
int open_as(const char* path, DWORD disposition) {
  const HANDLE handle = CreateFileA(path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, disposition,
                                    FILE_ATTRIBUTE_NORMAL, nullptr);
  if (handle != INVALID_HANDLE_VALUE) return _open_osfhandle(reinterpret_cast<intptr_t>(handle), _O_BINARY);
  note_error();
  return -1;
}

}  // namespace

PathStatus path_status(const char* path) {
  struct _stat64 status {};
  if (_stat64(path, &status) != 0) return {};
  const int kind = status.st_mode & _S_IFMT;
  return {kind == _S_IFREG ? PathKind::regular : kind == _S_IFDIR ? PathKind::folder : PathKind::other, 0};
}

// Whose folder it is says who may read it.
int create_file(const char* path, bool) { return open_as(path, CREATE_NEW); }

int open_to_write(const char* path) { return open_as(path, OPEN_EXISTING); }

void set_permissions(int, int) {}

bool go_to_start(int descriptor) { return _lseeki64(descriptor, 0, SEEK_SET) >= 0; }

bool go_to_end(int descriptor) { return _lseeki64(descriptor, 0, SEEK_END) >= 0; }

bool sync_file(int descriptor) { return _commit(descriptor) == 0; }

bool close_file(int descriptor) { return _close(descriptor) == 0; }

void sync_folder(const char*) {}  // it has no such call

bool replace_file(const char* from, const char* to) {
  if (MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) != 0) return true;
  note_error();
  return false;
}

void remove_file(const char* path) { DeleteFileA(path); }

int process_number() { return _getpid(); }

}  // namespace pith::internal
