// Attributes of an op: a small struct with one list of its fields. From the list come equality,
// hash, text and the conversion from Python keywords, so that merging equal nodes and compile
// caches are right by construction.
//
//   struct SoftmaxAttrs {
//     Axes axis;
//     static constexpr auto fields() { return std::tuple(field("axis", &SoftmaxAttrs::axis)); }
//   };
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>

#include "legato/array/dtype.h"
#include "legato/array/operand.h"
#include "legato/array/shape.h"
#include "legato/base/text.h"

namespace legato {

template <class A, class T>
struct FieldOf {
  const char* name;
  T A::* member;
};
template <class A, class T>
constexpr FieldOf<A, T> field(const char* name, T A::* member) {
  return {name, member};
}

namespace attrs_detail {

LEGATO_API uint64_t hash_bytes(const void* data, size_t n, uint64_t seed);

template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
uint64_t hash_value(const T& v, uint64_t seed) {
  return hash_bytes(&v, sizeof v, seed);
}
inline uint64_t hash_value(const std::string& v, uint64_t seed) {
  return hash_bytes(v.data(), v.size(), seed);
}
inline uint64_t hash_value(const Dims& v, uint64_t seed) {
  return hash_bytes(v.data(), v.size() * 8, seed + v.size());
}
inline uint64_t hash_value(const Scalar& v, uint64_t seed) {
  return hash_value(v.im, hash_value(v.u, seed + static_cast<uint64_t>(v.kind)));
}
template <class T>
uint64_t hash_value(const std::shared_ptr<T>& v, uint64_t seed) {
  const void* p = v.get();
  return hash_bytes(&p, sizeof p, seed);
}
template <class T>
uint64_t hash_value(const std::optional<T>& v, uint64_t seed) {
  return v ? hash_value(*v, seed + 1) : seed * 31;
}

template <class T>
bool equal_value(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>)
    return std::bit_cast<std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>(a) ==
           std::bit_cast<std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>(
               b);  // nan equals itself, 0.0 is not -0.0
  else
    return a == b;
}

template <class T>
void print_value(std::string& out, const T& v) {
  if constexpr (std::is_enum_v<T> && !std::is_same_v<T, Dtype>)
    append_text(out, static_cast<int64_t>(v));
  else
    append_text(out, v);
}
template <class T>
void print_value(std::string& out, const std::shared_ptr<T>&) {
  out += "<graph>";
}
template <class T>
void print_value(std::string& out, const std::optional<T>& v) {
  if (v)
    print_value(out, *v);
  else
    out += "None";
}

}  // namespace attrs_detail

/// The operations on a type-erased attribute struct.
struct AttrsType {
  size_t bytes;
  bool trivial;  // may be copied as bytes and needs no destructor
  bool (*equal)(const void*, const void*);
  uint64_t (*hash)(const void*, uint64_t seed);
  void (*copy)(void* to, const void* from);
  void (*destroy)(void*);
  void (*print)(const void*, std::string& out);  // "axis=(1,), keepdims=false"
};

template <class A>
inline constexpr AttrsType attrs_type = {
    .bytes = sizeof(A),
    .trivial = std::is_trivially_copyable_v<A>,
    .equal =
        [](const void* a, const void* b) {
          auto &x = *static_cast<const A*>(a), &y = *static_cast<const A*>(b);
          return std::apply(
              [&](auto... f) {
                return (attrs_detail::equal_value(x.*f.member, y.*f.member) && ...);
              },
              A::fields());
        },
    .hash =
        [](const void* a, uint64_t seed) {
          auto& x = *static_cast<const A*>(a);
          std::apply(
              [&](auto... f) { ((seed = attrs_detail::hash_value(x.*f.member, seed)), ...); },
              A::fields());
          return seed;
        },
    .copy = [](void* to, const void* from) { new (to) A(*static_cast<const A*>(from)); },
    .destroy = [](void* a) { static_cast<A*>(a)->~A(); },
    .print =
        [](const void* a, std::string& out) {
          auto& x = *static_cast<const A*>(a);
          const char* comma = "";
          std::apply(
              [&](auto... f) {
                ((out += comma, out += f.name, out += '=',
                  attrs_detail::print_value(out, x.*f.member), comma = ", "),
                 ...);
              },
              A::fields());
        },
};

}  // namespace legato
