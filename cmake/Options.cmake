# Compiler flags that hold for every target, and the function that gives a library target its own.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "Legato needs g++ 12 or newer, this is ${CMAKE_CXX_COMPILER_VERSION}. "
                      "Choose another with -DCMAKE_CXX_COMPILER=..., clang++ from version 14 works too.")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR "Legato needs clang 14 or newer, this is ${CMAKE_CXX_COMPILER_VERSION}.")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# -O2: the loops that gain from -O3 ask for it where they are compiled.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(LEGATO_CCACHE ccache)
  if(LEGATO_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${LEGATO_CCACHE}")
  endif()
endif()

# No implicit fused multiply-add anywhere: the same program gives the same bits at every vector level.
# Nothing here reads errno or the floating-point exception flags after a computation.
add_compile_options(-ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra
                    # The vector types never cross the boundary of a level, so their ABI is nobody's concern.
                    -Wno-psabi
                    # __FILE__ in messages names a file of the project, not a folder of the build machine.
                    "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=")
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # std::stable_sort of older libstdc++ calls a function that C++17 deprecates, and clang tells its caller.
  add_compile_options(-Wno-deprecated-declarations)
endif()
if(LEGATO_WERROR)
  add_compile_options(-Werror)
endif()
if(LEGATO_SANITIZE)
  add_compile_options(-fsanitize=${LEGATO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${LEGATO_SANITIZE})
endif()

# Include path, definitions, visibility and position independence of the objects inside liblegato.
function(legato_library_options target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                             VISIBILITY_INLINES_HIDDEN ON)
  # Nobody replaces our functions by their own at load time, so calls inside the library are direct. Thread-local
  # variables are few and small: they fit in the room that the loader keeps for libraries loaded at run time, and are
  # found by one instruction instead of a call.
  target_compile_options(${target} PRIVATE -fno-semantic-interposition -ftls-model=initial-exec)
  if(NOT APPLE)
    target_link_options(${target} PRIVATE LINKER:-Bsymbolic-functions)
  endif()
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_compile_definitions(${target} PRIVATE LEGATO_BUILDING=1 LEGATO_VERSION="${PROJECT_VERSION}")
  legato_link_dependencies(${target})
endfunction()
