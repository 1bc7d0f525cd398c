// Function: the record of a public function, from which every language binding makes its callable,
// its text signature, its documentation and its type stub.
//
//   Array sum(const Array& a, const Axes& axis = {}, bool keepdims = false);   // the C++ API, in
//   the family's header constinit const Function sum_function =
//       function<&sum>("sum", "a, /, axis=None, keepdims=False", "Sum over `axis`. ...");
//
// Types come from the C++ function, names and defaults from the text. Every function also takes
// `stream=None` by keyword; the binding layer sets the stream around the call.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "legato/op/op.h"

namespace legato {

enum class ParamType : uint8_t {
  array,    // an array, or anything array() takes
  operand,  // array or Python number
  arrays,   // sequence of arrays
  boolean,
  integer,
  real,
  scalar,  // Python number: bool, int, float, complex
  text,
  dtype,
  dims,         // int or sequence of ints
  axes,         // None, int or sequence of ints
  nested_ints,  // int, sequence of ints, or sequence of ints and sequences of ints
  array_or_text,
};

struct ParamSpec {
  ParamType type;
  bool optional;  // None is accepted and passed as nothing
};

/// One converted argument. `std::monostate` is None.
using Arg = std::variant<std::monostate, bool, int64_t, double, Scalar, std::string, Dtype, Dims,
                         Array, std::vector<Array>, NestedInts>;

enum class ReturnType : uint8_t {
  array,
  list,
  tuple,
  one_or_list,   // the array itself if there is one, else a list
  one_or_tuple,  // the array itself if there is one, else a tuple
};

/// A bare array if there is one, else a tuple.
struct OneOrTuple {
  std::vector<Array> arrays;
};

struct Function {
  const char* module;  // "" for core, else "fast", "random", "linalg", ...
  const char* name;
  const char* params;  // Python parameter list without types: "a, /, axis=None, *, precise=False"
  const char* doc;     // first line a sentence; then shapes, dtypes, errors, an example that runs
  std::span<const ParamSpec> types;
  ReturnType returns;
  /// Calls the C++ function. `args` has one entry a parameter, defaults filled in. One array in
  /// `out` for ReturnType::array, any number otherwise.
  void (*call)(std::span<Arg> args, std::vector<Array>& out);
  /// The C++ function itself, if it makes one array of one or of two operands: most operators are
  /// such, and those calls cost as much as what is around them. Null: it is of another type.
  Array (*of_one)(const Array& a) = nullptr;
  Array (*of_two)(const Operand& a, const Operand& b) = nullptr;
};

namespace function_detail {

template <class T>
struct Param;  // no definition: the C++ function has a parameter type that functions cannot take

#define LEGATO_PARAM(CPP, TYPE, GET)                         \
  template <>                                                \
  struct Param<CPP> {                                        \
    static constexpr ParamSpec spec{ParamType::TYPE, false}; \
    static decltype(auto) get(Arg& a) { return GET; }        \
  };
LEGATO_PARAM(Array, array, (std::get<Array>(a)))
LEGATO_PARAM(std::vector<Array>, arrays, (std::get<std::vector<Array>>(a)))
LEGATO_PARAM(std::span<const Array>, arrays,
             (std::span<const Array>(std::get<std::vector<Array>>(a))))
LEGATO_PARAM(bool, boolean, (std::get<bool>(a)))
LEGATO_PARAM(int, integer, (static_cast<int>(std::get<int64_t>(a))))
LEGATO_PARAM(int64_t, integer, (std::get<int64_t>(a)))
LEGATO_PARAM(double, real, (std::get<double>(a)))
LEGATO_PARAM(Scalar, scalar, (std::get<Scalar>(a)))
LEGATO_PARAM(std::string, text, (std::get<std::string>(a)))
LEGATO_PARAM(Dtype, dtype, (std::get<Dtype>(a)))
LEGATO_PARAM(Dims, dims, (std::get<Dims>(a)))
LEGATO_PARAM(NestedInts, nested_ints, (std::get<NestedInts>(a)))
#undef LEGATO_PARAM

template <>
struct Param<Operand> {
  static constexpr ParamSpec spec{ParamType::operand, false};
  static Operand get(Arg& a) {
    return std::holds_alternative<Array>(a) ? Operand(std::get<Array>(a))
                                            : Operand(std::get<Scalar>(a));
  }
};
template <>
struct Param<ArrayOrText> {
  static constexpr ParamSpec spec{ParamType::array_or_text, false};
  static ArrayOrText get(Arg& a) {
    if (std::holds_alternative<Array>(a)) return {std::get<Array>(a), {}};
    return {{}, std::get<std::string>(a)};
  }
};
template <>
struct Param<Axes> {
  static constexpr ParamSpec spec{ParamType::axes, true};
  static Axes get(Arg& a) {
    return std::holds_alternative<Dims>(a) ? Axes(std::get<Dims>(a)) : Axes();
  }
};
template <class T>
  requires(!std::is_same_v<T, Dims>)
struct Param<std::optional<T>> {
  static constexpr ParamSpec spec{Param<T>::spec.type, true};
  static std::optional<T> get(Arg& a) {
    if (std::holds_alternative<std::monostate>(a)) return std::nullopt;
    return std::optional<T>(Param<T>::get(a));
  }
};

inline void give(Array&& r, std::vector<Array>& out) { out.push_back(std::move(r)); }
inline void give(std::vector<Array>&& r, std::vector<Array>& out) { out = std::move(r); }
inline void give(ArrayTuple&& r, std::vector<Array>& out) { out = std::move(r.arrays); }
inline void give(OneOrList&& r, std::vector<Array>& out) { out = std::move(r.arrays); }
inline void give(OneOrTuple&& r, std::vector<Array>& out) { out = std::move(r.arrays); }
template <class... Ts>
void give(std::tuple<Ts...>&& r, std::vector<Array>& out) {
  std::apply([&](auto&&... a) { (out.push_back(std::move(a)), ...); }, std::move(r));
}
inline void give(std::pair<Array, Array>&& r, std::vector<Array>& out) {
  out.push_back(std::move(r.first));
  out.push_back(std::move(r.second));
}

template <class R>
constexpr ReturnType return_type = std::is_same_v<R, Array>                ? ReturnType::array
                                   : std::is_same_v<R, std::vector<Array>> ? ReturnType::list
                                   : std::is_same_v<R, OneOrList>          ? ReturnType::one_or_list
                                   : std::is_same_v<R, OneOrTuple> ? ReturnType::one_or_tuple
                                                                   : ReturnType::tuple;

template <auto F, class Signature = decltype(F)>
struct Adapter;
template <auto F, class R, class... Ps>
struct Adapter<F, R (*)(Ps...)> {
  static constexpr ParamSpec types[sizeof...(Ps) + 1] = {Param<std::remove_cvref_t<Ps>>::spec...,
                                                         {}};
  static constexpr size_t count = sizeof...(Ps);
  static constexpr ReturnType returns = return_type<R>;
  static void call(std::span<Arg> args, std::vector<Array>& out) {
    [&]<size_t... I>(std::index_sequence<I...>) {
      give(F(Param<std::remove_cvref_t<Ps>>::get(args[I])...), out);
    }(std::make_index_sequence<sizeof...(Ps)>{});
  }
};

}  // namespace function_detail

/// The record of the C++ function F. `params` must name as many parameters as F has (checked at
/// registration).
template <auto F>
constexpr Function function(const char* name, const char* params, const char* doc,
                            const char* module = "") {
  using A = function_detail::Adapter<F>;
  Function made{module,     name,    params, doc, std::span<const ParamSpec>(A::types, A::count),
                A::returns, &A::call};
  if constexpr (std::is_same_v<decltype(F), Array (*)(const Array&)>) made.of_one = F;
  if constexpr (std::is_same_v<decltype(F), Array (*)(const Operand&, const Operand&)>)
    made.of_two = F;
  return made;
}

}  // namespace legato
