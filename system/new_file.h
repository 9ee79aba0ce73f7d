// Writing a file beside another one and putting it in its place. Paths are UTF-8, descriptors those of descriptors.h,
// and what fails leaves its reason in errno.
#ifndef PITH_SYSTEM_NEW_FILE_H
#define PITH_SYSTEM_NEW_FILE_H

namespace pith::internal {

enum class PathKind { nothing, regular, folder, other };  // other: a device, a pipe

struct PathStatus {
  PathKind kind = PathKind::nothing;
  int permissions = 0;  // of POSIX, 12 bits; elsewhere 0
};

PathStatus path_status(const char* path);

// A file that was not there, for everybody or for its owner alone, as far as the system tells them apart; negative: it
// failed.
int create_file(const char* path, bool is_private);
// What is there: a device or a pipe.
int open_to_write(const char* path);
void set_permissions(int descriptor, int permissions);
// The next byte is written to the start of the file, or to its end.
bool go_to_start(int descriptor);
bool go_to_end(int descriptor);
// Its bytes are on the disk afterwards.
bool sync_file(int descriptor);
bool close_file(int descriptor);
// Names of the folder are on the disk afterwards, where the system syncs folders.
void sync_folder(const char* path);

// Puts a file in the place of another, at once: nobody finds half of it, or none.
bool replace_file(const char* from, const char* to);
void remove_file(const char* path);  // a handler of signals may call it

int process_number();

}  // namespace pith::internal

#endif
