// Keys, state and random bits. The distributions are in distributions.cpp.
#include "legato/ops/random/random.h"

#include <chrono>
#include <numbers>

#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/op/thread_state.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/random/ops.h"
#include "legato/ops/random/threefry.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

void check_key(const char* op, const Array& key) {
  if (key.dtype() != Dtype::uint32 || key.ndim() == 0 || key.shape(-1) != 2)
    throw ValueError(cat(op, ": the key is ", key.dtype(), " of shape ", key.shape(),
                         "; expected uint32 of shape (2,), as random.key(seed) gives it."));
}

Dtype unsigned_of(int64_t width) {
  return width == 1   ? Dtype::uint8
         : width == 2 ? Dtype::uint16
         : width == 4 ? Dtype::uint32
                      : Dtype::uint64;
}

/// The shape of what is drawn: `shape` for each key.
Shape shape_for_keys(Inference& in, const Dims& shape) {
  Shape out;
  if (in.n_in() > 0) {
    check_key("random", in.inputs()[0]);
    for (size_t i = 0; i + 1 < in.shape().size(); ++i) out.push_back(in.shape()[i]);
  }
  for (int64_t n : shape) {
    if (n < 0) throw ValueError(cat("random: shape ", shape, " has a negative size."));
    out.push_back(n);
  }
  return out;
}
void infer_bits(Inference& in) {
  const auto& attrs = in.attrs<RandomBitsAttrs>();
  in.result(shape_for_keys(in, attrs.shape), unsigned_of(attrs.width));
}
void infer_numbers(Inference& in) {
  const auto& attrs = in.attrs<RandomNumbersAttrs>();
  in.result(shape_for_keys(in, attrs.shape), attrs.dtype);
}

// A batch of keys is one more leading axis of the key.
void batch_keys(const BatchedCall& c, std::span<Array> out) {
  out[0] = bind(c.op, c.in, c.raw_attrs);
}

// Uniform numbers round to 1 at the top, and are kept below. Normal ones are made from uniform ones
// in (-1, 1).
void expand_numbers(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<RandomNumbersAttrs>();
  const RandomBitsAttrs bits{attrs.shape, 4, attrs.key0, attrs.key1};
  const Array word = bind(random_bits_op, c.inputs(), &bits);
  Array u = multiply(astype(word, Dtype::float32), 0x1p-32);
  if (attrs.normal) {
    constexpr double low = -1 + 0x1p-24;
    u = minimum(u, random::below_one(Dtype::float32));
    u = add(literal(low, Dtype::float32), multiply(u, 2.0));  // 1 - low in float32
    u = multiply(erfinv(u), std::numbers::sqrt2);
  } else {
    u = minimum(u, random::below_one(attrs.dtype));
  }
  out[0] = astype(u, attrs.dtype);
}

}  // namespace

constinit const Op random_bits_op{
    .name = "random_bits",
    .attrs = &attrs_type<RandomBitsAttrs>,
    .infer = infer_bits,
    .derive = ZeroDerivative(),  // integers that do not depend on anything continuous
    .batch = batch_keys,
};
constinit const Op random_numbers_op{
    .name = "random_numbers",
    .attrs = &attrs_type<RandomNumbersAttrs>,
    .infer = infer_numbers,
    .expand = expand_numbers,
    .derive = ZeroDerivative(),  // does not depend on anything continuous
    .batch = batch_keys,
};

