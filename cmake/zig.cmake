# Cross build by the C++ compiler of zig (pip install ziglang), which brings headers and libraries of every system:
#
#     cmake --preset release --toolchain cmake/zig.cmake -DPITH_ZIG_TARGET=aarch64-macos -DPITH_TOOLS=OFF -DPITH_TESTS=OFF -B build/macos
#
# tools/ci/cross calls it so.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PITH_ZIG_TARGET PITH_ZIG)
if(NOT PITH_ZIG_TARGET)
  message(FATAL_ERROR "PITH_ZIG_TARGET is missing: an architecture and a system, such as x86_64-windows-gnu")
endif()
set(PITH_ZIG python3 -m ziglang CACHE STRING "How to call zig, a list")

string(REGEX MATCH "^[a-z0-9_]+" CMAKE_SYSTEM_PROCESSOR "${PITH_ZIG_TARGET}")
if(PITH_ZIG_TARGET MATCHES "windows")
  set(CMAKE_SYSTEM_NAME Windows)
elseif(PITH_ZIG_TARGET MATCHES "macos")
  set(CMAKE_SYSTEM_NAME Darwin)
elseif(PITH_ZIG_TARGET MATCHES "wasi")
  set(CMAKE_SYSTEM_NAME WASI)
else()
  set(CMAKE_SYSTEM_NAME Linux)
endif()

# zig makes a target's C and C++ libraries when it links the first time, which takes minutes: not for the sake of CMake's questions
# to a compiler, nor of its name.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)

# CMake wants programs, not words: one small script for each.
set(PITH_ZIG_FOLDER ${CMAKE_BINARY_DIR}/zig CACHE INTERNAL "")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PITH_ZIG_FOLDER)
list(JOIN PITH_ZIG " " PITH_ZIG_WORDS)
foreach(program cc c++ ar ranlib rc)
  set(flags "")
  if(program MATCHES "^c")
    set(flags "-target ${PITH_ZIG_TARGET}")
  endif()
  file(WRITE ${PITH_ZIG_FOLDER}/${program} "#!/bin/sh
case \"$*\" in *CompilerId.c*) set -- -c \"$@\" ;; esac
exec ${PITH_ZIG_WORDS} ${program} ${flags} \"$@\"
")
  file(CHMOD ${PITH_ZIG_FOLDER}/${program} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endforeach()
set(CMAKE_C_COMPILER ${PITH_ZIG_FOLDER}/cc)
set(CMAKE_CXX_COMPILER ${PITH_ZIG_FOLDER}/c++)
set(CMAKE_AR ${PITH_ZIG_FOLDER}/ar)
set(CMAKE_RANLIB ${PITH_ZIG_FOLDER}/ranlib)
set(CMAKE_RC_COMPILER ${PITH_ZIG_FOLDER}/rc)

# Nothing of this machine's, but xsimd, which is headers alone.
file(MAKE_DIRECTORY ${PITH_ZIG_FOLDER}/include)
file(CREATE_LINK /usr/include/xsimd ${PITH_ZIG_FOLDER}/include/xsimd SYMBOLIC)
set(PITH_XSIMD_INCLUDE ${PITH_ZIG_FOLDER}/include CACHE PATH "Folder of xsimd/xsimd.hpp")
set(CMAKE_FIND_ROOT_PATH ${PITH_ZIG_FOLDER})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
