// Reads what a program computes of a kernel's result: each value is followed as a number, as a sum
// of multiples of operands, or as one of the few things that an activation is made of. A program
// with anything else in it has no form.
#include "legato/runtime/epilogue_form.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <vector>

namespace legato {
namespace {

using Act = EpilogueForm::Act;
using fuse::Instr;

// scale * result + sum of coef * operand + constant.
struct Sum {
  double scale = 0, constant = 0;
  EpilogueForm::Addend addends[EpilogueForm::kMaxAddends];
  int n = 0;

  bool add(const Sum& o, double factor) {
    scale += factor * o.scale;
    constant += factor * o.constant;
    for (int i = 0; i < o.n; ++i) {
      int k = 0;
      while (k < n && addends[k].input != o.addends[i].input) ++k;
      if (k == EpilogueForm::kMaxAddends) return false;
      if (k == n) addends[n++] = {o.addends[i].input, 0};
      addends[k].coef += factor * o.addends[i].coef;
    }
    return true;
  }
};

struct Term {
  enum Kind {
    unknown,
    number,    // c[0]
    sum,       // sum
    poly,      // c[0] + c[1] x + c[2] x^2 + c[3] x^3 of x = sum
    sigmoid,   // p * sigmoid(sum) + q
    error_fn,  // p * erf(sum) + q
    tanh_fn,   // p * tanh(poly of sum by c) + q
    product,   // a multiple `r` of `sum` times what `factor` says of it, with p, q and c
    active,    // act(sum)
    gated,     // x * act(gate), both sums
  } kind = unknown;
  Sum x, gate;
  double c[4] = {0, 0, 0, 0}, p = 1, q = 0, r = 1;
  Kind factor = unknown;
  Act act = Act::none;
};

class Reader {
 public:
  explicit Reader(const Epilogue& e) : e_(e), program_(*e.program) {
    const Dtype result = program_.inputs[static_cast<size_t>(e.input)];
    tolerance_ = result == Dtype::float16 ? 0x1p-10 : result == Dtype::bfloat16 ? 0x1p-7 : 1e-6;
  }

  std::optional<EpilogueForm> read() {
    const Dtype result = program_.inputs[static_cast<size_t>(e_.input)];
    if (!is_floating(result) || program_.outputs.size() != 1) return {};
    for (size_t i = 0; i < program_.inputs.size(); ++i) {
      Term& t = terms_.emplace_back();
      if (!is_floating(program_.inputs[i])) continue;
      t.kind = Term::sum;
      if (static_cast<int>(i) == e_.input) {
        t.x.scale = 1;
      } else {
        t.x.n = 1;
        t.x.addends[0] = {static_cast<int>(i), 1};
      }
    }
    for (size_t i = 0; i < program_.literals.size(); ++i) {
      Term& t = terms_.emplace_back();
      const Dtype d = program_.literals[i];
      if (is_half(d) || d == Dtype::float32) {  // a half lies in a register as float32
        float f;
        std::memcpy(&f, e_.literals[i].bytes, sizeof f);
        t = constant(f);
      } else if (d == Dtype::float64) {
        double f;
        std::memcpy(&f, e_.literals[i].bytes, sizeof f);
        t = constant(f);
      }
    }
    const int out = program_.outputs[0];
    for (const Instr& instr : program_.instrs) {
      const bool last = static_cast<int>(terms_.size()) == out;
      // What a float32 result loses by rounding must be lost; a half is rounded when it is stored.
      const bool rounds = is_half(instr.dtype) && instr.dtype != result && !last;
      const bool wide = instr.compute == Dtype::float64 || instr.dtype == Dtype::float64;
      Term t;
      if (is_floating(instr.dtype) && is_floating(instr.compute) && !rounds &&
          wide == (result == Dtype::float64))
        t = apply(instr);
      terms_.push_back(t);
    }
    return form_of(terms_[static_cast<size_t>(out)]);
  }

 private:
  static Term constant(double v) {
    Term t;
    t.kind = Term::number;
    t.c[0] = v;
    return t;
  }
  bool near(double a, double b) const {
    return std::abs(a - b) <= tolerance_ * std::max(std::abs(a), std::abs(b));
  }