namespace random {
namespace {

/// This thread's state: two words, or an array once one was assigned whose values are not known.
struct State {
  Words words;
  Array array;
  State() {
    auto now = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    now ^= reinterpret_cast<uintptr_t>(this);  // threads that start together differ
    words = {static_cast<uint32_t>(now >> 32), static_cast<uint32_t>(now)};
  }
};
State& this_thread() {
  thread_local State state;
  return state;
}

Words words_of(int64_t seed) {
  const auto u = static_cast<uint64_t>(seed);
  return {static_cast<uint32_t>(u >> 32), static_cast<uint32_t>(u)};
}
Array from_words(Words w) {
  const uint32_t data[2] = {w.a, w.b};
  return Array::from_data(data, Shape{2}, Dtype::uint32);
}

Array key_at(const Array& keys, int64_t i) {
  return squeeze(legato::slice(keys, Dims{i, 0}, Dims{i + 1, 2}), Dims{0});
}

/// A key from the state, which moves on: (state, used) = split(state).
struct Drawn {
  Words words;
  Array array;  // if set, instead of words
};
Drawn draw() {
  State& s = this_thread();
  if (s.array && s.array.node()->is_done()) {  // its values are known: back to words
    const uint32_t* w = s.array.data<uint32_t>();
    s.words = {w[0], w[1]};
    s.array = Array();
  }
  if (s.array) {
    Array keys = split(s.array, 2);
    s.array = key_at(keys, 0);
    return {{}, key_at(keys, 1)};
  }
  // Words 0, 1 and 2, 3 of four.
  uint32_t x[2][2] = {{0, 2}, {1, 3}};
  for (auto& counter : x) threefry(s.words.a, s.words.b, counter[0], counter[1]);
  s.words = {x[0][0], x[1][0]};
  return {{x[0][1], x[1][1]}, {}};
}

}  // namespace

Array key(int64_t seed) { return from_words(words_of(seed)); }

Array split(const Array& key, int num) {
  check_key("split", key);
  if (num < 0) throw ValueError(cat("split: num is ", num, "; expected 0 or more."));
  return bind(random_bits_op, {key}, RandomBitsAttrs{Dims{num, 2}, 4});
}

void seed(int64_t seed) {
  this_thread().array = Array();
  this_thread().words = words_of(seed);
}

Array state() {
  State& s = this_thread();
  return s.array ? s.array : from_words(s.words);
}

void set_state(const Array& key) {
  check_key("random.state", key);
  if (key.ndim() != 1)
    throw ValueError(cat("random.state: the key has shape ", key.shape(), "; expected (2,)."));
  this_thread().array = key;
}

namespace {

template <class Attrs>
Array bind_drawn(const Op& op, Attrs attrs, const std::optional<Array>& key) {
  if (key) return bind(op, {*key}, attrs);
  const Drawn drawn = draw();
  if (drawn.array) return bind(op, {drawn.array}, attrs);
  attrs.key0 = drawn.words.a;
  attrs.key1 = drawn.words.b;
  return bind(op, {}, attrs);
}

}  // namespace

Array bits(const Dims& shape, int width, const std::optional<Array>& key) {
  if (width != 1 && width != 2 && width != 4 && width != 8)
    throw ValueError(cat("random.bits: width is ", width, "; expected 1, 2, 4 or 8 bytes."));
  return bind_drawn(random_bits_op, RandomBitsAttrs{shape, width}, key);
}

Array numbers(const Dims& shape, Dtype dtype, bool normal, const std::optional<Array>& key) {
  return bind_drawn(random_numbers_op, RandomNumbersAttrs{shape, dtype, normal}, key);
}

Array next_key() {
  const Drawn drawn = draw();
  return drawn.array ? drawn.array : from_words(drawn.words);
}

namespace {

constinit const Function key_function =
    function<&key>("key", "seed",
                   R"(A key for random numbers: the two halves of `seed`, as uint32 of shape (2,).

>>> random.key(7)
array([0, 7], dtype=uint32)
)",
                   "random");
constinit const Function split_function = function<&split>("split", "key, num=2",
                                                           R"(`num` independent keys from one.

Args:
    key: uint32 array of shape (..., 2).
    num: Number of keys.

Returns:
    uint32 array of shape (..., num, 2).

Raises:
    ValueError: if the key has another dtype or shape.

>>> random.split(random.key(0))
array([[4146024105, 967050713],
       [2718843009, 1272950319]], dtype=uint32)
)",
                                                           "random");

}  // namespace

void register_distributions(Registry& r);

}  // namespace random

void register_random(Registry& r) {
  thread_state_hooks() = {
      .get =
          [] {
            auto& s = random::this_thread();
            return ThreadState{uint64_t{s.words.a} << 32 | s.words.b, s.array};
          },
      .set =
          [](const ThreadState& state) {
            auto& s = random::this_thread();
            s.words = random::words_of(static_cast<int64_t>(state.words));
            s.array = state.array;
          },
  };
  r.add(random_bits_op);
  r.add(random_numbers_op);
  r.add(random::key_function);
  r.add(random::split_function);
  random::register_distributions(r);
}

}  // namespace legato
