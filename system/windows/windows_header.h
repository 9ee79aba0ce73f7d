// <windows.h> without what nobody here needs, and without its macros min and max.
#ifndef PITH_SYSTEM_WINDOWS_HEADER_H
#define PITH_SYSTEM_WINDOWS_HEADER_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0601  // Windows 7
#endif
#include <windows.h>

#endif
