# Run by cpack before it packs what it installed: a copyright file and a changelog for each Debian package.
if(CPACK_GENERATOR STREQUAL "DEB")
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)  # of SOURCE_DATE_EPOCH, where that is set
  set(work ${CPACK_TOPLEVEL_DIRECTORY}/documents)
  file(WRITE ${work}/changelog.Debian
       "pith (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium\n\n"
       "  * Built by cpack; CHANGELOG.md of the sources says what is new.\n\n"
       " -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
  execute_process(COMMAND gzip -9nc ${work}/changelog.Debian OUTPUT_FILE ${work}/changelog.Debian.gz
                  COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB trees LIST_DIRECTORIES true ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/pith_*)
  foreach(tree ${trees})
    get_filename_component(component ${tree} NAME)
    string(TOUPPER ${component} component)
    file(COPY ${CPACK_PITH_PACKAGING}/copyright ${work}/changelog.Debian.gz
         DESTINATION ${tree}/usr/share/doc/${CPACK_DEBIAN_${component}_PACKAGE_NAME}
         FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  endforeach()
endif()
