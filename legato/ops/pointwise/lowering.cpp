// Programs as lane instructions, by recording: Rec<T> is a value of the scalar language
// (fuse/lane.h) whose operators append to a LaneBuilder. Running a function's struct on it once
// writes the function down. What is written with C++'s own `if` on numbers (integer division) or
// calls the C library becomes one `call`.
#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>

#include "legato/base/error.h"
#include "legato/fuse/lane_builder.h"
#include "legato/ops/pointwise/scalar_half.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {
namespace {

using fuse::LaneBuilder;
using fuse::LaneFunction;
using fuse::LaneOp;
using fuse::RareFn;

constexpr int kMaxLaneInstrs = 1500;  // beyond this, what is compiled stops being a loop body

thread_local LaneBuilder* recording = nullptr;

template <class T>
uint64_t bits_of(T v) {
  uint64_t b = 0;
  std::memcpy(&b, &v, sizeof v);
  return b;
}
template <class T>
T value_of(uint64_t b) {
  T v;
  std::memcpy(&v, &b, sizeof v);
  return v;
}

struct RecMask {
  int id;
  friend RecMask operator&(RecMask a, RecMask b) {
    return {recording->arith(LaneOp::bit_and, a.id, b.id)};
  }
  friend RecMask operator|(RecMask a, RecMask b) {
    return {recording->arith(LaneOp::bit_or, a.id, b.id)};
  }
  friend RecMask operator^(RecMask a, RecMask b) {
    return {recording->arith(LaneOp::bit_xor, a.id, b.id)};
  }
  friend RecMask operator~(RecMask a) { return {recording->arith(LaneOp::bit_not, a.id)}; }
};

template <class T>
struct Rec {
  using Elem = T;
  using MaskType = RecMask;
  int id;

  Rec() = default;
  Rec(T v) : id(recording->constant(dtype_of<T>, bits_of(v))) {}
  static Rec of(int id) {
    Rec r;
    r.id = id;
    return r;
  }
  static Rec arith(LaneOp op, int a, int b = -1, int c = -1) {
    return of(recording->arith(op, a, b, c));
  }
  static RecMask compare(LaneOp op, Rec a, Rec b) { return {recording->compare(op, a.id, b.id)}; }

  friend Rec operator+(Rec a, Rec b) { return arith(LaneOp::add, a.id, b.id); }
  friend Rec operator-(Rec a, Rec b) { return arith(LaneOp::sub, a.id, b.id); }
  friend Rec operator*(Rec a, Rec b) { return arith(LaneOp::mul, a.id, b.id); }
  friend Rec operator/(Rec a, Rec b) {
    static_assert(std::is_floating_point_v<T>, "integers divide by FloorDivide");
    return arith(LaneOp::div, a.id, b.id);
  }
  friend Rec operator-(Rec a) { return arith(LaneOp::neg, a.id); }
  friend RecMask operator<(Rec a, Rec b) { return compare(LaneOp::lt, a, b); }
  friend RecMask operator<=(Rec a, Rec b) { return compare(LaneOp::le, a, b); }
  friend RecMask operator>(Rec a, Rec b) { return compare(LaneOp::lt, b, a); }
  friend RecMask operator>=(Rec a, Rec b) { return compare(LaneOp::le, b, a); }
  friend RecMask operator==(Rec a, Rec b) { return compare(LaneOp::eq, a, b); }
  friend RecMask operator!=(Rec a, Rec b) { return compare(LaneOp::ne, a, b); }
  friend Rec operator&(Rec a, Rec b) { return arith(LaneOp::bit_and, a.id, b.id); }
  friend Rec operator|(Rec a, Rec b) { return arith(LaneOp::bit_or, a.id, b.id); }
  friend Rec operator^(Rec a, Rec b) { return arith(LaneOp::bit_xor, a.id, b.id); }
  friend Rec operator~(Rec a) { return arith(LaneOp::bit_not, a.id); }
  friend Rec operator<<(Rec a, int n) { return of(recording->shift(LaneOp::shl, a.id, n)); }
  friend Rec operator>>(Rec a, int n) { return of(recording->shift(LaneOp::shr, a.id, n)); }

