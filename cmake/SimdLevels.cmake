# Compiles every *.simd.cpp once per vector level, and every *.avx512bf16.cpp once for that level.
# A source sees its level as
#   LEGATO_LEVEL               base, avx2, avx512 or avx512bf16: to be used as a namespace name
#   LEGATO_LEVEL_<LEVEL>       1 for the level in capitals (avx512bf16 also defines LEGATO_LEVEL_AVX512)
# and every source of the project sees LEGATO_HAS_X86_LEVELS: 1 if levels beyond base exist in this build.
#
# THE RULE FOR THESE SOURCES. Everything they define has internal linkage or stands in `namespace LEGATO_LEVEL`.
# An inline function or template of another namespace (std::vector's growth, a helper of legato::) that is not
# inlined becomes a weak symbol, and the linker keeps one copy of it for the whole library. If that copy came from
# an AVX-512 object, a CPU without AVX-512 would die in code that has nothing to do with vectors. Remedies: put the
# helper into an anonymous namespace or into `namespace LEGATO_LEVEL`, force it inline, or call compiled code.
# Two guards: objects are linked from the plainest level to the richest, so that the copy kept is the plainest one;
# and tests/layers/test_simd_symbols.py reads the objects and fails on such a symbol.

set(legato_avx2_flags -mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt)
set(legato_avx512_flags ${legato_avx2_flags} -mavx512f -mavx512bw -mavx512vl -mavx512dq)
set(legato_avx512bf16_flags ${legato_avx512_flags} -mavx512bf16)

set(legato_has_x86_levels 0)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(legato_has_x86_levels 1)
endif()
add_compile_definitions(LEGATO_HAS_X86_LEVELS=${legato_has_x86_levels})

# legato_add_level(<level> <flags> <sources>): the object library legato_simd_<level>.
function(legato_add_level level flags sources)
  set(target legato_simd_${level})
  string(TOUPPER ${level} upper)
  add_library(${target} OBJECT ${sources})
  legato_library_options(${target})
  target_compile_options(${target} PRIVATE ${flags} -O3 -fwrapv)  # integers wrap around, as NumPy's do
  target_compile_definitions(${target} PRIVATE LEGATO_LEVEL=${level} LEGATO_LEVEL_${upper}=1)
endfunction()

# Puts into `objects_variable` the objects of all levels, the plainest first.
function(legato_add_simd_levels objects_variable)
  file(GLOB_RECURSE simd_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/*.simd.cpp")
  file(GLOB_RECURSE bf16_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/legato/*.avx512bf16.cpp")
  set(objects "")
  if(simd_sources)
    legato_add_level(base "" "${simd_sources}")
    list(APPEND objects $<TARGET_OBJECTS:legato_simd_base>)
    if(legato_has_x86_levels)
      foreach(level IN ITEMS avx2 avx512)
        legato_add_level(${level} "${legato_${level}_flags}" "${simd_sources}")
        list(APPEND objects $<TARGET_OBJECTS:legato_simd_${level}>)
      endforeach()
    endif()
  endif()
  if(bf16_sources AND legato_has_x86_levels)
    legato_add_level(avx512bf16 "${legato_avx512bf16_flags}" "${bf16_sources}")
    target_compile_definitions(legato_simd_avx512bf16 PRIVATE LEGATO_LEVEL_AVX512=1)
    list(APPEND objects $<TARGET_OBJECTS:legato_simd_avx512bf16>)
  endif()
  set(${objects_variable} ${objects} PARENT_SCOPE)
endfunction()
