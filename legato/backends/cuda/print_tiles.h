// Programs whose operands lie in different orders, x.T + x: tiles of the result, for which what
// lies across goes through shared memory.
#pragma once

#include <string>

#include "legato/backends/cuda/print.h"

namespace legato::cuda {

/// Sides of a tile: of the two axes along which the result, and what lies across, are consecutive.
inline constexpr int kTileSide = 64;
/// Bytes of shared memory that tiles of operands take at most.
inline constexpr int64_t kTileBytes = 48 << 10;
/// Of one operand whose elements are of `bytes` bytes.
int64_t tile_bytes(int64_t bytes);

/// Note [Parameters of tiles]: what follows literals in the parameter of a program in tiles,
///   axes                       how many there are: two of tiles, then those of the result that
///                              are left
///   size[8], magic[8], shift[8] (32 bits each), stride[][8] (32 bits each), of whole tiles along
///                              the first two axes; after the strided operands comes the result
///   step[][2]                  (32 bits each) of an element along these two
///   cols, rows                 (32 bits each) their sizes
std::string tile_fields(int n_strided);

/// The kernel behind `element`, which takes about `cost` instructions and writes registers.
std::string tile_kernel(const fuse::Program& program, const Variant& variant, const char* name,
                        int cost);

}  // namespace legato::cuda