  // a / b, if they are multiples of each other; 0 if not.
  double ratio(const Sum& a, const Sum& b) const {
    if (a.n != b.n || (b.scale == 0) != (a.scale == 0)) return 0;
    if (b.scale == 0 &&
        (b.n == 0 || a.addends[0].input != b.addends[0].input || b.addends[0].coef == 0))
      return 0;
    const double r = b.scale != 0 ? a.scale / b.scale : a.addends[0].coef / b.addends[0].coef;
    if (std::abs(a.constant - r * b.constant) > 1e-7 * std::abs(a.constant)) return 0;
    for (int i = 0; i < a.n; ++i) {
      int k = 0;
      while (k < b.n && b.addends[k].input != a.addends[i].input) ++k;
      if (k == b.n ||
          std::abs(a.addends[i].coef - r * b.addends[k].coef) > 1e-7 * std::abs(a.addends[i].coef))
        return 0;
    }
    return r;
  }

  // A sum or a polynomial as a polynomial of `x`; false if it is none.
  bool as_poly(const Term& t, const Sum& x, double (&c)[4]) const {
    if (t.kind == Term::number) {
      c[0] = t.c[0];
      return true;
    }
    if (t.kind != Term::sum && t.kind != Term::poly) return false;
    const double r = ratio(t.x, x);
    if (r == 0) return false;
    if (t.kind == Term::sum) {
      c[1] = r;
      return true;
    }
    for (int i = 0; i < 4; ++i) c[i] = t.c[i] * std::pow(r, i);
    return true;
  }

  Term scaled(Term t, double f) const {
    switch (t.kind) {
      case Term::number:
        t.c[0] *= f;
        return t;
      case Term::sum: {
        Sum s;
        if (!s.add(t.x, f)) return {};
        t.x = s;
        return t;
      }
      case Term::poly:
        for (double& c : t.c) c *= f;
        return t;
      case Term::sigmoid:
      case Term::error_fn:
      case Term::tanh_fn:
        t.p *= f;
        t.q *= f;
        return t;
      case Term::product:
        t.r *= f;
        return t;
      default:
        return {};
    }
  }

  // Where the result is read in halves: a half times a function of the other one.
  Term gated(const Term& value, const Term& f) const {
    Term t;
    if (e_.second < 0 || value.kind != Term::sum || !activation_of(f, t.act, t.gate)) return t;
    t.x = value.x;
    if ((is_half_of_result(t.x, true) && is_half_of_result(t.gate, false)) ||
        (is_half_of_result(t.x, false) && is_half_of_result(t.gate, true)))
      t.kind = Term::gated;
    return t;
  }
  // A factor without what dividing by a constant and multiplying with it again made of it.
  static double exact(double v) { return std::abs(v - 1) < 1e-12 ? 1 : v; }
  bool is_half_of_result(const Sum& s, bool first) const {
    if (s.constant != 0) return false;
    if (first) return exact(s.scale) == 1 && s.n == 0;
    return s.scale == 0 && s.n == 1 && s.addends[0].input == e_.second &&
           exact(s.addends[0].coef) == 1;
  }

  Term times(const Term& a, const Term& b) const {
    if (a.kind == Term::number) return scaled(b, a.c[0]);
    if (b.kind == Term::number) return scaled(a, b.c[0]);
    if (const Term t = gated(a, b); t.kind == Term::gated) return t;
    if (const Term t = gated(b, a); t.kind == Term::gated) return t;
    if (b.kind == Term::sigmoid || b.kind == Term::error_fn || b.kind == Term::tanh_fn) {
      if (a.kind != Term::sum) return {};
      const double r = ratio(a.x, b.x);
      if (r == 0) return {};
      Term t = b;
      t.kind = Term::product;
      t.factor = b.kind;
      t.r = r;
      return t;
    }
    if (a.kind == Term::sigmoid || a.kind == Term::error_fn || a.kind == Term::tanh_fn)
      return times(b, a);
    Term t;
    t.x = a.x;
    double p[4] = {0, 0, 0, 0}, q[4] = {0, 0, 0, 0};
    if (!as_poly(a, t.x, p) || !as_poly(b, t.x, q)) return {};
    for (int i = 0; i < 4; ++i)
      for (int k = 0; k < 4; ++k) {
        if (p[i] == 0 || q[k] == 0) continue;
        if (i + k > 3) return {};
        t.c[i + k] += p[i] * q[k];
      }
    t.kind = Term::poly;
    return t;
  }

