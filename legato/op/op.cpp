#include "legato/op/op.h"

#include <atomic>
#include <cstring>
#include <new>
#include <type_traits>

#include "legato/array/thread_state.h"
#include "legato/base/error.h"
#include "legato/op/origin.h"

namespace legato {

uint64_t attrs_detail::hash_bytes(const void* data, size_t n, uint64_t seed) {
  auto* p = static_cast<const unsigned char*>(data);
  uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15u);
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t w;
    std::memcpy(&w, p, 8);
    h = (h ^ w) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  uint64_t w = 0;
  std::memcpy(&w, p, n);
  h = (h ^ w) * 0xff51afd7ed558ccdu;
  return h ^ (h >> 29);
}

uint16_t& current_stream_index() { return thread_state.stream; }

const char* Inference::name() const { return op_.name; }

void Inference::result(const Shape& shape, Dtype dtype, int i) {
  Value& v = node_->out[i];
  v.shape = shape;
  v.dtype = dtype;
  // The shape of an input itself was counted when that was made.
  v.size = !in_.empty() && &shape == &in_[0].shape() ? in_[0].size() : element_count(shape);
}

namespace {

// Gives a fresh node its attributes, and infers its outputs.
Node* complete(const Op& op, Node* n, const void* attrs) {
  Array guard = Array::adopt(n, 0);  // frees the node if infer throws
  if (n->holders) n->holders[0].fetch_add(1, std::memory_order_relaxed);
  if (op.attrs) {
    op.attrs->copy(reserve_attrs(n, op.attrs->bytes), attrs);
    if (!op.attrs->trivial) n->destroy_attrs = op.attrs->destroy;
  }
  Inference inference(op, n->inputs(), n->attrs, n);
  op.infer(inference);
  if (recording_origins.load(std::memory_order_relaxed)) [[unlikely]]
    remember_origin(n);
  if (n->holders) n->holders[0].fetch_sub(1, std::memory_order_relaxed);
  return guard.detach();
}

}  // namespace

Node* bind_node(const Op& op, std::span<const Array> in, const void* attrs) {
  int n_out = op.count_outputs ? op.count_outputs(in, attrs) : op.n_out;
  return complete(op, new_node(&op, in, n_out), attrs);
}

Array bind(const Op& op, std::span<const Array> in, const void* attrs) {
  return Array::adopt(bind_node(op, in, attrs), 0);
}

Array bind(const Op& op, std::initializer_list<Array> in) {
  return bind(op, std::span(in.begin(), in.size()));
}

std::vector<Array> bind_all(const Op& op, std::span<const Array> in, const void* attrs) {
  Node* n = bind_node(op, in, attrs);
  std::vector<Array> out;
  out.reserve(n->n_out);
  for (uint32_t i = 0; i < n->n_out; ++i) out.push_back(output_of(n, i));
  n->refs.fetch_sub(1, std::memory_order_relaxed);  // the outputs hold it now
  return out;
}

// Note [Literals]: a Python number in an expression becomes a node that holds its value and has no
// buffer. Fused programs take the value as a launch parameter, so that a changing learning rate
// compiles nothing.
constinit const Op literal_op{
    .name = "literal",
    .attrs = &attrs_type<LiteralAttrs>,
    .infer = [](Inference& in) { in.result({}, in.attrs<LiteralAttrs>().dtype); },
    .derive = ZeroDerivative(),  // a constant
    .batch = [](const BatchedCall& c,
                std::span<Array> out) { out[0] = bind(c.op, c.in, c.raw_attrs); },
};

Array literal(const Scalar& s, Dtype dtype) {
  if (!is_inexact(dtype)) {
    alignas(16) unsigned char check[16];
    store_scalar(s, dtype, check);  // refuses an integer that does not fit
  }
  // As bind() would, which asks the record for what is known here.
  static_assert(std::is_trivially_destructible_v<LiteralAttrs>);
  Node* n = new_node(&literal_op, {}, 1);
  new (reserve_attrs(n, sizeof(LiteralAttrs))) LiteralAttrs{s, dtype};
  n->out[0].dtype = dtype;
  if (recording_origins.load(std::memory_order_relaxed)) [[unlikely]]
    remember_origin(n);
  return Array::adopt(n, 0);
}

constinit const Op identity_op{
    .name = "identity",
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .view =
        [](const void*, const Shape&, const Layout& in, const Shape&, int, Layout& out) {
          out = in;
          return true;
        },
    .derive = Linear(1, [](const Call&, int, const Array& ct) { return ct; }),
    .batch = [](const BatchedCall& c, std::span<Array> out) { out[0] = bind(c.op, c.in); },
};

