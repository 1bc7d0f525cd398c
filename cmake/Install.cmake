# Installs the library, its headers and the files behind find_package(legato). In a wheel the same layout
# (lib/, include/, lib/cmake/) stands inside the Python package, so that C++ code can build against it.

include(CMakePackageConfigHelpers)
set(config_folder "${CMAKE_INSTALL_LIBDIR}/cmake/legato")

install(TARGETS legato EXPORT legatoTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY "${PROJECT_SOURCE_DIR}/legato" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(FILES "${PROJECT_BINARY_DIR}/generated/legato/legato.h" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/legato)
install(EXPORT legatoTargets NAMESPACE legato:: DESTINATION ${config_folder})
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/legatoConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/generated/legatoConfig.cmake"
                              INSTALL_DESTINATION ${config_folder})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/legatoConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/legatoConfig.cmake"
              "${PROJECT_BINARY_DIR}/generated/legatoConfigVersion.cmake"
        DESTINATION ${config_folder})
if(DEFINED SKBUILD)
  if(TARGET _core)
    install(TARGETS _core LIBRARY DESTINATION .)
  elseif(EXISTS "${PROJECT_SOURCE_DIR}/python/bindings")
    message(FATAL_ERROR "The Python package cannot be built without its extension module, see above.")
  endif()
endif()
