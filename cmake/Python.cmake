# The extension module legato._core, and in the build tree an importable package:
# <build>/python/legato holds links to the sources in python/legato beside the built module.

file(GLOB binding_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/python/bindings/*.cpp")
if(NOT binding_sources OR LEGATO_BUILD_PYTHON STREQUAL "OFF")
  return()
endif()

find_package(Python 3.9 QUIET COMPONENTS Interpreter Development.Module)
if(Python_FOUND AND NOT nanobind_DIR)
  execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
                  OUTPUT_VARIABLE nanobind_folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(nanobind_folder)
    set(nanobind_DIR "${nanobind_folder}" CACHE PATH "nanobind's CMake files")
  endif()
endif()
if(Python_FOUND)
  find_package(nanobind CONFIG QUIET)
endif()
if(NOT Python_FOUND OR NOT nanobind_FOUND)
  if(LEGATO_BUILD_PYTHON STREQUAL "AUTO")
    message(STATUS "No Python extension: Python's headers or nanobind are missing. ./dev setup installs both.")
    return()
  endif()
  message(FATAL_ERROR "LEGATO_BUILD_PYTHON=ON, but Python's headers (python3-dev) or nanobind (PyPI) were not "
                      "found for ${Python_EXECUTABLE}. ./dev setup installs both.")
endif()

nanobind_add_module(_core NB_STATIC NOMINSIZE ${binding_sources})
target_compile_options(nanobind-static PRIVATE -w)  # its warnings are not ours to mend
# The slots of a Python type that are not named are empty.
target_compile_options(_core PRIVATE -Wno-missing-field-initializers)
target_compile_definitions(_core PRIVATE LEGATO_VERSION="${PROJECT_VERSION}")
target_link_libraries(_core PRIVATE legato)
set_target_properties(_core PROPERTIES INSTALL_RPATH "$ORIGIN/${CMAKE_INSTALL_LIBDIR}"
                      LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/python/legato")

set(package "${PROJECT_BINARY_DIR}/python/legato")
file(MAKE_DIRECTORY "${package}")
file(GLOB entries RELATIVE "${PROJECT_SOURCE_DIR}/python/legato" CONFIGURE_DEPENDS LIST_DIRECTORIES true
     "${PROJECT_SOURCE_DIR}/python/legato/*")
list(REMOVE_ITEM entries __pycache__)
foreach(entry IN LISTS entries)
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/python/legato/${entry}" "${package}/${entry}" SYMBOLIC)
endforeach()
file(GLOB links RELATIVE "${package}" LIST_DIRECTORIES true "${package}/*")
foreach(link IN LISTS links)  # of files that are gone
  if(IS_SYMLINK "${package}/${link}" AND NOT EXISTS "${package}/${link}")
    file(REMOVE "${package}/${link}")
  endif()
endforeach()
