// Note [Where a node was made]: while somebody watches evaluations, the line of the user's program
// that makes a node is remembered beside it, in a table by the node's address. Otherwise bind()
// reads one flag and nothing is kept.
#pragma once

#include <atomic>
#include <string>

#include "legato/array/array.h"

namespace legato {

/// The line that is running, "train.py:31"; empty if there is none. Installed by a language
/// binding.
using OriginFn = std::string (*)();
LEGATO_API void set_origin_source(OriginFn source);

/// Whether origins are recorded. Turning it on forgets older ones.
LEGATO_API extern std::atomic<bool> recording_origins;
LEGATO_API void record_origins(bool on);

/// Remembers the running line for `node`.
LEGATO_API void remember_origin(const Node* node);
/// The line that made it; empty if it is not known.
LEGATO_API std::string origin_of(const Node* node);

}  // namespace legato
