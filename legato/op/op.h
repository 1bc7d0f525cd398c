// Op: the immutable record of one operation, and bind(), which makes a node of it.
//
// A record stands beside the functions that build it, in legato/ops/<family>/<family>.cpp:
//
//   constinit const Op exp_op{
//       .name = "exp",
//       .infer = infer_pointwise,
//       .pointwise = {.fn = "exp", .dtypes = float_rule},
//       .derive = Partials([](const Call& c, int) { return c.out(); }),   // d exp(x)/dx = exp(x)
//       .batch = batch_pointwise,
//   };
//
// Nothing central knows the list of ops: the family's register_<family>() adds its records to the
// Registry.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "legato/array/array.h"
#include "legato/array/operand.h"
#include "legato/op/attrs.h"

namespace legato {

/// What a rule sees of one use of an op: the op, its inputs, attributes and outputs. Holds no
/// references.
class Call {
 public:
  Call(const Op& op, std::span<const Array> in, const void* attrs, std::span<const Array> out = {},
       uint32_t wanted = ~0u)
      : op_(op), in_(in), out_(out), attrs_(attrs), wanted_(wanted) {}
  const Op& op() const { return op_; }
  const Array& in(int i = 0) const { return in_[i]; }
  std::span<const Array> inputs() const { return in_; }
  const Array& out(int i = 0) const { return out_[i]; }
  std::span<const Array> outputs() const { return out_; }
  template <class A>
  const A& attrs() const {
    return *static_cast<const A*>(attrs_);
  }
  const void* raw_attrs() const { return attrs_; }
  /// In a vjp: whether the cotangent of input i is asked for (inputs from 32 on always are).
  bool wanted(int i) const { return i >= 32 || (wanted_ >> i & 1); }

 private:
  const Op& op_;
  std::span<const Array> in_, out_;
  const void* attrs_;
  uint32_t wanted_;
};

/// What `infer` sees and fills: inputs and attributes in, shape and dtype of each output out.
class LEGATO_API Inference {
 public:
  Inference(const Op& op, std::span<const Array> in, const void* attrs, Node* node)
      : op_(op), in_(in), attrs_(attrs), node_(node) {}
  const Op& op() const { return op_; }
  const char* name() const;
  int n_in() const { return static_cast<int>(in_.size()); }
  std::span<const Array> inputs() const { return in_; }
  const Shape& shape(int i = 0) const { return in_[i].shape(); }
  Dtype dtype(int i = 0) const { return in_[i].dtype(); }
  template <class A>
  const A& attrs() const {
    return *static_cast<const A*>(attrs_);
  }
  int n_out() const { return node_->n_out; }
  /// Sets output `i`. Throws ValueError if the number of elements overflows.
  void result(const Shape& shape, Dtype dtype, int i = 0);

 private:
  const Op& op_;
  std::span<const Array> in_;
  const void* attrs_;
  Node* node_;
};

// --- derivatives: one form an op
// -------------------------------------------------------------------------------------

/// ∂out/∂in[i] of a pointwise op, as an array that broadcasts to the output; a null Array means
/// zero.
using PartialFn = Array (*)(const Call& c, int i);
/// For an op that is linear in in[i]: the transpose applied to `cotangent`, in the shape of in[i].
using TransposeFn = Array (*)(const Call& c, int i, const Array& cotangent);
/// Cotangents of the inputs from those of the outputs. Fill result[i] where c.wanted(i); a null
/// Array means zero.
using VjpFn = void (*)(const Call& c, std::span<const Array> cotangents, std::span<Array> result);
/// Tangents of the outputs from those of the inputs (null Array: zero). A null result means zero.
using JvpFn = void (*)(const Call& c, std::span<const Array> tangents, std::span<Array> result);

struct Derive {
  enum class Form : uint8_t { none, partials, linear, vjp, expand };
  Form form = Form::expand;
  bool joint = false;  // linear in all named inputs together (concatenate), not in each (matmul)
  uint32_t linear_inputs =
      0;  // bit i: linear in in[i] (all ones: in every input); no derivative in others
  PartialFn partial = nullptr;
  TransposeFn transpose = nullptr;
  VjpFn vjp = nullptr;
  JvpFn jvp = nullptr;  // optional beside vjp; without it the jvp is derived from the vjp, which is
                        // linear in the cotangent
};

/// Pointwise: ∂out/∂in[i].
constexpr Derive Partials(PartialFn f) { return {.form = Derive::Form::partials, .partial = f}; }
/// Linear in each input whose bit is set in `inputs`. jvp sums the op over tangents.
constexpr Derive Linear(uint32_t inputs, TransposeFn f) {
  return {.form = Derive::Form::linear, .linear_inputs = inputs, .transpose = f};
}
/// As Linear, but linear in all named inputs together, as concatenate is: jvp binds the op on the
/// tangents, with zeros for the untouched inputs.
constexpr Derive LinearJointly(uint32_t inputs, TransposeFn f) {
  return {.form = Derive::Form::linear, .joint = true, .linear_inputs = inputs, .transpose = f};
}
constexpr Derive Vjp(VjpFn vjp, JvpFn jvp = nullptr) {
  return {.form = Derive::Form::vjp, .vjp = vjp, .jvp = jvp};
}
/// Through the meaning: the op's expand is differentiated.
constexpr Derive ThroughExpand() { return {.form = Derive::Form::expand}; }
/// Zero: piecewise constant, or integers out. The record's comment gives the mathematical reason.
constexpr Derive ZeroDerivative() { return {.form = Derive::Form::none}; }

// --- batching
// --------------------------------------------------------------------------------------------------------

/// Applies the op to inputs some of which have a leading batch axis of size `size`; fills `out`,
/// each with a leading batch axis. in[i] has the axis if batched[i]. Null means: through expand.
struct LEGATO_API BatchedCall {
  const Op& op;
  std::span<const Array> in;
  std::span<const bool> batched;
  int64_t size;
  const void* raw_attrs;
  template <class A>
  const A& attrs() const {
    return *static_cast<const A*>(raw_attrs);
  }
  /// in[i] with the batch axis, broadcast (without memory) if it had none.
  Array with_axis(int i) const;
  /// Rank of in[i] as the unbatched op sees it.
  size_t rank(int i = 0) const { return in[i].ndim() - (batched[i] ? 1 : 0); }
};
using BatchFn = void (*)(const BatchedCall& c, std::span<Array> out);

/// For every pointwise op: unbatched operands broadcast; batched ones are padded to a common rank
/// behind the batch axis.
LEGATO_API void batch_pointwise(const BatchedCall& c, std::span<Array> out);

// --- pointwise
// -------------------------------------------------------------------------------------------------------

/// From the dtypes of the inputs: the dtype each operand is converted to (never half: halves
/// compute in float32 and this rule names the half itself), and the dtype of the output. Throws
/// ValueError naming `op` for dtypes it refuses.
using DtypeRule = void (*)(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                           Dtype& out);

struct PointwiseSpec {
  const char* fn = nullptr;    // name in ops/pointwise/scalar.h; null: not a pointwise op
  DtypeRule dtypes = nullptr;  // asked through settle()
  // Bit i: operand i takes part in settling the dtype of weak scalars (all but the condition of
  // `where`).
  uint32_t weak_with = ~0u;
  mutable int32_t fn_id = -1;  // its number there, found at first use
  // What the rule says where all inputs are of one dtype: that of the operands and, in the upper
  // half, of the output, plus one; 0 until it has been asked.
  mutable uint8_t uniform[kDtypeCount] = {};

