// Drawing a lazy graph: what would be computed for some arrays.
#pragma once

#include <span>
#include <string>
#include <utility>

#include "legato/array/array.h"

namespace legato {

enum class GraphFormat : uint8_t {
  text,  // a line for each node, inputs before users
  dot,   // for Graphviz
};

/// What `roots` are made of, down to arrays that are computed. The arrays in `named` are drawn by
/// their names. Not to be called while another thread evaluates them.
LEGATO_API std::string draw_graph(std::span<const Array> roots, GraphFormat format,
                                  std::span<const std::pair<Array, std::string>> named = {});

}  // namespace legato
