# Writes the one list of op families, from the folders below legato/ops, in alphabetical order:
#   legato::register_all_families(Registry&)       calls legato::register_<family>(Registry&)
#                                                  for each family with a <family>.cpp
#   legato::cpu::register_all_kernels(KernelTable&) calls legato::cpu::register_<family>_kernels(KernelTable&)
#                                                  for each family with a <family>.cpu.cpp

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
