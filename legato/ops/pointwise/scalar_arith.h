// Arithmetic, rounding, comparison, logic and bits: functions of the scalar language.
// Integers: Python's floor division and remainder, x // 0 = 0, x % 0 = x, everything wraps.
#pragma once

#include "legato/ops/pointwise/scalar_math.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

// --- complex helpers
// ---------------------------------------------------------------------------------------------

template <class V>
LEGATO_INLINE Cx<V> complex_multiply(Cx<V> a, Cx<V> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
/// Smith's method: scaled by the larger part of b, so that nothing overflows on the way.
template <class V>
LEGATO_INLINE Cx<V> complex_divide(Cx<V> a, Cx<V> b) {
  auto wide = math::abs(b.re) >= math::abs(b.im);
  V p = select(wide, b.re, b.im), q = select(wide, b.im, b.re);
  V r = q / p;
  r = select(p == V(0), V(0), r);
  V d = p + q * r;
  V re = select(wide, a.re + a.im * r, a.re * r + a.im);
  V im = select(wide, a.im - a.re * r, a.im * r - a.re);
  return {re / d, im / d};
}
/// sqrt(re^2 + im^2)
template <class V>
LEGATO_INLINE V magnitude(Cx<V> z) {
  if constexpr (is_f32<V>)
    return math::hypot(z.re, z.im);
  else
    return call([](auto a, auto b) { return __builtin_hypot(a, b); }, z.re, z.im);
}
template <class V>
LEGATO_INLINE auto nonzero(V x) {
  return x != V(0);
}
template <class V>
LEGATO_INLINE auto nonzero(Cx<V> x) {
  return (x.re != V(0)) | (x.im != V(0));
}

// --- arithmetic
// --------------------------------------------------------------------------------------------------

template <int n>
struct Light : Function<n> {
  static constexpr bool heavy = false;
};

struct Add : Light<2> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return a + b;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a, Cx<V> b) {
    return {a.re + b.re, a.im + b.im};
  }
};
struct Subtract : Light<2> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return a - b;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a, Cx<V> b) {
    return {a.re - b.re, a.im - b.im};
  }
};
struct Multiply : Light<2> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return a * b;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a, Cx<V> b) {
    return complex_multiply(a, b);
  }
};
struct Divide : Light<2> {
  static constexpr TypeSet types = kInexact;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return a / b;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a, Cx<V> b) {
    return complex_divide(a, b);
  }
};

struct FmodSlow {
  LEGATO_INLINE float operator()(float a, float b) const { return __builtin_fmodf(a, b); }
  LEGATO_INLINE double operator()(double a, double b) const { return __builtin_fmod(a, b); }
};
/// a - trunc(a / b) b, exact, with the sign of a. Small quotients by one fma, which is exact there;
/// others in libm.
template <class V>
LEGATO_INLINE V exact_fmod(V a, V b) {
  using T = typename V::Elem;
  V x = math::abs(a), y = math::abs(b);
  V q = trunc(x / y);
  V r = fma(-q, y, x);
  r = select(r < V(0), r + y, r);  // x / y was rounded up to an integer
  r = math::copysign(r, a);
  // 2^20: far inside the range in which q is exact. Tiny operands could lose bits of x / y.
  auto hard = ~((q < V(T(0x1p20))) & (y > V(T(0x1p-100))) & (y < V(T(math::kInf))));
  return rare(hard, r, FmodSlow{}, a, b);
}
struct Fmod : Function<2> {
  static constexpr TypeSet types = kReal;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    using T = typename V::Elem;
    if constexpr (is_float<V>) {
      return exact_fmod(a, b);
    } else if constexpr (std::is_signed_v<T>) {
      if (b.value == 0) return a;
      return b.value == -1 ? V(0) : V(static_cast<T>(a.value % b.value));
    } else {
      return b.value == 0 ? a : V(static_cast<T>(a.value % b.value));
    }
  }
};
/// Sign of the divisor, as in Python.
struct Remainder : Function<2> {
  static constexpr TypeSet types = kReal;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    using T = typename V::Elem;
    if constexpr (is_float<V>) {
      V r = exact_fmod(a, b);
      auto opposite = (r != V(0)) & ((r < V(0)) ^ (b < V(0)));
      r = select(opposite, r + b, r);
      return select(r == V(0), math::copysign(V(0), b), r);
    } else {
      V r = Fmod::apply(a, b);
      if constexpr (std::is_signed_v<T>) {
        if (r.value != 0 && b.value != 0 && (r.value < 0) != (b.value < 0)) return r + b;
      }
      return r;
    }
  }
};
/// floor(a / b) of the exact quotient.
struct FloorDivide : Function<2> {
  static constexpr TypeSet types = kReal;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    using T = typename V::Elem;
    if constexpr (is_float<V>) {
      V r = exact_fmod(a, b);
      V q = (a - r) / b;  // an integer but for rounding
      auto opposite = (r != V(0)) & ((r < V(0)) ^ (b < V(0)));
      q = select(opposite, q - V(1), q);
      V whole = floor(q);
      whole = select(q - whole > V(T(0.5)), whole + V(1), whole);
      whole = select(q == V(0), math::copysign(V(0), a / b), whole);
      return select((b == V(0)) | (math::abs(a) == V(T(math::kInf))), a / b, whole);
    } else {
      if (b.value == 0) return V(T(0));
      if constexpr (std::is_signed_v<T>) {
        if (b.value == -1) return -a;
        T q = static_cast<T>(a.value / b.value);
        return V(static_cast<T>(q - ((a.value % b.value != 0) & ((a.value < 0) != (b.value < 0)))));
      } else {
        return V(static_cast<T>(a.value / b.value));
      }
    }
  }
};