  friend Rec select(RecMask m, Rec a, Rec b) { return of(recording->select(m.id, a.id, b.id)); }
  friend Rec fma(Rec a, Rec b, Rec c) { return arith(LaneOp::fma, a.id, b.id, c.id); }
  friend Rec divide_normal(Rec a, Rec b) { return of(recording->divide_normal(a.id, b.id)); }
  friend Rec exp2_near(Rec x) { return arith(LaneOp::exp2_near, x.id); }
  friend Rec log2_near(Rec x) { return arith(LaneOp::log2_near, x.id); }
  friend Rec rsqrt_near(Rec x) { return arith(LaneOp::rsqrt_near, x.id); }
  friend Rec divide_near(Rec a, Rec b) { return arith(LaneOp::divide_near, a.id, b.id); }
  friend Rec divide_near16(Rec a, Rec b) { return arith(LaneOp::divide_near16, a.id, b.id); }
  friend Rec reciprocal_near16(Rec x) { return arith(LaneOp::reciprocal_near16, x.id); }
  friend Rec sqrt(Rec x) { return arith(LaneOp::sqrt, x.id); }
  friend Rec floor(Rec x) { return arith(LaneOp::floor, x.id); }
  friend Rec ceil(Rec x) { return arith(LaneOp::ceil, x.id); }
  friend Rec trunc(Rec x) { return arith(LaneOp::trunc, x.id); }
  friend Rec rint(Rec x) { return arith(LaneOp::rint, x.id); }
};

template <class T>
Rec<int_of<T>> bits(Rec<T> x) {
  return Rec<int_of<T>>::of(recording->bitcast(x.id, dtype_of<int_of<T>>));
}
Rec<float> from_bits(Rec<int32_t> x) {
  return Rec<float>::of(recording->bitcast(x.id, Dtype::float32));
}
Rec<double> from_bits(Rec<int64_t> x) {
  return Rec<double>::of(recording->bitcast(x.id, Dtype::float64));
}
template <class T>
Rec<int_of<T>> to_int(Rec<T> x) {
  return Rec<int_of<T>>::of(recording->number(LaneOp::to_int, x.id, dtype_of<int_of<T>>));
}
Rec<float> to_float(Rec<int32_t> x) {
  return Rec<float>::of(recording->number(LaneOp::to_float, x.id, Dtype::float32));
}
Rec<float> scale_by(Rec<float> p, Rec<float> n) {
  if (recording->machine.scales) return Rec<float>::arith(LaneOp::scale, p.id, n.id);
  return math::scale_by<Rec<float>>(p, n);
}

template <class F>
struct RareOf;
#define LEGATO_RARE(type, function, n)                \
  template <>                                         \
  struct RareOf<type> {                               \
    static constexpr RareFn value = RareFn::function; \
    static constexpr int arity = n;                   \
  };
LEGATO_RARE(math::SinSlow, sin, 1)
LEGATO_RARE(math::CosSlow, cos, 1)
LEGATO_RARE(math::TanSlow, tan, 1)
LEGATO_RARE(math::PowSlow, pow, 2)
LEGATO_RARE(FmodSlow, fmod, 2)
#undef LEGATO_RARE

template <class F, class T, class... A>
Rec<T> rare(RecMask m, Rec<T> value, F, A... args) {
  static_assert(sizeof...(A) == RareOf<F>::arity);
  const int operands[] = {args.id...};
  return Rec<T>::of(recording->rare(RareOf<F>::value, m.id, value.id, operands));
}

// --- which functions are recorded, and which are called

template <class T>
constexpr TypeSet kind_bit() {
  if constexpr (std::is_same_v<T, bool>)
    return kBool;
  else if constexpr (std::is_same_v<T, float>)
    return kF32;
  else if constexpr (std::is_same_v<T, double>)
    return kF64;
  else
    return std::is_signed_v<T> ? kSigned : kUnsigned;
}
template <class F, class... Fs>
inline constexpr bool is_one_of = (std::is_same_v<F, Fs> || ...);

/// Whether F<T> exists, and whether it is written on single numbers.
template <class F, class T>
inline constexpr bool exists = (F::types & kind_bit<T>()) != 0 && !std::is_same_v<F, MakeComplex>;
template <class F, class T>
inline constexpr bool called =
    (F::lanewise & kind_bit<T>()) != 0 ||
    (std::is_integral_v<T> &&
     is_one_of<F, FloorDivide, Remainder, Fmod, Power, LeftShift, RightShift>);

/// One function of one type.
struct Entry {
  int (*record)(const int* operands) = nullptr;
  LaneFunction lane = nullptr;  // where it is called
  // For results that are halves, if shorter; for float16, if that is shorter still.
  int (*record_half)(const int* operands) = nullptr;
  int (*record_f16)(const int* operands) = nullptr;
};

template <class F, class T>
int record(const int* o) {
  auto v = [&](int i) { return Rec<T>::of(o[i]); };
  if constexpr (std::is_same_v<F, Where>)
    return F::apply(RecMask{o[0]}, v(1), v(2)).id;
  else if constexpr (F::arity == 1)
    return F::apply(v(0)).id;
  else if constexpr (F::arity == 2)
    return F::apply(v(0), v(1)).id;
  else
    return F::apply(v(0), v(1), v(2)).id;
}
/// `Form`: HalfForm<F> or Float16Form<F>.
template <class F, class Form>
int record_form(const int* o) {
  auto v = [&](int i) { return Rec<float>::of(o[i]); };
  if constexpr (F::arity == 1)
    return Form::apply(v(0)).id;
  else
    return Form::apply(v(0), v(1)).id;
}
template <class F, class T>
uint64_t lane(const uint64_t* o) {
  auto v = [&](int i) { return Lane<T>(value_of<T>(o[i])); };
  if constexpr (F::arity == 1)
    return bits_of(F::apply(v(0)).value);
  else
    return bits_of(F::apply(v(0), v(1)).value);
}
template <class F, class T>
constexpr Entry entry() {
  if constexpr (!exists<F, T>) {
    return {};
  } else if constexpr (called<F, T>) {
    return {nullptr, lane<F, T>};
  } else {
    Entry e{record<F, T>};
    if constexpr (std::is_same_v<T, float>) {
      if constexpr (HalfForm<F>::exists) e.record_half = record_form<F, HalfForm<F>>;
      if constexpr (Float16Form<F>::is_own) e.record_f16 = record_form<F, Float16Form<F>>;
    }
    return e;
  }
}

struct Table {
  Entry at[kFunctionCount][kDtypeCount] = {};
};
template <class F>
constexpr void add(Table& t) {
  auto& row = t.at[static_cast<int>(IdOf<F>::value)];
  auto set = [&]<class T>(T) { row[static_cast<int>(dtype_of<T>)] = entry<F, T>(); };
  set(bool());
  set(uint8_t());
  set(uint16_t());
  set(uint32_t());
  set(uint64_t());
  set(int8_t());
  set(int16_t());
  set(int32_t());
  set(int64_t());
  set(float());
  set(double());
}
template <class... Fs>
constexpr Table table_of(List<Fs...>) {
  Table t;
  (add<Fs>(t), ...);
  return t;
}
constexpr Table kTable = table_of(AllFunctions{});

const Entry& entry_of(fuse::FnId fn, Dtype compute) {
  LEGATO_CHECK(fn < kFunctionCount, "pointwise function number out of range");
  return kTable.at[fn][static_cast<int>(compute)];
}

template <class F, class T>
uint64_t rare_lane(const uint64_t* o) {
  if constexpr (RareOf<F>::arity == 1)
    return bits_of(F()(value_of<T>(o[0])));
  else
    return bits_of(F()(value_of<T>(o[0]), value_of<T>(o[1])));
}

/// Sets `recording` for its lifetime.
class Recording {
 public:
  explicit Recording(LaneBuilder& b) : outer_(recording) { recording = &b; }
  ~Recording() { recording = outer_; }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

