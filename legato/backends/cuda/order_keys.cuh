// Unsigned integers in the order in which values sort: nan last.
#pragma once

#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/order_form.h"

namespace legato::cuda {

template <class K>
LEGATO_INLINE K encode(K bits, int kind, int zeros_equal, K infinity) {
  constexpr K top = static_cast<K>(K{1} << (8 * sizeof(K) - 1));
  if (kind == KeyForm::unsigned_) return bits;
  if (kind == KeyForm::signed_) return static_cast<K>(bits ^ top);
  const K magnitude = static_cast<K>(bits & ~top);
  if (magnitude > infinity) return static_cast<K>(~K{0});
  if (zeros_equal && magnitude == 0) return top;
  return static_cast<K>(bits & top ? ~bits : bits | top);
}
template <class K>
LEGATO_INLINE K decode(K key, const KeyForm& f) {
  constexpr K top = static_cast<K>(K{1} << (8 * sizeof(K) - 1));
  if (f.kind == KeyForm::unsigned_) return key;
  if (f.kind == KeyForm::signed_) return static_cast<K>(key ^ top);
  if (key == static_cast<K>(~K{0})) return static_cast<K>(f.nan);
  return static_cast<K>(key & top ? key & ~top : ~key);
}

}  // namespace legato::cuda