struct Negative : Light<1> {
  static constexpr TypeSet types = kInt | kInexact;
  template <class V>
  static LEGATO_INLINE V apply(V a) {
    return -a;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a) {
    return {-a.re, -a.im};
  }
};
struct Abs : Light<1> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a) {
    if constexpr (is_float<V>)
      return math::abs(a);
    else if constexpr (std::is_signed_v<typename V::Elem>)
      return select(a < V(0), -a, a);
    else
      return a;
  }
  template <class V>
  static LEGATO_INLINE V apply(Cx<V> a) {
    return magnitude(a);
  }
};
/// nan gives 0; a complex value keeps its direction.
struct Sign : Light<1> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a) {
    using T = typename V::Elem;
    V up = select(a > V(T(0)), V(T(1)), V(T(0)));
    if constexpr (std::is_signed_v<T>)
      return select(a < V(T(0)), V(T(-1)), up);
    else
      return up;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a) {
    V m = magnitude(a);
    auto zero = m == V(0);
    return {select(zero, a.re, a.re / m), select(zero, a.im, a.im / m)};
  }
};
struct Square : Light<1> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a) {
    return a * a;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a) {
    return complex_multiply(a, a);
  }
};
struct Reciprocal : Light<1> {
  static constexpr TypeSet types = kInexact;
  template <class V>
  static LEGATO_INLINE V apply(V a) {
    return V(1) / a;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a) {
    return complex_divide(Cx<V>{V(1), V(0)}, a);
  }
};
/// a b + c, rounded once.
struct Fma : Light<3> {
  static constexpr TypeSet types = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b, V c) {
    return fma(a, b, c);
  }
};
/// a b + c, rounded twice as multiply and add do: what the interpreter makes of that pair.
struct MultiplyAdd : Light<3> {
  static constexpr TypeSet types = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b, V c) {
    return a * b + c;
  }
};

/// nan if either is.
struct Maximum : Light<2> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    V r = select(a > b, a, b);
    if constexpr (is_float<V>)
      return select(a != a, a, r);
    else
      return r;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a, Cx<V> b) {
    auto first = (a.re > b.re) | ((a.re == b.re) & (a.im > b.im)) | (a.re != a.re) | (a.im != a.im);
    return {select(first, a.re, b.re), select(first, a.im, b.im)};
  }
};
struct Minimum : Light<2> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    V r = select(a < b, a, b);
    if constexpr (is_float<V>)
      return select(a != a, a, r);
    else
      return r;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a, Cx<V> b) {
    auto first = (a.re < b.re) | ((a.re == b.re) & (a.im < b.im)) | (a.re != a.re) | (a.im != a.im);
    return {select(first, a.re, b.re), select(first, a.im, b.im)};
  }
};