  /// As `dtypes`.
  LEGATO_API void settle(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                         Dtype& out) const;
};

/// Shape by broadcasting, dtype by the op's rule.
LEGATO_API void infer_pointwise(Inference& in);

// --- the record
// ------------------------------------------------------------------------------------------------------

struct Op {
  const char* name = nullptr;
  const AttrsType* attrs = nullptr;  // null: none
  uint16_t n_out = 1;
  /// Number of outputs where it depends on the attributes (split); overrides n_out.
  int (*count_outputs)(std::span<const Array> in, const void* attrs) = nullptr;
  void (*infer)(Inference&) = nullptr;  // mandatory
  PointwiseSpec pointwise = {};
  /// For ops that only rearrange: writes into `out` the layout of output `index` over the storage
  /// of in[0] and returns true, or returns false if no layout can say it; then in[0] is copied to
  /// row-major and asked again.
  bool (*view)(const void* attrs, const Shape& in_shape, const Layout& in, const Shape& out_shape,
               int index, Layout& out) = nullptr;
  /// The meaning in simpler ops. Mandatory for ops without a kernel on every device.
  void (*expand)(const Call& c, std::span<Array> out) = nullptr;
  Derive derive = {};
  BatchFn batch = nullptr;
  /// Made inside one transform call (custom_function, checkpoint, compiled): not in the registry.
  bool transient = false;
  mutable int32_t id = -1;  // dense number, given at registration
};

/// Makes the node and infers its outputs. Throws what `infer` throws. The stream is the current one
/// of this thread.
LEGATO_API Node* bind_node(const Op& op, std::span<const Array> in, const void* attrs);

/// One-output ops.
LEGATO_API Array bind(const Op& op, const Array& in);
LEGATO_API Array bind(const Op& op, std::initializer_list<Array> in);
LEGATO_API Array bind(const Op& op, std::span<const Array> in, const void* attrs = nullptr);
template <class A>
  requires requires { A::fields(); }
Array bind(const Op& op, std::initializer_list<Array> in, const A& attrs) {
  return bind(op, std::span(in.begin(), in.size()), static_cast<const void*>(&attrs));
}
/// All outputs.
LEGATO_API std::vector<Array> bind_all(const Op& op, std::span<const Array> in,
                                       const void* attrs = nullptr);
template <class A>
  requires requires { A::fields(); }
std::vector<Array> bind_all(const Op& op, std::initializer_list<Array> in, const A& attrs) {
  return bind_all(op, std::span(in.begin(), in.size()), static_cast<const void*>(&attrs));
}

/// Binds a pointwise op; weak scalars get their dtype here and become literals.
LEGATO_API Array bind_pointwise(const Op& op, const Operand& a, const Operand& b);
LEGATO_API Array bind_pointwise(const Op& op, std::initializer_list<Operand> operands);
LEGATO_API Array bind_pointwise(const Op& op, std::span<const Operand> operands);

/// The structural op of a number without memory: shape (), value in the attributes. See Note
/// [Literals].
LEGATO_API extern const Op literal_op;
struct LiteralAttrs {
  Scalar value;
  Dtype dtype = Dtype::float32;
  static constexpr auto fields() {
    return std::tuple(field("value", &LiteralAttrs::value), field("dtype", &LiteralAttrs::dtype));
  }
};
/// A 0-d array of value `s` that takes no memory until somebody reads it. Throws ValueError if an
/// integer doesn't fit.
LEGATO_API Array literal(const Scalar& s, Dtype dtype);

/// The structural op that gives its input: a view with nothing changed. Captures begin with it.
LEGATO_API extern const Op identity_op;

/// The stream index that new nodes of this thread get.
LEGATO_API uint16_t& current_stream_index();

}  // namespace legato
