# Builds the tree that it lies in, as an overlay: vcpkg install pith --overlay-ports=packaging/vcpkg
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

vcpkg_check_features(OUT_FEATURE_OPTIONS PITH_FEATURE_OPTIONS FEATURES openmp PITH_OPENMP)
set(PITH_KIND static)
if(VCPKG_LIBRARY_LINKAGE STREQUAL "dynamic")
  set(PITH_KIND shared)
endif()
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS -DPITH_TOOLS=OFF -DPITH_TESTS=OFF -DPITH_WERROR=OFF -DPITH_INSTALL=ON -DPITH_INSTALL_KINDS=${PITH_KIND}
          ${PITH_FEATURE_OPTIONS})
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/pith)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE" "${SOURCE_PATH}/NOTICE")
