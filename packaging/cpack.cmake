# Packages by cpack: three for Debian (cpack -G DEB), each a component of cmake/install.cmake, or one archive (cpack -G TGZ).
#
#     libpith0       the shared library
#     libpith-dev    headers, static library, packages for CMake and pkg-config
#     pith           the command
#
# Configured with -DCMAKE_INSTALL_PREFIX=/usr the library lies in the folder of its architecture, as Debian has it; otherwise
# in /usr/lib.
set(CPACK_PACKAGE_NAME pith)
set(CPACK_PACKAGE_VENDOR pith)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(PITH_PACKAGE_CONTACT "pith <pith@packages.invalid>" CACHE STRING "Who answers for the packages: NAME <ADDRESS>")
set(CPACK_PACKAGE_CONTACT ${PITH_PACKAGE_CONTACT})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR TGZ)
set(CPACK_COMPONENTS_ALL pith_development)
if(shared IN_LIST PITH_INSTALL_KINDS)
  list(APPEND CPACK_COMPONENTS_ALL pith_runtime)
endif()
if(PITH_TOOLS)
  list(APPEND CPACK_COMPONENTS_ALL pith_command)
endif()

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The library itself is in none of the system's packages yet.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_CURRENT_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")  # docs/abi.md: later versions of a soname run older programs
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE OFF)

set(CPACK_DEBIAN_PITH_RUNTIME_PACKAGE_NAME libpith${PITH_SOVERSION})
set(CPACK_DEBIAN_PITH_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PITH_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/debian/triggers)
set(CPACK_DEBIAN_PITH_RUNTIME_DESCRIPTION "The shared library: runs language models with multi-head latent attention
and with embedding-gated multi-head latent attention, by an ABI of C.
Needs no C++ runtime.")

set(CPACK_DEBIAN_PITH_DEVELOPMENT_PACKAGE_NAME libpith-dev)
set(CPACK_DEBIAN_PITH_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PITH_DEVELOPMENT_PACKAGE_DEPENDS "")
if(shared IN_LIST PITH_INSTALL_KINDS)
  set(CPACK_DEBIAN_PITH_DEVELOPMENT_PACKAGE_DEPENDS
      "libpith${PITH_SOVERSION} (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
endif()
set(CPACK_DEBIAN_PITH_DEVELOPMENT_DESCRIPTION "Headers for C and C++, the static library,
and what CMake's find_package and pkg-config read.")

set(CPACK_DEBIAN_PITH_COMMAND_PACKAGE_NAME pith)
set(CPACK_DEBIAN_PITH_COMMAND_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PITH_COMMAND_DESCRIPTION "The command: runs, talks to, packs, measures and checks models.
Has a small model of its own.")

# Every package has its licence and its changelog where Debian's tools look for them.
set(CPACK_PITH_PACKAGING ${PROJECT_SOURCE_DIR}/packaging/debian)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/debian/add_documents.cmake)
include(CPack)
