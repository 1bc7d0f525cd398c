#include "legato/backends/cuda/program.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "legato/backends/cuda/kernels.h"
#include "legato/backends/cuda/parts.h"
#include "legato/base/error.h"

namespace legato::cuda {
namespace {

using fuse::Program;
using fuse::ProgramCall;

constexpr int kMaxPack = 16;
constexpr int64_t kPackBytes = 16;  // what one load instruction moves at most

// Elements that are moved at once: 16 bytes of the largest type.
int full_pack(const Program& program) {
  int64_t largest = 1;
  for (Dtype t : program.inputs) largest = std::max(largest, size_of(t));
  for (uint16_t o : program.outputs)
    largest = std::max(largest, size_of(program.dtype_of_value(o)));
  return static_cast<int>(std::min<int64_t>(kMaxPack, kPackBytes / largest));
}

bool aligned(const void* p, int64_t bytes) {
  return (reinterpret_cast<uintptr_t>(p) & static_cast<uintptr_t>(bytes - 1)) == 0;
}

}  // namespace

void plan_walk(const ProgramCall& call, Walk& w) {
  const Program& program = *call.program;
  const size_t n_in = call.inputs.size();
  w.n = 1;
  w.axes = 0;
  w.outer = 0;
  w.variant.pack = 1;
  w.variant.wide = false;
  w.variant.tiled = false;
  for (size_t axis = call.shape.size(); axis-- > 0;) {
    const int64_t size = call.shape[axis];
    if (size == 1) continue;
    bool joins = w.axes > 0;
    for (size_t i = 0; i < n_in && joins; ++i)
      joins = call.inputs[i].strides[axis] == w.stride[i][w.axes - 1] * w.size[w.axes - 1];
    if (!joins) {
      if (w.axes == kProgramAxes) {
        w.outer = axis + 1;
        break;
      }
      w.size[w.axes] = 1;
      for (size_t i = 0; i < n_in; ++i) w.stride[i][w.axes] = call.inputs[i].strides[axis];
      ++w.axes;
    }
    w.size[w.axes - 1] *= size;
    w.n *= size;
  }
  if (w.axes == 0) {
    w.axes = 1;
    w.size[0] = 1;
    for (size_t i = 0; i < n_in; ++i) w.stride[i][0] = 0;
  }

  int64_t farthest = w.n;
  bool all_dense = true;
  for (size_t i = 0; i < n_in; ++i) {
    bool scalar = true, dense = true;
    int64_t step = 1, reach = 0;
    for (int k = 0; k < w.axes; ++k) {
      const int64_t stride = w.stride[i][k];
      scalar &= stride == 0;
      dense &= stride == step;
      step *= w.size[k];
      reach += (w.size[k] - 1) * std::abs(stride);
    }
    farthest = std::max(farthest, reach);
    w.variant.access[i] = scalar ? Access::scalar : dense ? Access::dense : Access::gather;
    all_dense &= scalar || dense;
  }

  // Packs, or single elements where an address or the innermost axis does not allow them. Nothing
  // between: each is another kernel to compile.
  const int pack = full_pack(program);
  bool packs = pack > 1 && (all_dense || w.size[0] % pack == 0);
  for (size_t o = 0; o < call.outputs.size() && packs; ++o)
    packs = aligned(call.outputs[o], pack * size_of(program.dtype_of_value(program.outputs[o])));
  for (size_t i = 0; i < n_in && packs; ++i)
    packs = w.variant.access[i] != Access::dense ||
            aligned(call.inputs[i].data, pack * size_of(program.inputs[i]));
  if (packs) {
    w.variant.pack = pack;
    for (size_t i = 0; i < n_in; ++i) {
      if (w.variant.access[i] != Access::gather) continue;
      if (w.stride[i][0] == 0) {
        w.variant.access[i] = Access::splat;
      } else if (w.stride[i][0] == 1) {
        bool row = aligned(call.inputs[i].data, pack * size_of(program.inputs[i]));
        for (int k = 1; k < w.axes; ++k) row &= w.stride[i][k] % pack == 0;
        if (row) w.variant.access[i] = Access::row;
      }
    }
  }
  // Positions stay below 2^31 with those of a last block that is only in part there.
  w.variant.wide = farthest > INT32_MAX - (1 << 20);
  if (all_dense)
    w.axes = 0;
  else
    plan_tiles(call, w);
}

int fill_params(const ProgramCall& call, const Walk& w, uint64_t* words) {
  uint64_t* to = words;
  for (auto& in : call.inputs) *to++ = reinterpret_cast<uint64_t>(in.data);
  for (void* out : call.outputs) *to++ = reinterpret_cast<uint64_t>(out);
  if (!w.variant.same_literals)
    for (auto& literal : call.literals) {
      std::memcpy(to, literal.bytes, 16);
      to += 2;
    }
  if (w.variant.tiled) return static_cast<int>(fill_tiles(call, w, to) - words);
  *to++ = static_cast<uint64_t>(w.n);
  if (w.axes == 0) return static_cast<int>(to - words);
  *to++ = static_cast<uint64_t>(w.axes);
  auto strides = [&]<class T>(T) {
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      if (!is_strided(w.variant.access[i])) continue;
      T* at = reinterpret_cast<T*>(to);
      for (int k = 0; k < kProgramAxes; ++k)
        at[k] = k < w.axes ? static_cast<T>(w.stride[i][k]) : T{0};
      to += kProgramAxes * sizeof(T) / sizeof(uint64_t);
    }
  };
  if (w.variant.wide) {
    for (int k = 0; k < kProgramAxes; ++k)
      *to++ = k < w.axes ? static_cast<uint64_t>(w.size[k]) : 1u;
    strides(int64_t{});
  } else {
    auto* at = reinterpret_cast<uint32_t*>(to);
    for (int k = 0; k < kProgramAxes; ++k) {
      const auto size = k < w.axes ? static_cast<uint32_t>(w.size[k]) : 1u;
      const Magic m = division_by(size);
      at[k] = size;
      at[k + kProgramAxes] = m.magic;
      at[k + 2 * kProgramAxes] = m.shift;
    }
    to += 3 * kProgramAxes / 2;
    strides(int32_t{});
  }
  return static_cast<int>(to - words);
}