struct Copysign : Light<2> {
  static constexpr TypeSet types = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return math::copysign(a, b);
  }
};
/// The next value after a in the direction of b.
struct Nextafter : Function<2> {
  static constexpr TypeSet types = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    auto n = bits(a);
    using I = decltype(n);
    using T = typename I::Elem;
    auto away = (b > a) ^ (n < I(0));  // the magnitude grows
    I stepped = select(away, n + I(1), n - I(1));
    V smallest = math::copysign(from_bits(I(T(1))), b);
    V r = select(a == V(0), smallest, from_bits(stepped));
    r = select(a == b, b, r);
    return select(a != a, a, select(b != b, b, r));
  }
};

// --- rounding: integers are kept
// -----------------------------------------------------------------------------------

#define LEGATO_ROUNDING(Name, function)     \
  struct Name : Light<1> {                  \
    static constexpr TypeSet types = kReal; \
    template <class V>                      \
    static LEGATO_INLINE V apply(V a) {     \
      if constexpr (is_float<V>)            \
        return function(a);                 \
      else                                  \
        return a;                           \
    }                                       \
  };
LEGATO_ROUNDING(Floor, floor)
LEGATO_ROUNDING(Ceil, ceil)
LEGATO_ROUNDING(Trunc, trunc)
#undef LEGATO_ROUNDING
/// Half to even.
struct Round : Light<1> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE V apply(V a) {
    if constexpr (is_float<V>)
      return rint(a);
    else
      return a;
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a) {
    return {rint(a.re), rint(a.im)};
  }
};

// --- comparison: complex values lexicographically
// ------------------------------------------------------------------

struct Equal : Light<2> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE auto apply(V a, V b) {
    return a == b;
  }
  template <class V>
  static LEGATO_INLINE auto apply(Cx<V> a, Cx<V> b) {
    return (a.re == b.re) & (a.im == b.im);
  }
};
struct NotEqual : Light<2> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE auto apply(V a, V b) {
    return a != b;
  }
  template <class V>
  static LEGATO_INLINE auto apply(Cx<V> a, Cx<V> b) {
    return (a.re != b.re) | (a.im != b.im);
  }
};
#define LEGATO_COMPARISON(Name, op, strict)                          \
  struct Name : Light<2> {                                           \
    static constexpr TypeSet types = kNumeric;                       \
    template <class V>                                               \
    static LEGATO_INLINE auto apply(V a, V b) {                      \
      return a op b;                                                 \
    }                                                                \
    template <class V>                                               \
    static LEGATO_INLINE auto apply(Cx<V> a, Cx<V> b) {              \
      return (a.re strict b.re) | ((a.re == b.re) & (a.im op b.im)); \
    }                                                                \
  };
LEGATO_COMPARISON(Less, <, <)
LEGATO_COMPARISON(LessEqual, <=, <)
LEGATO_COMPARISON(Greater, >, >)
LEGATO_COMPARISON(GreaterEqual, >=, >)
#undef LEGATO_COMPARISON

/// The first operand is a mask; the types are those of the other two.
struct Where : Light<3> {
  static constexpr TypeSet types = kNumeric;
  template <class M, class V>
  static LEGATO_INLINE V apply(M m, V a, V b) {
    return select(m, a, b);
  }
  template <class M, class V>
  static LEGATO_INLINE Cx<V> apply(M m, Cx<V> a, Cx<V> b) {
    return {select(m, a.re, b.re), select(m, a.im, b.im)};
  }
};

// --- tests
// ---------------------------------------------------------------------------------------------------------