 private:
  LaneBuilder* outer_;
};

/// The program's values as lane instructions. Follows the tile interpreter in when halves are
/// rounded: by a cast and by a store, not by the functions between.
class Lowering {
 public:
  Lowering(const fuse::Program& p, fuse::LaneMachine machine) : p_(p), b_(p.inputs, p.literals) {
    b_.machine = machine;
  }

  std::unique_ptr<fuse::LaneProgram> run() {
    Recording guard(b_);
    for (size_t i = 0; i < p_.inputs.size(); ++i) values_.push_back(b_.input(static_cast<int>(i)));
    for (size_t i = 0; i < p_.literals.size(); ++i)
      values_.push_back(b_.literal(static_cast<int>(i)));
    for (const fuse::Instr& s : p_.instrs) {
      values_.push_back(lower(s));
      if (b_.size() > kMaxLaneInstrs) return nullptr;
    }
    std::vector<fuse::LaneProgram::Output> outputs;
    for (uint16_t o : p_.outputs)
      outputs.push_back({static_cast<int16_t>(values_[o]), p_.dtype_of_value(o)});
    return b_.finish(std::move(outputs));
  }

 private:
  bool is_computed(int value) const {
    const int first = static_cast<int>(p_.inputs.size() + p_.literals.size());
    return value >= first && p_.instrs[static_cast<size_t>(value - first)].fn != fuse::kCastFn;
  }
  int lower(const fuse::Instr& s) {
    const Dtype to = compute_dtype(s.dtype);
    if (s.fn == fuse::kCastFn) {
      int v = b_.convert(values_[s.src[0]], to);
      if (is_half(s.dtype) && (p_.dtype_of_value(s.src[0]) != s.dtype || is_computed(s.src[0])))
        v = b_.arith(s.dtype == Dtype::float16 ? LaneOp::round_f16 : LaneOp::round_bf16, v);
      return v;
    }
    const Entry& e = entry_of(s.fn, s.compute);
    if (!e.record && !e.lane)
      throw InternalError(
          cat("the pointwise function ", fuse::fn_name(s.fn), " is not defined for ", s.compute));
    int operands[3];
    for (int i = 0; i < s.n_src; ++i) {
      const bool condition = static_cast<Id>(s.fn) == Id::Where && i == 0;
      operands[i] = b_.convert(values_[s.src[i]], condition ? Dtype::bool_ : s.compute);
    }
    Dtype form = s.form;
    if (b_.machine.approximates && s.compute == Dtype::float32 && is_half(s.dtype))
      form = fuse::half_form(s.fn, s.dtype);
    auto record = form == Dtype::bfloat16                  ? e.record_half
                  : form == Dtype::float16 && e.record_f16 ? e.record_f16
                  : form == Dtype::float16                 ? e.record_half
                                                           : e.record;
    const int v = record ? record(operands)
                         : b_.call(s.fn, s.compute, s.compute, std::span(operands, s.n_src));
    return b_.convert(v, to);
  }