namespace {

constexpr int kThreadsOfMultiprocessor = 2048;

void launch(GpuDevice& device, const ProgramCall& call, const Walk& w, CUfunction f, int packs) {
  alignas(16) uint64_t words[kMaxParamWords];
  const auto bytes = static_cast<size_t>(fill_params(call, w, words)) * sizeof(uint64_t);
  const int64_t items = (w.n + w.variant.pack - 1) / w.variant.pack;
  // Where threads with one pack each do not fill the device, they have one pack each.
  if (items <= int64_t{device.multiprocessors()} * kThreadsOfMultiprocessor) packs = 1;
  const int64_t block = int64_t{kProgramThreads} * packs,
                blocks = w.variant.tiled ? tiles_of(w) : (items + block - 1) / block;
  device.launch(f, blocks, kProgramThreads, words, bytes, "launching a program", 0);
}

// More axes than a kernel walks: one call for each index of the outermost ones.
void run_outer(GpuDevice& device, const ProgramCall& call, size_t outer) {
  ProgramCall inner = call;
  std::vector<fuse::BoundInput> inputs(call.inputs.begin(), call.inputs.end());
  std::vector<void*> outputs(call.outputs.begin(), call.outputs.end());
  auto tail = [&](const Dims& d) {
    return Dims(std::span<const int64_t>(d.begin() + outer, d.end()));
  };
  inner.shape = tail(call.shape);
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i].strides = tail(call.inputs[i].strides);
  inner.inputs = inputs;
  inner.outputs = outputs;
  int64_t per_call = 1, calls = 1;
  for (int64_t s : inner.shape) per_call *= s;
  for (size_t axis = 0; axis < outer; ++axis) calls *= call.shape[axis];
  auto advance = [](const void* p, int64_t elements, Dtype t) {
    return const_cast<char*>(static_cast<const char*>(p)) + elements * size_of(t);
  };
  for (int64_t c = 0; c < calls; ++c) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      int64_t offset = 0, rest = c;
      for (size_t axis = outer; axis-- > 0; rest /= call.shape[axis])
        offset += rest % call.shape[axis] * call.inputs[i].strides[axis];
      inputs[i].data = advance(call.inputs[i].data, offset, call.program->inputs[i]);
    }
    for (size_t o = 0; o < outputs.size(); ++o)
      outputs[o] = advance(call.outputs[o], c * per_call,
                           call.program->dtype_of_value(call.program->outputs[o]));
    run_program(device, inner);
  }
}

}  // namespace

Compile compile_mode(const GpuDevice& device) {
  static const Compile mode = [] {
    const char* text = std::getenv("LEGATO_COMPILE");
    const std::string_view given = text ? text : "";
    return given == "wait"    ? Compile::wait
           : given == "never" ? Compile::never
                              : Compile::background;
  }();
  // A recording is made once and replayed often: it waits for the kernel.
  return device.recording() && mode == Compile::background ? Compile::wait : mode;
}

