#include "legato/ops/index/places.cpu.h"

#include <algorithm>

#include "legato/base/error.h"

namespace legato::cpu {
namespace {

/// out[i] += wrapped index * stride. Returns a negative number if an index is out of range.
template <class T>
int64_t add_indices(const T* at, int64_t step, int64_t n, int64_t size, int64_t stride,
                    int64_t* out) {
  int64_t bad = 0;
  auto loop = [&](int64_t step) {
    for (int64_t i = 0; i < n; ++i) {
      auto v = static_cast<int64_t>(at[i * step]);
      if constexpr (std::is_signed_v<T>) v += (v >> 63) & size;
      // The sign of v or of size - 1 - v is set unless 0 <= v < size.
      bad |= v | static_cast<int64_t>(static_cast<uint64_t>(size - 1) - static_cast<uint64_t>(v));
      out[i] = static_cast<int64_t>(static_cast<uint64_t>(out[i]) +
                                    static_cast<uint64_t>(v) * static_cast<uint64_t>(stride));
    }
  };
  step == 1 ? loop(1) : loop(step);
  return bad;
}

}  // namespace

Offsets::Offsets(const Shape& shape, const Strides& strides)
    : shape_(shape), strides_(strides), count_(element_count(shape)) {}

void Offsets::add(const View& indices, int64_t axis, int64_t size, int64_t stride) {
  terms_.push_back({indices.data, indices.dtype, *indices.strides, axis, size, stride});
}

void Offsets::finish() {
  // Drop axes of size 1, and merge neighbours that every operand walks like one.
  Shape shape;
  std::vector<Strides*> all{&strides_};
  for (Term& t : terms_) all.push_back(&t.strides);
  std::vector<Strides> merged(all.size());
  for (size_t i = 0; i < shape_.size(); ++i) {
    if (shape_[i] == 1) continue;
    bool merges = !shape.empty();
    for (size_t k = 0; merges && k < all.size(); ++k)
      merges = merged[k].back() == (*all[k])[i] * shape_[i];
    if (merges) {
      shape.back() *= shape_[i];
      for (size_t k = 0; k < all.size(); ++k) merged[k].back() = (*all[k])[i];
    } else {
      shape.push_back(shape_[i]);
      for (size_t k = 0; k < all.size(); ++k) merged[k].push_back((*all[k])[i]);
    }
  }
  if (shape.empty()) {
    shape.push_back(1);
    for (Strides& s : merged) s.push_back(0);
  }
  shape_ = shape;
  for (size_t k = 0; k < all.size(); ++k) *all[k] = merged[k];
}

bool Offsets::dense() const {
  return terms_.empty() && shape_.size() == 1 && (strides_[0] == 1 || shape_[0] == 1);
}

bool Offsets::fill(Launch& l, int64_t begin, int64_t count, int64_t* out) const {
  size_t rank = shape_.size();
  Dims at = Dims::filled(rank, 0);
  for (size_t i = rank; i-- > 0;) {
    at[i] = begin % shape_[i];
    begin /= shape_[i];
  }
  while (count > 0) {
    int64_t run = std::min(count, shape_[rank - 1] - at[rank - 1]);
    auto position = [&](const Strides& strides) {
      int64_t p = 0;
      for (size_t i = 0; i < rank; ++i) p += at[i] * strides[i];
      return p;
    };
    int64_t first = position(strides_), step = strides_[rank - 1];
    for (int64_t i = 0; i < run; ++i) out[i] = first + i * step;
    for (const Term& t : terms_) {
      int64_t offset = position(t.strides), stride = t.strides[rank - 1];
      int64_t bad = visit_dtype(t.dtype, [&]<class T>(TypeTag<T>) -> int64_t {
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
          return add_indices(static_cast<const T*>(t.data) + offset, stride, run, t.size, t.stride,
                             out);
        else
          return 0;  // infer lets integers pass only
      });
      if (bad < 0) {
        report(l, t, offset, stride, run);
        return false;
      }
    }
    out += run;
    count -= run;
    at[rank - 1] += run;
    for (size_t i = rank - 1; i > 0 && at[i] == shape_[i]; --i) {
      at[i] = 0;
      ++at[i - 1];
    }
  }
  return true;
}

void Offsets::report(Launch& l, const Term& t, int64_t offset, int64_t stride, int64_t n) const {
  visit_dtype(t.dtype, [&]<class T>(TypeTag<T>) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      const T* at = static_cast<const T*>(t.data) + offset;
      for (int64_t i = 0; i < n; ++i) {
        T v = at[i * stride];
        bool below = std::is_signed_v<T> && static_cast<int64_t>(v) < -t.size;
        bool above = v > 0 && static_cast<uint64_t>(v) >= static_cast<uint64_t>(t.size);
        if (below || above || t.size == 0) {
          l.fail(std::make_exception_ptr(
              IndexError(cat(l.op->name, ": index ", v, " is out of range for axis ", t.axis,
                             " of size ", t.size))));
          return;
        }
      }
    }
  });
}

Places gather_places(const Shape& a, const Strides& strides, std::span<const View> indices,
                     const Dims& axes, int64_t at) {
  Shape outer, inner;
  Strides outer_strides, inner_strides;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end()) continue;
    bool before = static_cast<int64_t>(outer.size()) < at;
    (before ? outer : inner).push_back(a[i]);
    (before ? outer_strides : inner_strides).push_back(strides[i]);
  }
  const Shape& places = *indices[0].shape;
  Places p{
      {outer, outer_strides}, {places, Strides::filled(places.size(), 0)}, {inner, inner_strides}};
  for (size_t k = 0; k < indices.size(); ++k)
    p.index.add(indices[k], axes[k], a[axes[k]], strides[axes[k]]);
  p.outer.finish();
  p.index.finish();
  p.inner.finish();
  return p;
}

Places along_places(const Shape& a, const Strides& strides, const View& indices, int64_t axis) {
  Strides others = strides;
  others[axis] = 0;
  Places p{{{}, {}}, {*indices.shape, others}, {{}, {}}};
  p.index.add(indices, axis, a[axis], strides[axis]);
  p.outer.finish();
  p.index.finish();
  p.inner.finish();
  return p;
}

}  // namespace legato::cpu
