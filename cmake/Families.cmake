# Writes the one list of op families, from the folders below legato/ops, in alphabetical order:
#   legato::register_all_families(Registry&)       calls legato::register_<family>(Registry&)
#                                                  for each family with a <family>.cpp
#   legato::cpu::register_all_kernels(KernelTable&) calls legato::cpu::register_<family>_kernels(KernelTable&)
#                                                  for each family with a <family>.cpu.cpp
# and legato/legato.h, which includes the public header of every family and of the subsystems that users call.

function(legato_generate_registration sources_variable)
  file(GLOB records CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/ops/*/*.cpp")
  set(families "")
  set(cpu_families "")
  foreach(source IN LISTS records)
    get_filename_component(folder "${source}" DIRECTORY)
    get_filename_component(family "${folder}" NAME)
    get_filename_component(file "${source}" NAME)
    if(file STREQUAL "${family}.cpp")
      list(APPEND families ${family})
    elseif(file STREQUAL "${family}.cpu.cpp")
      list(APPEND cpu_families ${family})
    endif()
  endforeach()
  list(SORT families)
  list(SORT cpu_families)

  set(declarations "")
  set(calls "")
  foreach(family IN LISTS families)
    string(APPEND declarations "void register_${family}(Registry&);\n")
    string(APPEND calls "  register_${family}(registry);\n")
  endforeach()
  set(families_file "${PROJECT_BINARY_DIR}/generated/families.gen.cpp")
  file(CONFIGURE OUTPUT "${families_file}" @ONLY CONTENT
"// Written by cmake/Families.cmake: the op families, in the order in which their ops get their ids.
namespace legato {
class Registry;
@declarations@void register_all_families(Registry&);

void register_all_families([[maybe_unused]] Registry& registry) {
@calls@}
}  // namespace legato
")

  set(declarations "")
  set(calls "")
  foreach(family IN LISTS cpu_families)
    string(APPEND declarations "void register_${family}_kernels(KernelTable&);\n")
    string(APPEND calls "  register_${family}_kernels(table);\n")
  endforeach()
  set(kernels_file "${PROJECT_BINARY_DIR}/generated/cpu_kernels.gen.cpp")
  file(CONFIGURE OUTPUT "${kernels_file}" @ONLY CONTENT
"// Written by cmake/Families.cmake: the families that have CPU kernels.
namespace legato {
class KernelTable;
namespace cpu {
@declarations@void register_all_kernels(KernelTable&);

void register_all_kernels([[maybe_unused]] KernelTable& table) {
@calls@}
}  // namespace cpu
}  // namespace legato
")
  set(${sources_variable} ${${sources_variable}} "${families_file}" "${kernels_file}" PARENT_SCOPE)
endfunction()

# The one header for users of the library, generated so that a new family is in it.
function(legato_generate_umbrella_header)
  file(GLOB headers RELATIVE "${PROJECT_SOURCE_DIR}" CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/ops/*/*.h")
  set(included legato/array/array.h legato/array/precision.h legato/base/error.h legato/io/io.h legato/io/print.h legato/nn/nn.h legato/runtime/evaluator.h
               legato/runtime/stream.h legato/transform/transform.h)
  foreach(header IN LISTS headers)
    if(header MATCHES "^legato/ops/([^/]+)/([^/]+)\\.h$" AND CMAKE_MATCH_1 STREQUAL CMAKE_MATCH_2)
      list(APPEND included ${header})
    endif()
  endforeach()
  list(SORT included)
  set(lines "")
  foreach(header IN LISTS included)
    if(EXISTS "${PROJECT_SOURCE_DIR}/${header}")
      string(APPEND lines "#include \"${header}\"\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/legato/legato.h" @ONLY CONTENT
"// Everything that a user of the library calls.
#pragma once

@lines@")
endfunction()