namespace {

// By a kernel that was compiled with the library. False if there is none.
bool run_precompiled(GpuDevice& device, const ProgramCall& call, Walk& w) {
  const ProgramKernel* kernel = find_precompiled_kernel(device, *call.program, w.variant);
  if (!kernel) {
    const int n_in = static_cast<int>(call.inputs.size());
    const Variant general = Variant::general(n_in);
    kernel = find_precompiled_kernel(device, *call.program, general);
    if (!kernel) return false;
    Access access[fuse::kMaxInputs];
    std::copy_n(w.variant.access, n_in, access);
    if (w.variant.tiled) leave_tiles(call, w);
    w.variant = general;
    if (w.axes == 0) {  // dense and scalar operands, by one axis
      w.axes = 1;
      w.size[0] = w.n;
      for (int i = 0; i < n_in; ++i) w.stride[i][0] = access[i] == Access::dense;
    }
  }
  launch(device, call, w, kernel->function(), kernel->packs());
  return true;
}

/// Memory between the parts of a program, from the device's pool: it lives for one call.
class Scratch {
 public:
  explicit Scratch(GpuDevice& d) : device_(d) {}
  ~Scratch() {
    for (void* p : taken_) device_.free(p);
  }
  void* take(int64_t bytes) {
    taken_.reserve(taken_.size() + 1);
    taken_.push_back(device_.allocate(bytes));
    return taken_.back();
  }
  /// Nothing if it was given back before: a part may read one value twice.
  void give_back(void* p) {
    if (std::erase(taken_, p)) device_.free(p);
  }

 private:
  GpuDevice& device_;
  std::vector<void*> taken_;
};

// One part after the other. What a program writes may lie where it reads, so its outputs are
// written when all parts have run.
void run_parts(GpuDevice& device, const ProgramCall& call, const Parts& parts) {
  const Program& program = *call.program;
  const size_t n_in = call.inputs.size(), n_lit = call.literals.size();
  const Strides dense = row_major_strides(call.shape);
  int64_t n = 1;
  for (int64_t s : call.shape) n *= s;
  if (device.recording()) throw EvalError("GPU: a program in parts cannot be recorded");
  Scratch scratch(device);
  std::vector<fuse::BoundInput> at(parts.last_use.size());
  std::vector<Dtype> stored(parts.last_use.size(), Dtype::float32);
  for (size_t i = 0; i < n_in; ++i) at[i] = call.inputs[i];
  if (n_lit) {
    auto* values = static_cast<unsigned char*>(scratch.take(static_cast<int64_t>(16 * n_lit)));
    const int64_t now = device.work_given();
    device.copy_in(values, call.literals.data(), static_cast<int64_t>(16 * n_lit), {&now, 1});
    for (size_t l = 0; l < n_lit; ++l)
      at[n_in + l] = {values + 16 * l, Dims::filled(call.shape.size(), 0)};
  }
  for (size_t i = 0; i < parts.parts.size(); ++i) {
    const Part& part = parts.parts[i];
    const size_t value = static_cast<size_t>(part.value);
    stored[value] = part.stored;
    at[value] = {scratch.take(n * size_of(part.stored)), dense};
    fuse::BoundInput in[3];
    for (int k = 0; k < part.n_src; ++k) in[k] = at[static_cast<size_t>(part.src[k])];
    void* out = const_cast<void*>(at[value].data);
    ProgramCall one;
    one.program = part.program.get();
    one.shape = call.shape;
    one.inputs = {in, static_cast<size_t>(part.n_src)};
    one.outputs = {&out, 1};
    Walk w;
    plan_walk(one, w);
    if (!run_precompiled(device, one, w))
      throw InternalError("a part of a program was not compiled with the library");
    for (int k = 0; k < part.n_src; ++k) {
      const size_t from = static_cast<size_t>(part.src[k]);
      const bool output =
          std::find(parts.outputs.begin(), parts.outputs.end(), part.src[k]) != parts.outputs.end();
      if (from >= n_in + n_lit && !output && parts.last_use[from] == static_cast<int>(i))
        scratch.give_back(const_cast<void*>(at[from].data));
    }
  }
  for (size_t o = 0; o < call.outputs.size(); ++o) {
    const size_t value = static_cast<size_t>(parts.outputs[o]);
    check(driver().cuMemcpyDtoDAsync(
              reinterpret_cast<CUdeviceptr>(call.outputs[o]),
              reinterpret_cast<CUdeviceptr>(at[value].data),
              static_cast<size_t>(n * size_of(program.dtype_of_value(program.outputs[o]))),
              device.queue()),
          "copying on the GPU");
  }
}

// Where there is neither a compiler nor a kernel: on the CPU, by way of copies.
void run_on_cpu(GpuDevice& device, const ProgramCall& call) {
  device.synchronize();  // what the operands are computed by, or copied in by, has ended
  ProgramCall here = call;
  std::vector<fuse::BoundInput> inputs(call.inputs.begin(), call.inputs.end());
  std::vector<std::vector<double>> memory;
  auto room = [&](int64_t bytes) {
    return memory.emplace_back(static_cast<size_t>(bytes / 8 + 9)).data();
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    int64_t low = 0, high = 0;  // of the elements that are read
    for (size_t axis = 0; axis < call.shape.size(); ++axis) {
      const int64_t reach = (call.shape[axis] - 1) * call.inputs[i].strides[axis];
      (reach < 0 ? low : high) += reach;
    }
    const int64_t size = size_of(call.program->inputs[i]);
    auto* copy = reinterpret_cast<char*>(room((high - low + 1) * size));
    device.copy_out(copy, static_cast<const char*>(call.inputs[i].data) + low * size,
                    (high - low + 1) * size, device.work_given());
    inputs[i].data = copy - low * size;
  }
  int64_t n = 1;
  for (int64_t s : call.shape) n *= s;
  std::vector<void*> outputs;
  auto bytes_of = [&](size_t o) {
    return n * size_of(call.program->dtype_of_value(call.program->outputs[o]));
  };
  for (size_t o = 0; o < call.outputs.size(); ++o) outputs.push_back(room(bytes_of(o)));
  here.inputs = inputs;
  here.outputs = outputs;
  backend_of(Device{}).run_program(0, here);
  const int64_t now = device.work_given();
  for (size_t o = 0; o < outputs.size(); ++o)
    device.copy_in(call.outputs[o], outputs[o], bytes_of(o), {&now, 1});
}

// Until its kernel is compiled, or for ever. False: wait for it.
bool run_without(GpuDevice& device, const ProgramCall& call, const Walk& w) {
  Walk by_axes = w;
  if (run_precompiled(device, call, by_axes)) return true;
  const Parts* parts = parts_of(*call.program);
  if (!parts) return false;
  try {
    run_parts(device, call, *parts);
  } catch (const MemoryError&) {  // none for what lies between the parts: the whole needs none
    return false;
  }
  return true;
}

}  // namespace