struct IsNan : Light<1> {
  static constexpr TypeSet types = kInexact;
  template <class V>
  static LEGATO_INLINE auto apply(V a) {
    return a != a;
  }
  template <class V>
  static LEGATO_INLINE auto apply(Cx<V> a) {
    return (a.re != a.re) | (a.im != a.im);
  }
};
template <class V>
LEGATO_INLINE V infinity() {
  return V(typename V::Elem(math::kInf));
}
struct IsInf : Light<1> {
  static constexpr TypeSet types = kInexact;
  template <class V>
  static LEGATO_INLINE auto apply(V a) {
    return math::abs(a) == infinity<V>();
  }
  template <class V>
  static LEGATO_INLINE auto apply(Cx<V> a) {
    return apply(a.re) | apply(a.im);
  }
};
struct IsFinite : Light<1> {
  static constexpr TypeSet types = kInexact;
  template <class V>
  static LEGATO_INLINE auto apply(V a) {
    return math::abs(a) < infinity<V>();
  }
  template <class V>
  static LEGATO_INLINE auto apply(Cx<V> a) {
    return apply(a.re) & apply(a.im);
  }
};
struct IsPosInf : Light<1> {
  static constexpr TypeSet types = kFloat;
  template <class V>
  static LEGATO_INLINE auto apply(V a) {
    return a == infinity<V>();
  }
};
struct IsNegInf : Light<1> {
  static constexpr TypeSet types = kFloat;
  template <class V>
  static LEGATO_INLINE auto apply(V a) {
    return a == -infinity<V>();
  }
};
struct Signbit : Light<1> {
  static constexpr TypeSet types = kReal;
  template <class V>
  static LEGATO_INLINE auto apply(V a) {
    if constexpr (is_float<V>)
      return bits(a) < decltype(bits(a))(0);
    else
      return a < V(0);
  }
};

// --- logic and bits
// ------------------------------------------------------------------------------------------------

#define LEGATO_LOGICAL(Name, op)                \
  struct Name : Light<2> {                      \
    static constexpr TypeSet types = kNumeric;  \
    template <class V>                          \
    static LEGATO_INLINE auto apply(V a, V b) { \
      return nonzero(a) op nonzero(b);          \
    }                                           \
  };
LEGATO_LOGICAL(LogicalAnd, &)
LEGATO_LOGICAL(LogicalOr, |)
LEGATO_LOGICAL(LogicalXor, ^)
#undef LEGATO_LOGICAL
struct LogicalNot : Light<1> {
  static constexpr TypeSet types = kNumeric;
  template <class V>
  static LEGATO_INLINE auto apply(V a) {
    return ~nonzero(a);
  }
};
#define LEGATO_BITWISE(Name, op)                \
  struct Name : Light<2> {                      \
    static constexpr TypeSet types = kIntegral; \
    template <class V>                          \
    static LEGATO_INLINE V apply(V a, V b) {    \
      return a op b;                            \
    }                                           \
  };
LEGATO_BITWISE(BitwiseAnd, &)
LEGATO_BITWISE(BitwiseOr, |)
LEGATO_BITWISE(BitwiseXor, ^)
#undef LEGATO_BITWISE
struct BitwiseInvert : Light<1> {
  static constexpr TypeSet types = kIntegral;
  template <class V>
  static LEGATO_INLINE V apply(V a) {
    return ~a;
  }
};
/// Counts of 32- and 64-bit values count modulo the width, as x86 does; narrower values shift as
/// int32 and are cut.
template <class T>
LEGATO_INLINE int shift_count(T n) {
  return static_cast<int>(n) & (sizeof(T) == 8 ? 63 : 31);
}
struct LeftShift : Light<2> {
  static constexpr TypeSet types = kInt;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return V::wrap(a.wide() << shift_count(b.value));
  }
};
struct RightShift : Light<2> {
  static constexpr TypeSet types = kInt;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return V(static_cast<typename V::Elem>(a.value >> shift_count(b.value)));
  }
};

// --- parts of complex values
// ---------------------------------------------------------------------------------------

struct Real : Light<1> {
  static constexpr TypeSet types = kComplex;
  template <class V>
  static LEGATO_INLINE V apply(Cx<V> a) {
    return a.re;
  }
};
struct Imag : Light<1> {
  static constexpr TypeSet types = kComplex;
  template <class V>
  static LEGATO_INLINE V apply(Cx<V> a) {
    return a.im;
  }
};
struct Conj : Light<1> {
  static constexpr TypeSet types = kComplex;
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a) {
    return {a.re, -a.im};
  }
};
/// A complex value from its real and its imaginary part.
struct MakeComplex : Light<2> {
  static constexpr TypeSet types = kFloat;
  static constexpr TypeSet lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE Cx<V> apply(V re, V im) {
    return {re, im};
  }
};

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
