// Unsigned integers in the order in which values sort: nan last.
#pragma once

#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/order_form.h"

namespace legato::cuda {

// Without branches: threads of a warp seldom agree on signs.
template <class K>
LEGATO_INLINE K encode(K bits, int kind, int zeros_equal, K infinity) {
  constexpr K top = static_cast<K>(K{1} << (8 * sizeof(K) - 1)), ones = static_cast<K>(~K{0});
  const bool floating = kind != KeyForm::unsigned_ && kind != KeyForm::signed_;
  const K magnitude = static_cast<K>(bits & ~top), flip = kind == KeyForm::unsigned_ ? K{0} : top;
  K key = static_cast<K>(bits ^ (floating && (bits & top) ? ones : flip));
  key = floating && magnitude > infinity ? ones : key;
  return floating && zeros_equal && magnitude == 0 ? top : key;
}
template <class K>
LEGATO_INLINE K decode(K key, const KeyForm& f) {
  constexpr K top = static_cast<K>(K{1} << (8 * sizeof(K) - 1)), ones = static_cast<K>(~K{0});
  const bool floating = f.kind != KeyForm::unsigned_ && f.kind != KeyForm::signed_;
  const K flip = f.kind == KeyForm::unsigned_ ? K{0} : top;
  const K bits = static_cast<K>(key ^ (floating && !(key & top) ? ones : flip));
  return floating && key == ones ? static_cast<K>(f.nan) : bits;
}

}  // namespace legato::cuda
