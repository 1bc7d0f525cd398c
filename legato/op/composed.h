// Note [Composed functions]: a public function that is made of others may read sizes: roll() cuts
// at n - shift. A shapeless trace keeps what was bound, so the size of the first call would stay.
// Inside such a trace the whole function becomes one node instead; bound again for other shapes, it
// runs again. It costs nothing elsewhere:
//
//   Array outer(const Array& a, const Array& b) {
//     if (tracing_shapeless())
//       return composed("outer", {a, b}, [](Inputs in) { return outer(in[0], in[1]); });
//     return multiply(reshape(a, {a.size(), 1}), reshape(b, {1, b.size()}));
//   }
//
// The rules of derivatives and batching read sizes too; the transforms run them in the same way.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "legato/op/op.h"

namespace legato {

using Inputs = std::span<const Array>;

/// Whether this thread traces a function whose graph will be used for other shapes.
LEGATO_API bool tracing_shapeless();

/// Sets `tracing_shapeless` for a scope.
class LEGATO_API ShapelessScope {
 public:
  explicit ShapelessScope(bool on);
  ~ShapelessScope();
  ShapelessScope(const ShapelessScope&) = delete;
  ShapelessScope& operator=(const ShapelessScope&) = delete;

 private:
  bool previous_;
};

// Note [Sizes read by the caller]: what Python does with x.shape is not in the graph. A shapeless
// trace remembers which arrays were asked for their sizes, and holds for shapes that give those
// arrays the same ones; for others the function runs again.

/// Says that the caller has seen the sizes of `a` as numbers. Costs nothing outside shapeless
/// traces.
LEGATO_API void note_sizes_read(const Array& a);

/// Collects on this thread, for its lifetime, the arrays given to note_sizes_read.
class LEGATO_API SizeReads {
 public:
  SizeReads();
  ~SizeReads();
  SizeReads(const SizeReads&) = delete;
  SizeReads& operator=(const SizeReads&) = delete;
  std::vector<Array> take() { return std::move(arrays_); }

 private:
  friend void note_sizes_read(const Array& a);
  std::vector<Array> arrays_;
  SizeReads* outer_;
};

/// A function kept in a node. It must not evaluate anything, and give as many results each time.
struct LEGATO_API Composition {
  virtual ~Composition() = default;
  virtual std::vector<Array> run(Inputs in) const = 0;

  const char* name = "";  // for errors; set by bind_composed, as is the number of results
  size_t n_out = 0;
};

/// One node that stands for `what`; it differentiates and batches as what it is made of.
LEGATO_API std::vector<Array> bind_composed(const char* name, Inputs in,
                                            std::shared_ptr<Composition> what);

/// A copy of attributes that lives as long as its holders.
LEGATO_API std::shared_ptr<const void> keep_attrs(const Op& op, const void* attrs);

/// Binds the op of a node to other inputs, and a composed function as what it is made of.
LEGATO_API std::vector<Array> bind_again(const Node& node, Inputs in);

namespace composed_detail {
template <class F>
struct Kept final : Composition {
  explicit Kept(F&& function) : f(std::move(function)) {}
  std::vector<Array> run(Inputs in) const override {
    if constexpr (std::is_same_v<decltype(f(in)), Array>)
      return {f(in)};
    else
      return f(in);
  }
  F f;
};
}  // namespace composed_detail

/// As bind_composed for a function of the inputs that gives an Array or a vector of them. `f` is
/// kept: it owns what it captures, and takes its arrays from the inputs.
template <class F>
auto composed(const char* name, Inputs in, F f) {
  using Result = decltype(f(in));
  auto out = bind_composed(name, in, std::make_shared<composed_detail::Kept<F>>(std::move(f)));
  if constexpr (std::is_same_v<Result, Array>)
    return std::move(out[0]);
  else
    return out;
}
template <class F>
auto composed(const char* name, std::initializer_list<Array> in, F f) {
  return composed(name, Inputs(in.begin(), in.size()), std::move(f));
}

}  // namespace legato
