# Third-party packages, all from the distribution. Each missing one is a sentence that says what to install.

find_package(Threads REQUIRED)

find_package(nlohmann_json 3.10 QUIET)
if(NOT nlohmann_json_FOUND)
  message(FATAL_ERROR "nlohmann json was not found; Legato reads model files with it. Run ./dev setup, "
                      "or: apt-get install nlohmann-json3-dev")
endif()

find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
  message(FATAL_ERROR "zlib was not found; Legato reads compressed .npz files with it. Run ./dev setup, "
                      "or: apt-get install zlib1g-dev")
endif()

# asmjit writes the machine code of fused programs. Without it they are interpreted.
set(legato_has_asmjit 0)
if(NOT LEGATO_JIT STREQUAL "OFF" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  find_package(asmjit QUIET)
  if(asmjit_FOUND)
    set(legato_has_asmjit 1)
  elseif(LEGATO_JIT STREQUAL "ON")
    message(FATAL_ERROR "LEGATO_JIT=ON, but asmjit was not found. Run ./dev setup, or: apt-get install libasmjit-dev")
  else()
    message(STATUS "asmjit was not found: fused programs will be interpreted, 1.5 to 3 times slower. "
                   "To have them compiled: apt-get install libasmjit-dev")
  endif()
elseif(LEGATO_JIT STREQUAL "ON")
  message(FATAL_ERROR "LEGATO_JIT=ON, but the code generator writes x86-64 and this is ${CMAKE_SYSTEM_PROCESSOR}.")
endif()

# Nothing of these appears in a public header, so nothing is passed on to users of the library.
function(legato_link_dependencies target)
  target_compile_definitions(${target} PRIVATE LEGATO_HAS_ASMJIT=${legato_has_asmjit})
  target_link_libraries(${target} PRIVATE Threads::Threads nlohmann_json::nlohmann_json ZLIB::ZLIB
                        ${CMAKE_DL_LIBS})
  if(legato_has_asmjit)
    target_link_libraries(${target} PRIVATE asmjit::asmjit)
    target_link_options(${target} PRIVATE LINKER:--exclude-libs,libasmjit.a)  # see asmjit_globals.cpp
  endif()
endfunction()