  const fuse::Program& p_;
  LaneBuilder b_;
  std::vector<int> values_;
};

}  // namespace
}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise

namespace legato::fuse {

std::unique_ptr<LaneProgram> lower(const Program& program, LaneMachine machine) {
  auto complex = [](Dtype t) { return is_complex(t); };
  bool any = std::any_of(program.inputs.begin(), program.inputs.end(), complex) ||
             std::any_of(program.literals.begin(), program.literals.end(), complex);
  for (const Instr& s : program.instrs) any |= is_complex(s.compute) || is_complex(s.dtype);
  return any ? nullptr : pointwise::Lowering(program, machine).run();
}

Dtype half_form(FnId fn, Dtype result) {
  if (!is_half(result) || fn == kCastFn) return Dtype::float32;
  const pointwise::Entry& e = pointwise::entry_of(fn, Dtype::float32);
  if (result == Dtype::bfloat16)
    return !e.record_half ? Dtype::float32 : e.record_f16 ? Dtype::bfloat16 : Dtype::float16;
  return e.record_half || e.record_f16 ? Dtype::float16 : Dtype::float32;
}

LaneFunction call_function(FnId fn, Dtype compute) { return pointwise::entry_of(fn, compute).lane; }

LaneFunction rare_function(RareFn fn, Dtype type) {
  using namespace pointwise;
  const bool wide = type == Dtype::float64;
  switch (fn) {
    case RareFn::sin:
      return wide ? nullptr : rare_lane<math::SinSlow, float>;
    case RareFn::cos:
      return wide ? nullptr : rare_lane<math::CosSlow, float>;
    case RareFn::tan:
      return wide ? nullptr : rare_lane<math::TanSlow, float>;
    case RareFn::pow:
      return wide ? nullptr : rare_lane<math::PowSlow, float>;
    case RareFn::fmod:
      break;
  }
  return wide ? rare_lane<FmodSlow, double> : rare_lane<FmodSlow, float>;
}

}  // namespace legato::fuse
