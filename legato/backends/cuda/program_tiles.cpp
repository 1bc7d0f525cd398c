#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "legato/backends/cuda/print_tiles.h"
#include "legato/backends/cuda/program.h"

namespace legato::cuda {
namespace {

constexpr int64_t kLeastTurned = 1 << 16;  // elements; fewer of them stay in the caches
constexpr int64_t kLeastAcross = 16;       // elements of either axis of a tile

void exchange(const fuse::ProgramCall& call, Walk& w) {
  std::swap(w.size[1], w.size[w.across]);
  for (size_t i = 0; i < call.inputs.size(); ++i) std::swap(w.stride[i][1], w.stride[i][w.across]);
}

}  // namespace

void plan_tiles(const fuse::ProgramCall& call, Walk& w) {
  const size_t n_in = call.inputs.size();
  if (w.axes < 2 || w.outer || w.variant.wide || w.n < kLeastTurned || w.size[0] < kLeastAcross)
    return;
  int across = 0;  // the axis along which turned operands are consecutive
  int64_t shared = 0;
  bool turned[fuse::kMaxInputs] = {};
  for (size_t i = 0; i < n_in; ++i) {
    if (std::abs(w.stride[i][0]) < 2) continue;
    int axis = across;
    for (int k = 1; k < w.axes && !across; ++k)
      if (w.stride[i][k] == 1 && w.size[k] >= kLeastAcross) axis = k;
    const int64_t bytes = tile_bytes(size_of(call.program->inputs[i]));
    if (axis == 0 || w.stride[i][axis] != 1 || shared + bytes > kTileBytes) continue;
    across = axis;
    shared += bytes;
    turned[i] = true;
  }
  if (across == 0) return;
  int64_t step = 1;
  for (int k = 0; k < w.axes; ++k) {
    w.out_stride[k] = step;
    step *= w.size[k];
  }
  w.across = across;
  exchange(call, w);
  std::swap(w.out_stride[1], w.out_stride[across]);
  for (size_t i = 0; i < n_in; ++i) {
    Access& access = w.variant.access[i];
    if (access != Access::scalar) access = turned[i] ? Access::turned : Access::gather;
  }
  w.variant.pack = 1;
  w.variant.tiled = true;
}

void leave_tiles(const fuse::ProgramCall& call, Walk& w) {
  exchange(call, w);
  w.variant.tiled = false;
}

int64_t tiles_of(const Walk& w) {
  int64_t tiles = 1;
  for (int k = 0; k < w.axes; ++k)
    tiles *= k < 2 ? (w.size[k] + kTileSide - 1) / kTileSide : w.size[k];
  return tiles;
}

uint64_t* fill_tiles(const fuse::ProgramCall& call, const Walk& w, uint64_t* to) {
  *to++ = static_cast<uint64_t>(w.axes);
  auto* at = reinterpret_cast<uint32_t*>(to);
  for (int k = 0; k < kProgramAxes; ++k) {
    uint32_t size = 1;
    if (k < w.axes)
      size = static_cast<uint32_t>(k < 2 ? (w.size[k] + kTileSide - 1) / kTileSide : w.size[k]);
    const Magic m = division_by(size);
    at[k] = size;
    at[k + kProgramAxes] = m.magic;
    at[k + 2 * kProgramAxes] = m.shift;
  }
  at += 3 * kProgramAxes;
  const int64_t* strides[fuse::kMaxInputs + 1];
  int n = 0;
  for (size_t i = 0; i < call.inputs.size(); ++i)
    if (is_strided(w.variant.access[i])) strides[n++] = w.stride[i];
  strides[n++] = w.out_stride;
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < kProgramAxes; ++k)
      *at++ = k < w.axes ? static_cast<uint32_t>(strides[i][k] * (k < 2 ? kTileSide : 1)) : 0;
  for (int i = 0; i < n; ++i)
    for (int k = 0; k < 2; ++k) *at++ = static_cast<uint32_t>(strides[i][k]);
  *at++ = static_cast<uint32_t>(w.size[0]);
  *at++ = static_cast<uint32_t>(w.size[1]);
  return reinterpret_cast<uint64_t*>(at);
}

}  // namespace legato::cuda