void PointwiseSpec::settle(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                           Dtype& out) const {
  bool same = !in.empty();
  for (size_t i = 1; i < in.size(); ++i) same &= in[i] == in[0];
  if (!same) return dtypes(op, in, operands, out);
  std::atomic_ref<uint8_t> said(uniform[static_cast<size_t>(in[0])]);
  if (const uint8_t known = said.load(std::memory_order_relaxed)) {
    out = static_cast<Dtype>((known - 1) >> 4);
    for (Dtype& t : operands) t = static_cast<Dtype>((known - 1) & 15);
    return;
  }
  dtypes(op, in, operands, out);
  for (size_t i = 1; i < operands.size(); ++i) same &= operands[i] == operands[0];
  if (same)
    said.store(static_cast<uint8_t>(
                   (static_cast<unsigned>(out) << 4 | static_cast<unsigned>(operands[0])) + 1),
               std::memory_order_relaxed);
}

void infer_pointwise(Inference& in) {
  const Op& op = in.op();
  Dtype given[3], operands[3], out = Dtype::float32;
  int n = in.n_in();
  for (int i = 0; i < n; ++i) given[i] = in.dtype(i);
  op.pointwise.settle(op.name, {given, static_cast<size_t>(n)}, {operands, static_cast<size_t>(n)},
                      out);
  if (n == 1 || in.shape(0) == in.shape(1)) {
    if (n < 3 || in.shape(2) == in.shape(0)) return in.result(in.shape(0), out);
  }
  Shape s = broadcast_shapes(op.name, in.shape(0), in.shape(1));
  in.result(n == 3 ? broadcast_shapes(op.name, s, in.shape(2)) : s, out);
}

Array bind_pointwise(const Op& op, std::initializer_list<Operand> operands) {
  return bind_pointwise(op, std::span(operands.begin(), operands.size()));
}

namespace {

// The dtype of a pointwise op's result where all inputs are of `t`, plus one; 0: not known yet.
unsigned known_result(const Op& op, Dtype t) {
  if (op.infer != infer_pointwise) return 0;
  return (std::atomic_ref<uint8_t>(op.pointwise.uniform[static_cast<size_t>(t)])
              .load(std::memory_order_relaxed) +
          15u) >>
         4;
}

// What infer_pointwise() gives to inputs of one dtype that is known, where the result has the shape
// of the input `like`.
Array pointwise_like(const Op& op, std::span<Array> in, const Value& like, unsigned known) {
  Node* n = new_node_from(&op, in, 1);
  Value& out = n->out[0];
  out.shape = like.shape;
  out.size = like.size;
  out.dtype = static_cast<Dtype>(known - 1);
  if (recording_origins.load(std::memory_order_relaxed)) [[unlikely]]
    remember_origin(n);
  return Array::adopt(n, 0);
}

}  // namespace

Array bind(const Op& op, const Array& a) {
  Array in[] = {a};
  if (op.pointwise.fn)
    if (const unsigned known = known_result(op, a.dtype()))
      return pointwise_like(op, in, a.value(), known);
  return bind(op, std::span<const Array>(in));
}

Array bind_pointwise(const Op& op, const Operand& a, const Operand& b) {
  if (!a.is_array() || !b.is_array()) {
    if (a.is_array() != b.is_array()) {  // an array and a number that takes its dtype
      const int at = b.is_array();
      const Value& x = (at ? b : a).array().value();
      const Scalar& s = (at ? a : b).scalar();
      const unsigned known = known_result(op, x.dtype);
      if (known && (op.pointwise.weak_with >> at & 1) && weak_dtype(s, x.dtype) == x.dtype) {
        Array in[2];
        in[at] = (at ? b : a).array();
        in[1 - at] = literal(s, x.dtype);
        return pointwise_like(op, in, x, known);
      }
    }
    const Operand both[] = {a, b};
    return bind_pointwise(op, both);
  }
  Array in[] = {a.array(), b.array()};
  const Value &x = in[0].value(), &y = in[1].value();
  if (x.dtype == y.dtype && x.shape == y.shape)
    if (const unsigned known = known_result(op, x.dtype)) return pointwise_like(op, in, x, known);
  return Array::adopt(complete(op, new_node_from(&op, in, 1), nullptr), 0);
}

Array bind_pointwise(const Op& op, std::span<const Operand> operands) {
  Array in[3];
  const size_t n = operands.size();
  uint32_t numbers = 0;
  for (size_t i = 0; i < n; ++i)
    if (operands[i].is_array())
      in[i] = operands[i].array();
    else
      numbers |= 1u << i;
  if (numbers) [[unlikely]] {
    bool any = false;
    Dtype beside = Dtype::bool_;
    for (size_t i = 0; i < n; ++i) {
      if ((numbers >> i & 1) || !(op.pointwise.weak_with >> i & 1)) continue;
      beside = any ? promote(beside, in[i].dtype()) : in[i].dtype();
      any = true;
    }
    // Numbers only: they meet as arrays of their default dtypes would.
    for (size_t i = 0; i < n; ++i) {
      if (!(numbers >> i & 1)) continue;
      const Scalar& s = operands[i].scalar();
      in[i] = literal(s, any ? weak_dtype(s, beside) : default_dtype(s));
    }
  }
  return Array::adopt(complete(op, new_node_from(&op, {in, n}, 1), nullptr), 0);
}

}  // namespace legato
