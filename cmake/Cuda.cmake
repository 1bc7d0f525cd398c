# The CUDA backend: liblegato_cuda.so, a shared object of its own that liblegato loads when a GPU is first asked
# for. Nothing of CUDA is linked: the driver, NVRTC and the libraries are opened at run time.
#   legato/backends/cuda/*.cpp          its host code
#   legato/ops/<family>/*.cuda.cpp      launches of kernels, registered by register_<family>_kernels(KernelTable&)
#   legato/ops/<family>/<family>.cu     device code only: compiled to a fat binary and embedded as image <family>
#   legato/ops/<family>/<name>_sm90a.cu device code that only Hopper runs, as image <name>_sm90a
# Included only with LEGATO_CUDA=ON; needs nvcc, not a GPU.

find_program(LEGATO_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT LEGATO_NVCC)
  message(FATAL_ERROR "LEGATO_CUDA=ON, but nvcc was not found. Install the CUDA toolkit 13, or set CUDA_HOME to its folder; "
                      "without CUDA, configure with -DLEGATO_CUDA=OFF.")
endif()
get_filename_component(cuda_bin "${LEGATO_NVCC}" REALPATH)
get_filename_component(cuda_bin "${cuda_bin}" DIRECTORY)
find_path(LEGATO_CUDA_INCLUDE cuda.h HINTS "${cuda_bin}/../include" "${cuda_bin}/../targets/x86_64-linux/include"
          ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES include)
if(NOT LEGATO_CUDA_INCLUDE)
  message(FATAL_ERROR "LEGATO_CUDA=ON, but cuda.h was not found beside ${LEGATO_NVCC}.")
endif()

# --- architectures: machine code for each of these that the toolkit knows, PTX of the last for newer devices
execute_process(COMMAND "${LEGATO_NVCC}" --list-gpu-code OUTPUT_VARIABLE cuda_known OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REGEX MATCHALL "[0-9]+" cuda_known "${cuda_known}")
set(cuda_default "")
foreach(arch IN ITEMS 80 90 100 120)
  if(arch IN_LIST cuda_known)
    list(APPEND cuda_default ${arch})
  endif()
endforeach()
set(LEGATO_CUDA_ARCHITECTURES "${cuda_default}" CACHE STRING "Compute capabilities to compile for, e.g. 80;90;100;120")
set(cuda_targets "")
foreach(arch IN LISTS LEGATO_CUDA_ARCHITECTURES)
  list(APPEND cuda_targets "-gencode=arch=compute_${arch},code=sm_${arch}")
  set(cuda_last ${arch})
endforeach()
list(APPEND cuda_targets "-gencode=arch=compute_${cuda_last},code=compute_${cuda_last}")

# --- device code as text, which begins generated programs: element.cuh all of them, the scalar language those that call
# it. NVRTC has no _Complex and few of the compiler's built-in functions: they become CDouble and lg_* (libm.cuh).
function(legato_cuda_text result)
  set(all "")
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/${file}")
    file(READ "${PROJECT_SOURCE_DIR}/legato/${file}" text)
    if(NOT file MATCHES "backends/cuda/")
      string(REPLACE "__builtin_bit_cast" "@bit_cast@" text "${text}")
      string(REPLACE "__builtin_" "lg_" text "${text}")
      string(REPLACE "@bit_cast@" "__builtin_bit_cast" text "${text}")
      string(REPLACE "_Complex double" "CDouble" text "${text}")
      string(REGEX REPLACE "__real__ ([a-z]+)" "\\1.re" text "${text}")
      string(REGEX REPLACE "__imag__ ([a-z]+)" "\\1.im" text "${text}")
      string(REPLACE "#define LEGATO_LAMBDA __attribute__((always_inline))" "#define LEGATO_LAMBDA" text "${text}")
      string(REGEX REPLACE "#include [^\n]*\n" "" text "${text}")
      string(REPLACE "inline namespace LEGATO_LEVEL" "inline namespace device" text "${text}")
    endif()
    string(REPLACE "#pragma once" "" text "${text}")
    string(REGEX REPLACE "#include \"[^\n]*\n" "" text "${text}")
    # Comments cost the compiler time in each program.
    string(REGEX REPLACE "(^|\n)[ \t]*//[^\n]*" "\\1" text "${text}")
    string(REGEX REPLACE "\n\n+" "\n" text "${text}")
    string(APPEND all "R\"__(${text})__\"\n")
  endforeach()
  set(${result} "${all}" PARENT_SCOPE)
endfunction()
legato_cuda_text(cuda_element backends/cuda/element.cuh backends/cuda/element_math.cuh)
legato_cuda_text(cuda_language backends/cuda/element.cuh backends/cuda/element_math.cuh backends/cuda/lane.cuh
                 backends/cuda/libm.cuh fuse/functions.h ops/pointwise/scalar_math.h ops/pointwise/scalar_arith.h
                 ops/pointwise/scalar_transcend.h)
