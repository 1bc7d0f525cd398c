// Parameters of exact sums of many single updates, for both sides.
#pragma once

#include "legato/ops/index/index.cuh"

namespace legato::cuda {

/// See Note [Buckets] in buckets.cu.
struct BucketParams {
  PlacesParams places;
  const void* updates;  // in the order of places, or a single one
  int single;
  void* to;
  long long count;
  int flat;  // bytes of indices, where one array of them names elements, all at multiples of 16; 0
  unsigned size;           // elements of the target
  unsigned buckets, each;  // places of a bucket
  Divider by_each;
  unsigned tiles;
  void* values;            // [tile][kBucketTile]: the buckets of a tile one after the other
  unsigned short* locals;  // the place of a value in its bucket
  unsigned short* starts;  // [tile][buckets + 1]
  // Zeroed: the largest magnitude, and 512 less the lowest bit; values of each bucket; items of
  // each bucket that have ended.
  unsigned *range, *totals, *ended;
  unsigned most;    // values of an item
  unsigned* parts;  // [part][word][each]: of buckets with several items
  int room;         // words of 32 bits in shared memory
};

inline constexpr int kCutThreads = 512, kCutItems = 16, kCutWarps = kCutThreads / 32;
inline constexpr int kCutPack = 4;  // updates that a thread takes at once
inline constexpr int kBucketTile = kCutThreads * kCutItems;
inline constexpr int kMostBuckets = 1024, kMostEach = 65536;
inline constexpr int kSumThreads = 1024, kSumWarps = kSumThreads / 32;
inline constexpr int kSumMemory = 10 << 10;       // bytes of shared memory beside the sums
inline constexpr int kPartWords = 4;              // of a place, where a bucket has several items
inline constexpr int kGroup = 8, kGroupEach = 8;  // threads for a short segment, values of each

}  // namespace legato::cuda
