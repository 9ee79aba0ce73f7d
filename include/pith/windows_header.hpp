// <windows.h> without its macros min and max, and without what nobody here needs.
#ifndef PITH_WINDOWS_HEADER_HPP
#define PITH_WINDOWS_HEADER_HPP

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#endif

#endif