legato_cuda_text(cuda_lane backends/cuda/lane.cuh)
legato_cuda_text(cuda_reduction backends/cuda/kernel_abi.h backends/cuda/divide.cuh backends/cuda/reduction_abi.h
                 backends/cuda/rows.cuh backends/cuda/extremes.cuh backends/cuda/at_once.cuh
                 backends/cuda/reduction.cuh backends/cuda/report.cuh
                 backends/cuda/row_program.cuh ops/reduce/reducers.cuh ops/arg_reduce/arg_extreme.cuh)
legato_cuda_text(cuda_rows backends/cuda/packs.cuh ops/softmax/softmax.cuh
                 ops/softmax/tally.cuh ops/softmax/row_logsumexp.cuh)
set(cuda_language_source "${PROJECT_BINARY_DIR}/generated/cuda_language.gen.cpp")
file(WRITE "${cuda_language_source}.new"
"// Written by cmake/Cuda.cmake: device code as text.
namespace legato::cuda {
extern const char kElementText[];
extern const char kScalarLanguage[];
extern const char kLaneText[];
extern const char kReductionText[];
const char kLaneText[] = ${cuda_lane};
const char kReductionText[] = ${cuda_reduction};
extern const char kRowText[];
const char kRowText[] = ${cuda_rows};
const char kElementText[] = ${cuda_element};
const char kScalarLanguage[] = ${cuda_language};
}  // namespace legato::cuda
")
file(COPY_FILE "${cuda_language_source}.new" "${cuda_language_source}" ONLY_IF_DIFFERENT)

# --- programs that are compiled with the library: a tool that runs here writes them (tools/cuda/precompile.cpp)
set(cuda_program_images common f32 f64 int cast)
set(cuda_programs "${PROJECT_BINARY_DIR}/generated/cuda_programs.gen.cpp")
set(cuda_program_sources "")
foreach(image IN LISTS cuda_program_images)
  list(APPEND cuda_program_sources "${PROJECT_BINARY_DIR}/generated/programs_${image}.cu")
endforeach()
add_executable(legato_cuda_precompile tools/cuda/precompile.cpp legato/backends/cuda/print.cpp
                                      legato/backends/cuda/print_element.cpp
                                      legato/backends/cuda/print_tiles.cpp
                                      "${cuda_language_source}")
legato_library_options(legato_cuda_precompile)
target_link_libraries(legato_cuda_precompile PRIVATE legato)
add_custom_command(OUTPUT "${cuda_programs}" ${cuda_program_sources}
                   COMMAND legato_cuda_precompile "${PROJECT_BINARY_DIR}/generated"
                   DEPENDS legato_cuda_precompile
                   COMMENT "Writing the programs that are compiled with the library" VERBATIM)

# --- device code to images
file(GLOB cuda_device_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/ops/*/*.cu"
                                                "${PROJECT_SOURCE_DIR}/legato/backends/cuda/*.cu")
file(GLOB cuda_device_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/backends/cuda/*.cuh"
     "${PROJECT_SOURCE_DIR}/legato/backends/cuda/kernel_abi.h" "${PROJECT_SOURCE_DIR}/legato/ops/*/*.cuh")
list(APPEND cuda_device_sources ${cuda_program_sources})
set(cuda_images_text "")
set(cuda_images_table "")
set(cuda_image_files "")
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/cuda")
foreach(source IN LISTS cuda_device_sources)
  get_filename_component(name "${source}" NAME_WE)
  set(image "${PROJECT_BINARY_DIR}/cuda/${name}.fatbin")
  set(targets "${cuda_targets}")
  if(name MATCHES "_sm90a$")
    set(targets "-gencode=arch=compute_90a,code=sm_90a")
  endif()
  add_custom_command(
    OUTPUT "${image}"
    # As the CPU computes: no contraction but by name.
    COMMAND "${LEGATO_NVCC}" -fatbin --compress-mode=size -std=c++20 -O3 -fmad=false -lineinfo "-I${PROJECT_SOURCE_DIR}"
            ${targets} --Werror all-warnings -o "${image}" "${source}"
    DEPENDS "${source}" ${cuda_device_headers}
    COMMENT "Compiling CUDA kernels ${name}.cu" VERBATIM)
  list(APPEND cuda_image_files "${image}")
  string(APPEND cuda_images_text
"asm(\".pushsection .rodata\\n.balign 64\\nlegato_cuda_image_${name}:\\n.incbin \\\"${image}\\\"\\n.popsection\");
extern \"C\" const unsigned char legato_cuda_image_${name}[] __attribute__((visibility(\"hidden\")));
")
  string(APPEND cuda_images_table "    {\"${name}\", legato_cuda_image_${name}},\n")
endforeach()
set(cuda_images_source "${PROJECT_BINARY_DIR}/generated/cuda_images.gen.cpp")
file(CONFIGURE OUTPUT "${cuda_images_source}" @ONLY CONTENT
"// Written by cmake/Cuda.cmake: the compiled kernels, as data.
#include \"legato/backends/cuda/device.h\"

@cuda_images_text@
namespace legato::cuda {
const Image kImages[] = {
@cuda_images_table@    {nullptr, nullptr},
};
}  // namespace legato::cuda
")
set_source_files_properties("${cuda_images_source}" PROPERTIES OBJECT_DEPENDS "${cuda_image_files}")

# --- the families that have CUDA kernels
file(GLOB cuda_family_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/ops/*/*.cuda.cpp")
set(declarations "")
set(calls "")
foreach(source IN LISTS cuda_family_sources)
  get_filename_component(folder "${source}" DIRECTORY)
  get_filename_component(family "${folder}" NAME)
  get_filename_component(file "${source}" NAME)
  if(file STREQUAL "${family}.cuda.cpp")
    string(APPEND declarations "void register_${family}_kernels(KernelTable&);\n")
    string(APPEND calls "  register_${family}_kernels(table);\n")
  endif()
endforeach()
set(cuda_kernels_source "${PROJECT_BINARY_DIR}/generated/cuda_kernels.gen.cpp")
file(CONFIGURE OUTPUT "${cuda_kernels_source}" @ONLY CONTENT
"// Written by cmake/Cuda.cmake: the families that have CUDA kernels.
namespace legato {
class KernelTable;
namespace cuda {
@declarations@void register_all_kernels(KernelTable&);

void register_all_kernels([[maybe_unused]] KernelTable& table) {
@calls@}
}  // namespace cuda
}  // namespace legato
")

# --- the plugin
file(GLOB cuda_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/backends/cuda/*.cpp")
add_library(legato_cuda_objects OBJECT ${cuda_sources} ${cuda_family_sources} "${cuda_images_source}"
                                       "${cuda_kernels_source}" "${cuda_language_source}" "${cuda_programs}")
legato_library_options(legato_cuda_objects)
# Thread-local storage that is found at once is for libraries that are there from the start.
target_compile_options(legato_cuda_objects PRIVATE -ftls-model=global-dynamic)
target_include_directories(legato_cuda_objects SYSTEM PRIVATE "${LEGATO_CUDA_INCLUDE}")
add_library(legato_cuda SHARED $<TARGET_OBJECTS:legato_cuda_objects>)
target_link_libraries(legato_cuda PRIVATE legato ${CMAKE_DL_LIBS})
set_target_properties(legato_cuda PROPERTIES LINKER_LANGUAGE CXX LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib"
                                             BUILD_RPATH "$ORIGIN" INSTALL_RPATH "$ORIGIN")
install(TARGETS legato_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

# --- the emulated driver and compiler: kernels run on the host, so that all of the backend but the GPU is tested
if(LEGATO_BUILD_TESTS)
  set(emulated_objects "")
  foreach(source IN LISTS cuda_device_sources)
    get_filename_component(name "${source}" NAME_WE)
    set(copy "${PROJECT_BINARY_DIR}/generated/emulated_${name}.cpp")
    file(CONFIGURE OUTPUT "${copy}" @ONLY CONTENT "#include \"tests/cuda/emulator/device.h\"\n#include \"@source@\"\n")
    list(APPEND emulated_objects "${copy}")
    if(source IN_LIST cuda_program_sources)  # nobody wrote it: comparisons that are always false, unused names
      set_source_files_properties("${copy}" PROPERTIES COMPILE_OPTIONS "-w" OBJECT_DEPENDS "${source}")
    endif()
  endforeach()
  file(GLOB emulator_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/cuda/emulator/*.cpp")
  add_library(cuda_emulator SHARED ${emulator_sources} ${emulated_objects})
  target_include_directories(cuda_emulator PRIVATE "${PROJECT_SOURCE_DIR}")
  target_include_directories(cuda_emulator SYSTEM PRIVATE "${LEGATO_CUDA_INCLUDE}")
  target_compile_definitions(cuda_emulator PRIVATE LEGATO_EMULATED=1 LEGATO_EMULATOR_ROOT="${PROJECT_SOURCE_DIR}"
                                                   LEGATO_EMULATOR_CXX="${CMAKE_CXX_COMPILER}")
  target_compile_options(cuda_emulator PRIVATE -O0 -fno-strict-aliasing -Wno-unused-function -Wno-unused-parameter
                                               -Wno-unknown-pragmas)
  target_link_libraries(cuda_emulator PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
  set_target_properties(cuda_emulator PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib" POSITION_INDEPENDENT_CODE ON)

  # What needs no device at all: plans, sources, caches.
  file(GLOB cuda_test_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/cuda/*.cpp")
  find_package(doctest QUIET)
  if(doctest_FOUND)
    add_executable(legato_cuda_tests ${cuda_test_sources} ${legato_all_objects} $<TARGET_OBJECTS:legato_cuda_objects>)
    target_include_directories(legato_cuda_tests PRIVATE "${PROJECT_SOURCE_DIR}")
    target_include_directories(legato_cuda_tests SYSTEM PRIVATE "${LEGATO_CUDA_INCLUDE}")
    target_compile_options(legato_cuda_tests PRIVATE $<$<CONFIG:Release>:-O1>)
    target_link_libraries(legato_cuda_tests PRIVATE doctest::doctest)
    legato_link_dependencies(legato_cuda_tests)
  endif()
endif()
