#include "legato/ops/index/buckets.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/index/index.cuda.h"

namespace legato::cuda {
namespace {

// Updates for each multiprocessor; fewer are added where they go: 4 million of 1 million places
// took 76 us in buckets, and 54 by atomic additions of floats (H100).
constexpr int64_t kMany = 1 << 15;
constexpr int64_t kLikelyWords = 3;  // of a sum: numbers of one magnitude

int64_t rounded_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

bool add_in_buckets(Launch& l, const PlacesParams& places, const void* updates, bool single,
                    int flat) {
  const View& out = l.out[0];
  const int64_t count = places.n_outer * places.n_index * places.n_inner;
  const int64_t wave = current().multiprocessors();
  if (count < kMany * wave || out.size > int64_t{kMostBuckets} * kMostEach || out.size > 4 * count)
    return false;
  BucketParams p{};
  p.places = places;
  p.updates = updates;
  p.single = single;
  p.flat = flat;
  p.to = out.data;
  p.count = count;
  p.size = static_cast<unsigned>(out.size);
  const int shared = current().shared_bytes();
  p.room = (shared - kSumMemory) / 4;
  // As many buckets as keep all multiprocessors busy to the end.
  const int64_t fit = p.room / kLikelyWords;
  int64_t buckets = rounded_up((out.size + fit - 1) / fit, wave);
  buckets = std::min<int64_t>({buckets, kMostBuckets, out.size});
  const int64_t each = (out.size + buckets - 1) / buckets;
  buckets = (out.size + each - 1) / each;
  p.buckets = static_cast<unsigned>(buckets);
  p.each = static_cast<unsigned>(each);
  p.by_each = divider_of(each);
  const int64_t tiles = (count + kBucketTile - 1) / kBucketTile, bytes = size_of(out.dtype);
  p.tiles = static_cast<unsigned>(tiles);
  p.values = l.workspace(tiles * kBucketTile * bytes);
  p.locals = static_cast<unsigned short*>(l.workspace(tiles * kBucketTile * 2));
  p.starts = static_cast<unsigned short*>(l.workspace(tiles * (buckets + 1) * 2));
  // A bucket with more than twice its share is cut.
  const int64_t shares = std::max(buckets, wave), items = buckets + shares / 2 + 1;
  p.most = static_cast<unsigned>(2 * ((count + shares - 1) / shares));
  p.parts = static_cast<unsigned*>(l.workspace(items * each * kPartWords * 4));
  const int64_t zeroed = (2 + 2 * buckets) * 4;
  p.range = static_cast<unsigned*>(l.workspace(zeroed));
  p.totals = p.range + 2;
  p.ended = p.totals + buckets;
  check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(p.range), 0,
                                 static_cast<size_t>(zeroed), current().queue()),
        "clearing the counts of buckets");
  const char* end = suffix(out.dtype);
  launch_shared("buckets", cat("bucket_cut", end), tiles, kCutThreads,
                static_cast<int>(kBucketTile * (bytes + 2) + kMostBuckets * 4 + kCutWarps * 12), p);
  // Items: a bucket each, and those of which a bucket has several.
  launch_shared("buckets", cat("bucket_sum", end), items, kSumThreads, shared, p);
  return true;
}

}  // namespace legato::cuda
