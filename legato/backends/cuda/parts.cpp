#include "legato/backends/cuda/parts.h"

#include <algorithm>

#include "legato/backends/cuda/print.h"
#include "legato/base/error.h"
#include "legato/fuse/lane_program.h"

namespace legato::cuda {

using fuse::FnId;
using fuse::Instr;
using fuse::Program;

const Precompiled* find_precompiled(uint64_t hash, uint64_t key) {
  const Precompiled* end = kPrecompiled + kPrecompiledCount;
  const Precompiled* at =
      std::lower_bound(kPrecompiled, end, Precompiled{hash, key, nullptr, 0, 0},
                       [](const Precompiled& a, const Precompiled& b) {
                         return a.hash != b.hash ? a.hash < b.hash : a.key < b.key;
                       });
  return at != end && at->hash == hash && at->key == key ? at : nullptr;
}

namespace {

// Takes a program apart into programs of one that have a general kernel. All results lie in memory
// as registers hold them (a half that a function computed as float32), so that what the whole
// rounds the parts round, and nothing else: their results are equal to the bit.
class TakingApart {
 public:
  explicit TakingApart(const Program& p) : p_(p), out_(std::make_unique<Parts>()) {}

  std::unique_ptr<Parts> run() {
    for (Dtype t : p_.inputs) stored_.push_back(t);
    for (Dtype t : p_.literals) stored_.push_back(compute_dtype(t));
    stored_.resize(static_cast<size_t>(p_.n_values()));
    int value = static_cast<int>(p_.inputs.size() + p_.literals.size());
    for (const Instr& s : p_.instrs)
      if (!add(s, value++)) return nullptr;
    for (uint16_t o : p_.outputs) {
      const int v = as(o, p_.dtype_of_value(o));
      if (v < 0) return nullptr;
      out_->outputs.push_back(v);
    }
    out_->last_use.assign(stored_.size(), -1);
    for (size_t i = 0; i < out_->parts.size(); ++i)
      for (int k = 0; k < out_->parts[i].n_src; ++k)
        out_->last_use[static_cast<size_t>(out_->parts[i].src[k])] = static_cast<int>(i);
    return std::move(out_);
  }

 private:
  bool put(FnId fn, Dtype compute, Dtype result, std::span<const int> src, int value,
           Dtype form = Dtype::float32) {
    Dtype in[3];
    Part part;
    for (size_t i = 0; i < src.size(); ++i) {
      in[i] = stored_[static_cast<size_t>(src[i])];
      part.src[part.n_src++] = src[i];
    }
    part.program = single_program(fn, compute, result, {in, src.size()}, form);
    part.value = value;
    part.stored = result;
    const uint64_t key = Variant::general(part.n_src).key(part.n_src);
    if (!find_precompiled(structure_hash(*part.program), key)) return false;
    stored_[static_cast<size_t>(value)] = result;
    out_->parts.push_back(std::move(part));
    return true;
  }
  // The value, stored as `t`; -1 if there is no such cast.
  int as(int value, Dtype t) {
    if (stored_[static_cast<size_t>(value)] == t) return value;
    for (const Part& p : out_->parts)
      if (p.n_src == 1 && p.src[0] == value && p.stored == t &&
          p.program->instrs[0].fn == fuse::kCastFn)
        return p.value;
    const int cast = static_cast<int>(stored_.size());
    stored_.push_back(t);
    const Dtype from = compute_dtype(stored_[static_cast<size_t>(value)]);
    return put(fuse::kCastFn, from, t, std::span(&value, 1), cast) ? cast : -1;
  }
  bool add(const Instr& s, int value) {
    if (s.fn == fuse::kCastFn) {
      const int from = s.src[0];
      return put(fuse::kCastFn, compute_dtype(stored_[static_cast<size_t>(from)]), s.dtype,
                 std::span(&from, 1), value);
    }
    int src[3];
    static const FnId where = fuse::find_fn("where");
    for (int i = 0; i < s.n_src; ++i) {
      src[i] = as(s.src[i], s.fn == where && i == 0 ? Dtype::bool_ : s.compute);
      if (src[i] < 0) return false;
    }
    // The functions were compiled for the dtype that they compute, or bool, as result.
    const Dtype result = compute_dtype(s.dtype);
    const std::span<const int> operands(src, s.n_src);
    const Dtype form =
        lowered_ && s.compute == Dtype::float32 ? fuse::half_form(s.fn, s.dtype) : Dtype::float32;
    if (put(s.fn, s.compute, result, operands, value, form)) return true;
    if (result == s.compute) return false;
    const int own = static_cast<int>(stored_.size());
    stored_.push_back(s.compute);
    if (!put(s.fn, s.compute, s.compute, operands, own)) return false;
    return put(fuse::kCastFn, s.compute, result, std::span(&own, 1), value);
  }
  const Program& p_;
  // Whether the whole is printed from lane instructions, which know functions of halves.
  const bool lowered_ = is_lowered(p_);
  std::unique_ptr<Parts> out_;
  std::vector<Dtype> stored_;  // of each value
};

}  // namespace

std::unique_ptr<Parts> take_apart(const Program& program) { return TakingApart(program).run(); }

}  // namespace legato::cuda