  Term plus(const Term& a, const Term& b, double factor) const {
    if (a.kind == Term::number && b.kind == Term::number) return constant(a.c[0] + factor * b.c[0]);
    if (a.kind == Term::number || b.kind == Term::number) {
      const double c = a.kind == Term::number ? a.c[0] : factor * b.c[0];
      Term t = a.kind == Term::number ? scaled(b, factor) : a;
      if (t.kind == Term::sum)
        t.x.constant += c;
      else if (t.kind == Term::poly)
        t.c[0] += c;
      else if (t.kind == Term::sigmoid || t.kind == Term::error_fn || t.kind == Term::tanh_fn)
        t.q += c;
      else
        return {};
      return t;
    }
    if (a.kind == Term::sum && b.kind == Term::sum) {
      Term t = a;
      return t.x.add(b.x, factor) ? t : Term();
    }
    Term t;
    t.x = a.x;
    double p[4] = {0, 0, 0, 0}, q[4] = {0, 0, 0, 0};
    if (!as_poly(a, t.x, p) || !as_poly(b, t.x, q)) return {};
    for (int i = 0; i < 4; ++i) t.c[i] = p[i] + factor * q[i];
    t.kind = Term::poly;
    return t;
  }

  Term apply(const Instr& instr) const {
    static const fuse::FnId add = fuse::find_fn("add"), subtract = fuse::find_fn("subtract"),
                            multiply = fuse::find_fn("multiply"), divide = fuse::find_fn("divide"),
                            negative = fuse::find_fn("negative"), square = fuse::find_fn("square"),
                            maximum = fuse::find_fn("maximum"), sigmoid = fuse::find_fn("sigmoid"),
                            tanh = fuse::find_fn("tanh"), erf = fuse::find_fn("erf");
    const Term& a = terms_[instr.src[0]];
    const Term& b = instr.n_src > 1 ? terms_[instr.src[1]] : a;
    if (a.kind == Term::unknown || b.kind == Term::unknown) return {};
    if (instr.fn == fuse::kCastFn) return a;
    if (instr.fn == add) return plus(a, b, 1);
    if (instr.fn == subtract) return plus(a, b, -1);
    if (instr.fn == multiply) return times(a, b);
    if (instr.fn == square) return times(a, a);
    if (instr.fn == negative) return scaled(a, -1);
    if (instr.fn == divide && b.kind == Term::number && b.c[0] != 0) return scaled(a, 1 / b.c[0]);
    Term t = a;
    if (instr.fn == maximum) {
      const bool first = a.kind == Term::number;
      const Term &x = first ? b : a, &zero = first ? a : b;
      if (x.kind != Term::sum || zero.kind != Term::number || zero.c[0] != 0) return {};
      t = x;
      t.kind = Term::active;
      t.act = Act::relu;
      return t;
    }
    if (instr.fn == sigmoid && a.kind == Term::sum) {
      t.kind = Term::sigmoid;
      return t;
    }
    if (instr.fn == erf && a.kind == Term::sum) {
      t.kind = Term::error_fn;
      return t;
    }
    if (instr.fn == tanh && (a.kind == Term::poly || a.kind == Term::sum)) {
      if (a.kind == Term::sum) t.c[1] = 1;
      t.kind = Term::tanh_fn;
      return t;
    }
    return {};
  }

  // A product is r x (p f(x) + q): which activation, and of which multiple of x.
  bool activation(const Term& t, Act& act, double& multiple) const {
    if (t.factor == Term::sigmoid) {
      act = Act::silu;
      multiple = 1;
      return t.q == 0 && t.r * t.p == 1;
    }
    if (t.p != t.q) return false;
    multiple = 2 * t.r * t.p;  // r p x = y / 2
    if (t.factor == Term::error_fn) {
      act = Act::gelu_erf;
      return near(multiple * std::numbers::sqrt2 / 2, 1);
    }
    if (t.factor != Term::tanh_fn || t.c[0] != 0 || t.c[2] != 0) return false;
    act = Act::gelu_tanh;
    const double root = std::sqrt(2 / std::numbers::pi);
    return near(t.c[1], root * multiple) &&
           near(t.c[3], root * 0.044715 * multiple * multiple * multiple);
  }

  // Whether t is act(x), and of which act and sum.
  bool activation_of(const Term& t, Act& act, Sum& x) const {
    if (t.kind == Term::product) {
      double multiple = 1;
      return activation(t, act, multiple) && x.add(t.x, multiple);
    }
    if (t.kind == Term::active) {
      act = t.act;
      x = t.x;
      return true;
    }
    if (t.kind == Term::sigmoid) {
      act = Act::sigmoid;
      x = t.x;
      return t.p == 1 && t.q == 0;
    }
    if (t.kind != Term::tanh_fn || t.p != 1 || t.q != 0) return false;
    act = Act::tanh;
    return t.c[0] == 0 && t.c[2] == 0 && t.c[3] == 0 && x.add(t.x, t.c[1]);
  }