void run_program(GpuDevice& device, const ProgramCall& call) {
  Walk w;
  plan_walk(call, w);
  if (w.n == 0) return;
  if (w.outer) return run_outer(device, call, w.outer);
  const Compile mode = compile_mode(device);
  const ProgramKernel* kernel =
      mode == Compile::never ? nullptr : find_kernel(device, *call.program, w.variant);
  if (!kernel) {
    if (!run_without(device, call, w)) run_on_cpu(device, call);
    return;
  }
  if (kernel->state() != ProgramKernel::State::ready) {
    // One that cannot be built is a bug of ours, which its parts hide; without them it raises.
    if (mode != Compile::wait && run_without(device, call, w)) return;
    kernel->wait();
  }
  launch(device, call, w, kernel->function(), kernel->packs());
}

bool compiles(const GpuDevice& device) { return compile_mode(device) != Compile::never; }

bool can_launch(GpuDevice& device, const ProgramKernel& kernel) {
  using State = ProgramKernel::State;
  if (kernel.state() == State::ready) return true;
  if (kernel.state() == State::failed) return false;
  if (compile_mode(device) != Compile::wait) return false;
  try {
    kernel.wait();
  } catch (const EvalError&) {  // what runs in its place says so if it has to
    return false;
  }
  return true;
}

bool run_uncompiled(GpuDevice& device, const ProgramCall& call) {
  Walk w;
  plan_walk(call, w);
  return w.n > 0 && w.outer == 0 && run_without(device, call, w);
}

void prepare_program(GpuDevice& device, const ProgramCall& call) {
  Walk w;
  plan_walk(call, w);
  if (w.n > 0 && w.outer == 0 && compile_mode(device) != Compile::never)
    find_kernel(device, *call.program, w.variant);
}

}  // namespace legato::cuda
