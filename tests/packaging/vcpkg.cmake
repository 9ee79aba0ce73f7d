# cmake -DPORT=FOLDER -DPACKAGE=FOLDER -DBUILD=FOLDER -DLINKAGE=static|dynamic -P vcpkg.cmake: runs a port's portfile.cmake.
# The functions of vcpkg's helper ports that it calls are emulated, one configuration instead of two; vcpkg itself is not here.
set(CURRENT_PACKAGES_DIR ${PACKAGE})
set(VCPKG_LIBRARY_LINKAGE ${LINKAGE})

function(run)
  execute_process(COMMAND ${ARGV} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(vcpkg_check_features)  # none is asked for: each is OFF
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUT_FEATURE_OPTIONS" "FEATURES")
  list(GET arg_FEATURES 1 option)
  set(${arg_OUT_FEATURE_OPTIONS} -D${option}=OFF PARENT_SCOPE)
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vcpkg_cmake_configure: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(shared OFF)
  if(LINKAGE STREQUAL dynamic)
    set(shared ON)
  endif()
  run(${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${BUILD} -G Ninja -DBUILD_SHARED_LIBS=${shared} ${arg_OPTIONS}
      -DCMAKE_INSTALL_PREFIX=${PACKAGE} -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=Quick -DCMAKE_CXX_FLAGS_QUICK=-O0)
endfunction()

function(vcpkg_cmake_install)
  run(${CMAKE_COMMAND} --build ${BUILD} --target install)
endfunction()

function(vcpkg_cmake_config_fixup)  # lib/cmake/pith becomes share/pith, and files there find their tree one folder less deep
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_PATH" "")
  file(MAKE_DIRECTORY ${PACKAGE}/share)
  file(RENAME ${PACKAGE}/${arg_CONFIG_PATH} ${PACKAGE}/share/pith)
  file(REMOVE_RECURSE ${PACKAGE}/lib/cmake)
  file(GLOB files ${PACKAGE}/share/pith/*.cmake)
  foreach(file ${files})
    file(READ ${file} text)
    string(REPLACE "\${CMAKE_CURRENT_LIST_DIR}/../../../" "\${CMAKE_CURRENT_LIST_DIR}/../../" text "${text}")
    string(REPLACE "get_filename_component(_IMPORT_PREFIX \"\${CMAKE_CURRENT_LIST_FILE}\" PATH)\nget_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)"
                   "get_filename_component(_IMPORT_PREFIX \"\${CMAKE_CURRENT_LIST_FILE}\" PATH)" text "${text}")
    file(WRITE ${file} "${text}")
  endforeach()
endfunction()

function(vcpkg_fixup_pkgconfig)
  if(NOT EXISTS ${PACKAGE}/lib/pkgconfig/pith.pc)
    message(FATAL_ERROR "no lib/pkgconfig/pith.pc in the package")
  endif()
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  foreach(file ${arg_FILE_LIST})
    file(READ ${file} text)
    file(APPEND ${PACKAGE}/share/pith/copyright "${text}")
  endforeach()
endfunction()

include(${PORT}/portfile.cmake)
