// Random numbers: a counter-based generator, keys, and distributions.
//
// A key is a uint32 array of shape (2,), or of shape (..., 2) for a batch of independent ones. The
// same key gives the same bits on every device, thread count and vector level. Without a key, the
// functions take the next one of the thread's own state.
#pragma once

#include <optional>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato::random {

// --- keys and state
// -------------------------------------------------------------------------------

/// The key (seed >> 32, seed mod 2^32).
LEGATO_API Array key(int64_t seed);
/// `num` independent keys from one: shape (..., num, 2). Throws ValueError unless the key is uint32
/// of shape (..., 2).
LEGATO_API Array split(const Array& key, int num = 2);

/// Sets this thread's state to key(seed). A thread that never did starts from the clock.
LEGATO_API void seed(int64_t seed);
/// This thread's state as a key.
LEGATO_API Array state();
/// Makes `key`, a key of shape (2,), this thread's state. It may be an array that is not computed
/// yet; then so are the numbers that follow from it.
LEGATO_API void set_state(const Array& key);

/// The next key of this thread's state, which moves on.
LEGATO_API Array next_key();

/// Random unsigned integers of `width` bytes (1, 2, 4 or 8).
LEGATO_API Array bits(const Dims& shape, int width = 4, const std::optional<Array>& key = {});

// --- distributions
// --------------------------------------------------------------------------------

// Dtypes are floating ones, float32 by default. float64 draws 53 bits, the others 32 (of which
// float32 keeps 24). Where parameters may be arrays, `shape` must be a shape to which they
// broadcast, and numbers are differentiable in them. A key of a wrong dtype or shape, a negative
// size and a dtype that does not fit throw ValueError.

/// Uniform in [low, high).
LEGATO_API Array uniform(const Operand& low = 0, const Operand& high = 1, const Dims& shape = {},
                         const std::optional<Dtype>& dtype = Dtype::float32,
                         const std::optional<Array>& key = {});
/// Normal with mean `loc` (0) and standard deviation `scale` (1). complex64: the variance is shared
/// by the two parts.
LEGATO_API Array normal(const Dims& shape = {}, const std::optional<Dtype>& dtype = Dtype::float32,
                        const std::optional<Operand>& loc = {},
                        const std::optional<Operand>& scale = {},
                        const std::optional<Array>& key = {});
/// True with probability `p`; of the shape of p unless one is given.
LEGATO_API Array bernoulli(const Operand& p = 0.5, const Axes& shape = {},
                           const std::optional<Array>& key = {});
/// Integers in [low, high). Dtypes of 8 bytes draw 53 bits, the others 24.
LEGATO_API Array randint(const Operand& low, const Operand& high, const Dims& shape = {},
                         const std::optional<Dtype>& dtype = Dtype::int32,
                         const std::optional<Array>& key = {});
/// Laplace with mean `loc` and variance 2 scale^2.
LEGATO_API Array laplace(const Dims& shape = {}, const std::optional<Dtype>& dtype = Dtype::float32,
                         double loc = 0, double scale = 1, const std::optional<Array>& key = {});
/// Standard Gumbel: -log(-log(u)).
LEGATO_API Array gumbel(const Dims& shape = {}, const std::optional<Dtype>& dtype = Dtype::float32,
                        const std::optional<Array>& key = {});
/// Standard normal, given that it lies in [lower, upper].
LEGATO_API Array truncated_normal(const Operand& lower, const Operand& upper,
                                  const Axes& shape = {},
                                  const std::optional<Dtype>& dtype = Dtype::float32,
                                  const std::optional<Array>& key = {});
/// Indices along `axis` drawn with probability softmax(logits), uint32. One for each distribution;
/// or `num_samples` of each, on a new last axis; or of a given `shape`, to which the shape of
/// logits without `axis` must broadcast.
LEGATO_API Array categorical(const Array& logits, int axis = -1, const Axes& shape = {},
                             const std::optional<int>& num_samples = {},
                             const std::optional<Array>& key = {});
/// A permutation of 0 ... x - 1 (uint32), or the array x with its entries along `axis` permuted.
LEGATO_API Array permutation(const Operand& x, int axis = 0, const std::optional<Array>& key = {});

}  // namespace legato::random
