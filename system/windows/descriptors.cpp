#include "descriptors.h"

#include <fcntl.h>
#include <io.h>
#include <windows.h>

#include <algorithm>
#include <cstdlib>

namespace pith::internal {
namespace {

UINT code_page_before = 0;  // the console's, which outlives the program

HANDLE console_of(int descriptor) {
  const HANDLE handle = reinterpret_cast<HANDLE>(_get_osfhandle(descriptor));
  DWORD mode = 0;
  return GetConsoleMode(handle, &mode) != 0 ? handle : nullptr;
}

// Escape sequences are obeyed and not shown: those that clear a line, and colours.
void obey_escapes(int descriptor) {
  DWORD mode = 0;
  if (const HANDLE console = console_of(descriptor); console != nullptr && GetConsoleMode(console, &mode) != 0)
    SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

// UTF-16 that a person typed, as UTF-8 that no longer fits into what was asked for.
constexpr size_t kMostTyped = 1024;  // units of UTF-16, of up to 3 bytes each
char typed[3 * kMostTyped];
size_t first_typed = 0, end_typed = 0;

// A line, or a part of a long one. Ctrl-Z at its start ends the input.
bool read_typed(HANDLE console) {
  wchar_t units[kMostTyped];
  DWORD n = 0, one = 0;
  if (ReadConsoleW(console, units, kMostTyped - 1, &n, nullptr) == 0) return false;
  const bool is_half = n > 0 && IS_HIGH_SURROGATE(units[n - 1]);
  if (is_half && ReadConsoleW(console, units + n, 1, &one, nullptr) != 0) n += one;
  if (n > 0 && units[0] == 26) n = 0;
  first_typed = 0;
  end_typed = size_t(WideCharToMultiByte(CP_UTF8, 0, units, int(n), typed, int(sizeof typed), nullptr, nullptr));
  return true;
}

}  // namespace

void open_standard_streams() {
  const int modes[] = {_O_WRONLY, _O_RDONLY, _O_WRONLY};  // of NUL: the first two fail when they are used
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    if (_get_osfhandle(descriptor) < 0) _open("NUL", modes[descriptor]);
    _setmode(descriptor, _O_BINARY);
  }
  code_page_before = GetConsoleOutputCP();
  if (code_page_before == 0) return;  // no console
  SetConsoleOutputCP(CP_UTF8);
  std::atexit([] { SetConsoleOutputCP(code_page_before); });
  obey_escapes(kStandardOutput);
  obey_escapes(kStandardError);
}

bool is_terminal(int descriptor) { return console_of(descriptor) != nullptr; }

bool write_all(int descriptor, const void* data, size_t bytes) {
  constexpr size_t kMostAtOnce = size_t(1) << 30;  // the number is an int
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const int n = _write(descriptor, at, unsigned(std::min(bytes, kMostAtOnce)));
    if (n < 0) return false;
    at += n;
    bytes -= size_t(n);
  }
  return true;
}

ptrdiff_t read_some(int descriptor, void* out, size_t bytes) {
  constexpr size_t kMostAtOnce = size_t(1) << 30;
  const HANDLE console = console_of(descriptor);
  if (console == nullptr) return _read(descriptor, out, unsigned(std::min(bytes, kMostAtOnce)));
  if (first_typed == end_typed && !read_typed(console)) return -1;
  const size_t n = std::min(bytes, end_typed - first_typed);
  std::copy_n(typed + first_typed, n, static_cast<char*>(out));
  first_typed += n;
  return ptrdiff_t(n);
}

}  // namespace pith::internal
