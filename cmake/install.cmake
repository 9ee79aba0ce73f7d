# What `cmake --install` copies, in components: pith_runtime (the shared library), pith_development (headers, the static
# library, packages for CMake and pkg-config), pith_command.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(PITH_INSTALLED_TARGETS)
foreach(kind ${PITH_INSTALL_KINDS})
  if(NOT kind MATCHES "^(static|shared)$")
    message(FATAL_ERROR "PITH_INSTALL_KINDS: \"${kind}\" is neither static nor shared")
  endif()
  list(APPEND PITH_INSTALLED_TARGETS pith_${kind})
endforeach()
foreach(kind static shared)
  if(NOT kind IN_LIST PITH_INSTALL_KINDS)
    set_target_properties(pith_${kind} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endforeach()
install(TARGETS ${PITH_INSTALLED_TARGETS} EXPORT pithTargets
        RUNTIME COMPONENT pith_runtime
        LIBRARY COMPONENT pith_runtime NAMELINK_COMPONENT pith_development
        ARCHIVE COMPONENT pith_development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT pithTargets NAMESPACE pith:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pith COMPONENT pith_development)
install(DIRECTORY include/pith DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT pith_development)

configure_package_config_file(cmake/pithConfig.cmake.in pithConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pith)
write_basic_package_version_file(pithConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/pithConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/pithConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/pith COMPONENT pith_development)

# The .pc file finds its tree from where it lies, so that a tree may be moved.
set(PITH_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} AND NOT IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  file(RELATIVE_PATH PITH_PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" PITH_PC_UP ${PITH_PC_UP})
  set(PITH_PC_PREFIX "\${pcfiledir}/${PITH_PC_UP}")
endif()
foreach(folder LIBDIR INCLUDEDIR)
  set(PITH_PC_${folder} ${CMAKE_INSTALL_${folder}})
  if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_${folder}})
    set(PITH_PC_${folder} "\${prefix}/${CMAKE_INSTALL_${folder}}")
  endif()
endforeach()
set(PITH_PC_PRIVATE)
if("Threads::Threads" IN_LIST PITH_SYSTEM_LIBRARIES)
  list(APPEND PITH_PC_PRIVATE -pthread)
endif()
if(PITH_OPENMP)
  list(APPEND PITH_PC_PRIVATE ${OpenMP_C_FLAGS})
endif()
if("m" IN_LIST PITH_SYSTEM_LIBRARIES)
  list(APPEND PITH_PC_PRIVATE -lm)
endif()
list(JOIN PITH_PC_PRIVATE " " PITH_PC_PRIVATE)
set(PITH_PC_LIBS -lpith)
if(NOT shared IN_LIST PITH_INSTALL_KINDS)
  set(PITH_PC_LIBS "-lpith ${PITH_PC_PRIVATE}")  # every program links the archive
endif()
configure_file(cmake/pith.pc.in pith.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/pith.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT pith_development)
install(FILES LICENSE NOTICE sbom.spdx.json DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT pith_development)