  std::optional<EpilogueForm> form_of(const Term& t) const {
    EpilogueForm f;
    f.out = program_.dtype_of_value(program_.outputs[0]);
    if ((t.kind == Term::gated) != (e_.second >= 0)) return {};
    if (t.kind == Term::gated) {
      f.gated = true;
      f.first_is_gate = t.gate.scale != 0;
      f.act = t.act;
      return f;
    }
    Sum x;
    if (t.kind == Term::sum)
      x = t.x;
    else if (!activation_of(t, f.act, x))
      return {};
    if (x.scale == 0) return {};
    f.scale = exact(x.scale);
    f.constant = x.constant;
    for (int i = 0; i < x.n; ++i)
      if (x.addends[i].coef != 0)
        f.addends[f.n_addends++] = {x.addends[i].input, exact(x.addends[i].coef)};
    return f;
  }

  const Epilogue& e_;
  const fuse::Program& program_;
  double tolerance_;
  std::vector<Term> terms_;
};

// A form is asked for when a plan is made and again at every launch, and reading one takes longer
// than a launch may: each thread remembers the last ones, by all that they depend on.
struct Remembered {
  static constexpr size_t kMostInstrs = 16, kMostOperands = 8;
  const fuse::Program* program = nullptr;  // found by its address; another may have it by now
  int input = 0, second = -1;
  uint8_t n_inputs = 0, n_literals = 0, n_instrs = 0;
  Dtype inputs[kMostOperands], literals[kMostOperands];
  uint16_t output = 0;
  Instr instrs[kMostInstrs];
  fuse::LiteralValue values[kMostOperands];
  std::optional<EpilogueForm> form;

  static bool fits(const Epilogue& e) {
    const fuse::Program& p = *e.program;
    return p.outputs.size() == 1 && p.inputs.size() <= kMostOperands &&
           p.literals.size() <= kMostOperands && p.instrs.size() <= kMostInstrs;
  }
  bool is(const Epilogue& e) const {
    const fuse::Program& p = *e.program;
    if (program != &p || input != e.input || second != e.second || n_inputs != p.inputs.size() ||
        n_literals != p.literals.size() || n_instrs != p.instrs.size() || output != p.outputs[0] ||
        !std::equal(p.inputs.begin(), p.inputs.end(), inputs) ||
        !std::equal(p.literals.begin(), p.literals.end(), literals))
      return false;
    for (size_t i = 0; i < n_instrs; ++i) {
      const Instr &x = p.instrs[i], &y = instrs[i];
      if (x.fn != y.fn || x.compute != y.compute || x.dtype != y.dtype || x.n_src != y.n_src ||
          !std::equal(x.src, x.src + x.n_src, y.src))
        return false;
    }
    for (size_t i = 0; i < n_literals; ++i)  // what is larger than a double makes no form
      if (std::memcmp(&values[i], &e.literals[i], sizeof(double)) != 0) return false;
    return true;
  }
  void keep(const Epilogue& e) {
    const fuse::Program& p = *e.program;
    program = nullptr;  // nothing is known until the end
    form = Reader(e).read();
    input = e.input;
    second = e.second;
    n_inputs = static_cast<uint8_t>(p.inputs.size());
    n_literals = static_cast<uint8_t>(p.literals.size());
    n_instrs = static_cast<uint8_t>(p.instrs.size());
    output = p.outputs[0];
    std::copy(p.inputs.begin(), p.inputs.end(), inputs);
    std::copy(p.literals.begin(), p.literals.end(), literals);
    std::copy(p.instrs.begin(), p.instrs.end(), instrs);
    std::copy(e.literals.begin(), e.literals.end(), values);
    program = &p;
  }
};

}  // namespace

std::optional<EpilogueForm> read_epilogue(const Epilogue& epilogue) {
  if (!Remembered::fits(epilogue)) return Reader(epilogue).read();
  constexpr size_t kSlots = 32;
  thread_local const auto known = std::make_unique<Remembered[]>(kSlots);
  const size_t slot =
      (reinterpret_cast<uintptr_t>(epilogue.program) >> 4 ^ static_cast<size_t>(epilogue.input)) *
          0x9e3779b97f4a7c15u >>
      59;
  Remembered& r = known[slot];
  if (!r.is(epilogue)) r.keep(epilogue);
  return r.form;
}

}  // namespace legato
