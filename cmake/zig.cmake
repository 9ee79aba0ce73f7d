# Cross build by the C++ compiler of zig (pip install ziglang), which brings headers and libraries of every system:
#
#     cmake --preset release --toolchain cmake/zig.cmake -DPITH_ZIG_TARGET=aarch64-macos -DPITH_TOOLS=OFF -DPITH_TESTS=OFF -B build/macos
#
# tools/ci/cross calls it so.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PITH_ZIG_TARGET PITH_ZIG PITH_FMT_SOURCE)
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

# Nothing of this machine's, but what is headers alone: xsimd, and for the command nlohmann-json and CLI11, as packages; fmt's headers with
# PITH_FMT_SOURCE, its format.cc, and without it a build that takes twice as long.
set(PITH_FMT_SOURCE "" CACHE FILEPATH "format.cc of fmt, of the version of the headers")
file(MAKE_DIRECTORY ${PITH_ZIG_FOLDER}/include)
foreach(headers xsimd fmt nlohmann CLI)
  if(EXISTS /usr/include/${headers})
    file(CREATE_LINK /usr/include/${headers} ${PITH_ZIG_FOLDER}/include/${headers} SYMBOLIC)
  endif()
endforeach()
set(PITH_XSIMD_INCLUDE ${PITH_ZIG_FOLDER}/include CACHE PATH "Folder of xsimd/xsimd.hpp")
# pith_zig_package(PACKAGE TARGET [LINE...]): what find_package finds.
function(pith_zig_package package target)
  file(WRITE ${PITH_ZIG_FOLDER}/packages/${package}Config.cmake "add_library(${target} INTERFACE IMPORTED)
target_include_directories(${target} SYSTEM INTERFACE ${PITH_ZIG_FOLDER}/include)
${ARGN}
")
  set(${package}_DIR ${PITH_ZIG_FOLDER}/packages CACHE PATH "")
endfunction()
pith_zig_package(nlohmann_json nlohmann_json::nlohmann_json)
pith_zig_package(CLI11 CLI11::CLI11)
if(PITH_FMT_SOURCE)
  pith_zig_package(fmt fmt::fmt "add_library(pith_fmt STATIC EXCLUDE_FROM_ALL ${PITH_FMT_SOURCE})
target_include_directories(pith_fmt SYSTEM PRIVATE ${PITH_ZIG_FOLDER}/include)
target_link_libraries(fmt::fmt INTERFACE pith_fmt)")
else()
  pith_zig_package(fmt fmt::fmt "target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)")
endif()
set(CMAKE_FIND_ROOT_PATH ${PITH_ZIG_FOLDER})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${PITH_ZIG_FOLDER}/pkgconfig)
