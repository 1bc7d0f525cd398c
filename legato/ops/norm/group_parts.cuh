// What group norm and its derivative have in common: where a thread stands, and moments of chunks.
// Moments are a mean and the sum of the squared differences from it. They are added up level by
// level, each time with the differences between means, so that nothing cancels.
#pragma once

#include "legato/backends/cuda/packs.cuh"
#include "legato/ops/norm/norm.cuh"

namespace legato::cuda {

inline constexpr int kTeam = 8;  // threads that add up the parts of a group

template <class V>
struct PartMoments {
  V mean, squares;
};

/// A block's tile and chunk, and a thread's place in it.
struct GroupPlace {
  long long sample, start;  // start: the first position
  int chunk, length;        // length: positions in the chunk
  int tile, column, line;   // column: of packs in the tile
  bool works;

  /// Positions of a line; those of a thread are line, line + lines, ...
  LEGATO_INLINE int of_line(const GroupNormParams& p, int l) const {
    return (length - l + p.lines - 1) / p.lines;
  }
};
LEGATO_INLINE GroupPlace group_place(const GroupNormParams& p, unsigned block) {
  const unsigned thread = threadIdx.x, across = static_cast<unsigned>(p.across),
                 tiles = static_cast<unsigned>(p.tiles), chunks = static_cast<unsigned>(p.chunks);
  GroupPlace at;
  const unsigned rest = block / tiles;
  at.tile = static_cast<int>(block - rest * tiles);
  at.sample = rest / chunks;
  at.chunk = static_cast<int>(rest % chunks);
  at.start = static_cast<long long>(at.chunk) * p.chunk;
  const long long left = p.positions - at.start;
  at.length = left < p.chunk ? static_cast<int>(left) : p.chunk;
  at.line = static_cast<int>(thread / across);
  at.column = static_cast<int>(thread - static_cast<unsigned>(at.line) * across);
  at.works = at.line < p.lines;
  return at;
}
template <int W>
LEGATO_INLINE long long first_channel(const GroupNormParams& p, const GroupPlace& at) {
  return (static_cast<long long>(at.tile) * p.across + at.column) * W;
}
/// A thread's first element: of its line and its channels.
template <int W>
LEGATO_INLINE long long first_element(const GroupNormParams& p, const GroupPlace& at) {
  return (at.sample * p.positions + at.start + at.line) * p.channels + first_channel<W>(p, at);
}
/// Channels of a group that lie in one tile, `width` channels wide.
LEGATO_INLINE int own_channels(const GroupNormParams& p, int width) {
  return p.cuts > 1 ? width : p.group_channels;
}
/// The group, over all samples, that is number `local` of a tile; and its moments.
LEGATO_INLINE long long group_of(const GroupNormParams& p, const GroupPlace& at, int width,
                                 int local) {
  return at.sample * p.groups +
         (p.cuts > 1 ? at.tile / p.cuts : at.tile * (width / p.group_channels) + local);
}

/// Loads the K positions of a thread from number `first` of its own on; `left` of them exist.
template <class T, int W, int K>
LEGATO_INLINE void load_positions(const T* from, long long step, int left, Stored<T, W>* stored) {
  for (int k = 0; k < K; ++k)
    if (k < left) stored[k] = load<T, W>(from + k * step);
}

/// Adds K positions, of which `left` exist, to the moments of W channels, which have `count` so
/// far. Returns the mean of the added ones.
template <class T, int W, int K, class V>
LEGATO_INLINE void add_moments(const Stored<T, W>* stored, int left, int count, PartMoments<V>* m,
                               V* means) {
  const int n = left < K ? left : K;
  V squares[W];
  for (int j = 0; j < W; ++j) means[j] = squares[j] = V(0);
  for (int k = 0; k < K; ++k) {
    if (k >= left) continue;
    V v[W];
    unpack<T, W>(stored[k], v);
    for (int j = 0; j < W; ++j) means[j] += v[j];
  }
  const V one = V(1) / static_cast<V>(n);
  for (int j = 0; j < W; ++j) means[j] *= one;
  for (int k = 0; k < K; ++k) {
    if (k >= left) continue;
    V v[W];
    unpack<T, W>(stored[k], v);
    for (int j = 0; j < W; ++j) squares[j] = fma(v[j] - means[j], v[j] - means[j], squares[j]);
  }
  const V share = static_cast<V>(n) / static_cast<V>(n + count),
          between = static_cast<V>(count) * share;
  for (int j = 0; j < W; ++j) {
    const V d = means[j] - m[j].mean;
    m[j].squares += fma(d * between, d, squares[j]);
    m[j].mean = fma(d, share, m[j].mean);
  }
}

template <class V>
LEGATO_INLINE V over_team(V v) {
  for (int by = kTeam / 2; by > 0; by /= 2) v += __shfl_xor_sync(~0u, v, by);
  return v;
}

/// Adds up the moments of the block's chunk, from those of (lines, width) in `lines`, whose first
/// `width` entries become those of the channels. f(local group, moments) is called by one thread.
template <class V, class F>
LEGATO_INLINE void chunk_moments(const GroupNormParams& p, const GroupPlace& at, int width,
                                 PartMoments<V>* lines, F f) {
  const V length = static_cast<V>(at.length), one = V(1) / length;
  // The first `more` lines have one position more than the others.
  const int fewest = at.length / p.lines, more = at.length - fewest * p.lines;
  for (int c = static_cast<int>(threadIdx.x); c < width; c += static_cast<int>(blockDim.x)) {
    V sum = 0, squares = 0;
    for (int l = 0; l < p.lines; ++l)
      sum = fma(static_cast<V>(fewest + (l < more)), lines[l * width + c].mean, sum);
    const V mean = sum * one;
    for (int l = 0; l < p.lines; ++l) {
      const PartMoments<V> m = lines[l * width + c];
      const V d = m.mean - mean;
      squares += fma(static_cast<V>(fewest + (l < more)) * d, d, m.squares);
    }
    lines[c] = {mean, squares};
  }
  __syncthreads();
  const int own = own_channels(p, width), team = static_cast<int>(threadIdx.x) / kTeam,
            member = static_cast<int>(threadIdx.x) % kTeam,
            teams = static_cast<int>(blockDim.x) / kTeam, groups = width / own;
  for (int first = 0; first < groups; first += teams) {
    const int local = first + team, end = local < groups ? (local + 1) * own : 0;
    V sum = 0, squares = 0;
    for (int c = local * own + member; c < end; c += kTeam) sum += lines[c].mean;
    const V mean = over_team(sum) / static_cast<V>(own);
    for (int c = local * own + member; c < end; c += kTeam) {
      const V d = lines[c].mean - mean;
      squares += fma(length * d, d, lines[c].squares);
    }
    squares = over_team(squares);
    if (end > 0 && member == 0) f(local, PartMoments<V>{mean, squares});
  }
}
/// Where those of a tile's group in the block's chunk lie in p.moments.
template <class V>
LEGATO_INLINE PartMoments<V>& stored_moments(const GroupNormParams& p, const GroupPlace& at,
                                             int width, int local) {
  const long long cut =
      group_of(p, at, width, local) * p.cuts + (p.cuts > 1 ? at.tile % p.cuts : 0);
  return static_cast<PartMoments<V>*>(p.moments)[cut * p.chunks + at.chunk];
}

/// The moments of a group (numbered over all samples), added up by a team from those of its cuts
/// and chunks, each of which has `own` channels.
template <class V>
LEGATO_INLINE PartMoments<V> group_total(const GroupNormParams& p, long long group, int own) {
  const PartMoments<V>* parts =
      static_cast<const PartMoments<V>*>(p.moments) + group * p.cuts * p.chunks;
  const V whole = static_cast<V>(p.chunk) * static_cast<V>(own),
          last = static_cast<V>(p.positions - static_cast<long long>(p.chunks - 1) * p.chunk) *
                 static_cast<V>(own);
  const auto each = [&](auto what) {
    for (int cut = 0; cut < p.cuts; ++cut)
      for (int c = static_cast<int>(threadIdx.x) % kTeam; c < p.chunks; c += kTeam)
        what(c + 1 < p.chunks ? whole : last, parts[static_cast<long long>(cut) * p.chunks + c]);
  };
  V sum = 0, squares = 0;
  each([&](V n, const PartMoments<V>& m) { sum = fma(n, m.mean, sum); });
  const V mean = over_team(sum) / (static_cast<V>(p.positions) * static_cast<V>(p.group_channels));
  each([&](V n, const PartMoments<V>& m) {
    const V d = m.mean - mean;
    squares += fma(n * d, d, m.squares);
  });
  return {mean, over_team(squares)};
}
template <class V>
LEGATO_INLINE V scale_of(const GroupNormParams& p, V squares) {
  return V(1) / root_of(squares / (static_cast<V>(p.positions) * static_cast<V>(p.group_channels)) +
                        static_cast<V>(p.eps));
}

}  // namespace legato::cuda
