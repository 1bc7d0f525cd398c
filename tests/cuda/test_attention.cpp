// What the host decides about masks for Hopper's attention kernels, which the emulated GPU never
// runs: how a mask lies for tensor copies.
#include <doctest/doctest.h>

#include "legato/ops/attention/attention_sm90a.cuda.h"

using namespace legato::cuda;

namespace {

// Of halves at a multiple of 16 bytes.
AttentionParams masked(int heads, int queries, int keys, HeadStrides strides, long long column) {
  AttentionParams p{};
  p.heads = heads;
  p.queries = queries;
  p.keys = keys;
  p.mask = reinterpret_cast<const void*>(0x1000);
  p.mask_kind = MaskKind::f16;
  p.mask_strides = strides;
  p.mask_column = column;
  return p;
}
bool sizes_are(const MaskLayout& m, int64_t batch, int64_t heads, int64_t queries, int64_t keys) {
  return m.sizes[0] == batch && m.sizes[1] == heads && m.sizes[2] == queries && m.sizes[3] == keys;
}
bool strides_are(const MaskLayout& m, int64_t batch, int64_t head, int64_t row) {
  return m.strides[0] == batch && m.strides[1] == head && m.strides[2] == row;
}

}  // namespace

TEST_CASE("a mask whose rows begin at multiples of 16 bytes is read as it lies") {
  const MaskLayout all = mask_layout(masked(3, 50, 64, {9600, 3200, 64}, 1), 2, 2);
  CHECK(all.as_it_lies);
  CHECK(sizes_are(all, 2, 3, 50, 64));
  CHECK(strides_are(all, 9600, 3200, 64));
  // A slice of wider rows, and one that steps over rows.
  const MaskLayout slice = mask_layout(masked(3, 50, 61, {0, 0, 72}, 1), 2, 2);
  CHECK(slice.as_it_lies);
  CHECK(sizes_are(slice, 1, 1, 50, 61));
  CHECK(slice.strides[2] == 72);
}

TEST_CASE("what queries, heads or batches share is described once") {
  const MaskLayout keys = mask_layout(masked(3, 50, 64, {64, 0, 0}, 1), 2, 2);
  CHECK(keys.as_it_lies);
  CHECK(sizes_are(keys, 2, 1, 1, 64));
  CHECK(keys.strides[0] == 64);
  const MaskLayout one = mask_layout(masked(3, 50, 77, {0, 0, 0}, 1), 2, 2);
  CHECK(one.as_it_lies);
  CHECK(sizes_are(one, 1, 1, 1, 77));
  for (int64_t stride : one.strides) CHECK(stride % 8 == 0);  // the driver asks for it even so
}

TEST_CASE("other masks are copied to rows that begin at multiples of 16 bytes") {
  auto copied = [](const AttentionParams& p, int64_t bytes) {
    const MaskLayout m = mask_layout(p, 2, bytes);
    for (int64_t stride : m.strides) CHECK(stride * bytes % 16 == 0);
    return m;
  };
  const MaskLayout odd = copied(masked(3, 50, 77, {0, 3850, 77}, 1), 2);
  CHECK_FALSE(odd.as_it_lies);
  CHECK(sizes_are(odd, 1, 3, 50, 77));
  CHECK(strides_are(odd, 12000, 4000, 80));
  CHECK(copied(masked(3, 50, 77, {0, 0, 77}, 1), 1).strides[2] == 80);
  // Every second column, turned, one column for all keys, the rows backwards.
  CHECK_FALSE(copied(masked(3, 50, 64, {0, 0, 128}, 2), 2).as_it_lies);
  CHECK_FALSE(copied(masked(3, 64, 64, {0, 0, 1}, 64), 2).as_it_lies);
  CHECK_FALSE(copied(masked(3, 50, 64, {0, 0, 8}, 0), 2).as_it_lies);
  CHECK_FALSE(copied(masked(3, 50, 64, {0, 0, -64}, 1), 2).as_it_lies);
  AttentionParams p = masked(3, 50, 64, {0, 0, 64}, 1);
  p.mask = reinterpret_cast<const void*>(0x1008);
  CHECK_FALSE(copied(p, 2).as_it_lies);
}
