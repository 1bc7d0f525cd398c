// CUDA's run-time compiler, loaded by dlopen at first use, with a cache of its results on disk.
#pragma once

#include <string>
#include <string_view>

namespace legato::cuda {

/// Machine code for a device of `capability` (90 for 9.0), from the cache or freshly compiled.
/// Throws EvalError with the compiler's words, or with the sentence that says why there is no
/// compiler.
std::string compile_source(const std::string& source, int capability);
/// Of a generated kernel, behind its prelude.
struct Source;
std::string compile_source(const Source& source, int capability);
/// The same for what a user wrote, as CUDA's compiler does by default. With `headers` it may
/// include those of CUDA, if they are found. `what` names it in errors.
std::string compile_user_source(const std::string& source, int capability, bool headers,
                                const std::string& what);

/// Why NVRTC can't be used; empty if it can.
const std::string& nvrtc_problem();
/// "13.0", once it is loaded.
std::string nvrtc_version();
/// Bytes that a launch of what it compiles may hand over.
int most_parameter_bytes();

/// The folder of compiled programs: LEGATO_CACHE_DIR, or ~/.cache/legato; empty if there is none.
std::string cache_folder();
/// What `cache_file` holds under `key`, or an empty string. Any trouble reading is an empty string.
std::string read_cached(const std::string& folder, std::string_view key);
/// Puts it there in one step; a folder that is full or read-only is no error.
void write_cached(const std::string& folder, std::string_view key, std::string_view data) noexcept;

}  // namespace legato::cuda
