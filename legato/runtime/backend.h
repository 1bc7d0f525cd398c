// The one header that an author of a backend, or of a kernel, reads.
//
// A Backend owns devices of one kind: it allocates and copies memory, runs kernels and fused
// programs. The evaluator asks it for nothing else. A kernel computes the outputs of one op from
// its inputs; memory, order and layouts are the evaluator's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "legato/array/array.h"
#include "legato/fuse/program.h"
#include "legato/op/op.h"

namespace legato {

enum class DeviceType : uint8_t { cpu, gpu, null, simulated };  // simulated: of tests

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

/// An input or output of a kernel: memory on the kernel's device.
struct View {
  void* data = nullptr;  // element (0, ..., 0)
  const Shape* shape = nullptr;
  const Strides* strides = nullptr;  // in elements
  int64_t size = 0;                  // number of elements
  Dtype dtype = Dtype::float32;
  bool row_major = true;

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  size_t ndim() const { return shape->size(); }
  int64_t dim(size_t i) const { return (*shape)[i]; }
};

/// A condition on values that a device checks while it computes, later than the host launched the
/// kernel: that an index lies within its axis. What the launch wrote, and all that is computed from
/// it, is right only if the check holds; storages carry it along until somebody reads them.
class LEGATO_API DeviceCheck {
 public:
  void retain() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  /// What was wrong, or null. Only when the device has finished the launch.
  virtual std::exception_ptr error() = 0;

 protected:
  virtual ~DeviceCheck();

 private:
  std::atomic<uint32_t> refs_{1};
};

/// A program that a kernel applies to its result as it stores it, so that the result itself never
/// touches memory: a bias, an activation, a residual, a cast. See Kernel::takes.
struct Epilogue {
  const fuse::Program* program = nullptr;  // of one output
  int input = 0;                           // which of the program's inputs is output 0 of the op
  /// Where the program reads that output in two halves along its last axis, as gated activations
  /// do: the input for the second half, `input` being the first; else -1.
  int second = -1;
  std::span<const fuse::LiteralValue> literals;
  /// The program's inputs along the axes of its output; without data for `input` and `second`.
  /// Empty while a kernel is only asked whether it takes the program.
  std::span<const fuse::BoundInput> inputs;
};

/// A program that a kernel computes as it reads its input 0, so that what the program makes of its
/// own inputs need not touch memory: the squares of a mean of squares. See Kernel::takes_input.
struct Prologue {
  /// Outputs are null where nobody but the kernel reads them; others are to be written on the way.
  /// No shape, inputs and outputs while a kernel is only asked whether it takes the program.
  fuse::ProgramCall call;
  int output = 0;  // which of the program's outputs is input 0 of the op
};

/// One launch of a kernel.
class Launch {
 public:
  const Op* op = nullptr;
  const void* raw_attrs = nullptr;
  std::span<const View> in;
  std::span<const View> out;
  bool allow_tf32 = false;  // whether float32 operands of products may be rounded to TF32
  /// Only for kernels that took one: then `out` is the program's output. A kernel that finds that
  /// it cannot apply it to these layouts sets `declined` and returns, having done nothing; the op
  /// and the program then run one after the other.
  const Epilogue* epilogue = nullptr;
  /// Only for kernels that took one: then in[0] has no data, but the layout that the program's
  /// result would have, from a multiple of 64 bytes on. May be declined likewise.
  const Prologue* prologue = nullptr;
  bool declined = false;

  template <class A>
  const A& attrs() const {
    return *static_cast<const A*>(raw_attrs);
  }
  /// Uninitialised memory of the device for the duration of the launch, 64-byte aligned.
  virtual void* workspace(int64_t bytes) = 0;
  /// Reports that the values are at fault (an index out of range, a singular matrix): the outputs
  /// fail with `error`, an exception object of the type the reader shall see. May be called from
  /// any worker; the first call wins.
  virtual void fail(std::exception_ptr error) = 0;
  /// As fail, where the device finds out only after run() has returned. From run() itself. Null:
  /// the launch is recorded, and its replays have checks.
  virtual void fail_unless(Ref<DeviceCheck> check) = 0;

 protected:
  ~Launch() = default;
};

/// What layouts a kernel accepts for its inputs; the evaluator copies others first.
enum class AcceptLayout : uint8_t {
  row_major,    // without gaps
  inner_dense,  // the last axis has stride 1 (or size <= 1); the others are arbitrary
  any,
};

struct Kernel {
  void (*run)(Launch&) = nullptr;
  AcceptLayout accepts = AcceptLayout::row_major;
  int8_t reuses =
      -1;  // index of an input whose buffer output 0 may overwrite (same bytes, row-major), or -1
  /// Where the kernel computes each row of its outputs from the same row of its inputs: over how
  /// many trailing axes of input 0 (of rank `rank`) a row extends; 0 if the attributes forbid it.
  /// The evaluator may then call it for some of the rows: with the axes before cut to one range.
  /// Inputs without these axes are given whole. Null: never.
  int (*row_axes)(const void* attrs, size_t rank) = nullptr;
  /// Whether the kernel can apply the program as it stores output 0 of an op with these attributes,
  /// as far as the program tells; run() then finds it in Launch::epilogue. The evaluator asks where
  /// nobody but the program sees the output. Half types may skip the rounding between the two.
  /// Null: never.
  bool (*takes)(const void* attrs, const Epilogue& epilogue) = nullptr;
  /// Index of an input whose order of axes in memory output 0 takes, but for the last axis, which
  /// stays innermost; or -1: row-major. For results that are used as that input came about.
  int8_t ordered_like = -1;
  /// Whether the kernel, of an op with one input and one output, can compute the program as it
  /// reads the input, as far as the program tells; run() then finds it in Launch::prologue. The
  /// result has the same bits as when the two run one after the other. Null: never.
  bool (*takes_input)(const void* attrs, const Prologue& prologue) = nullptr;
  /// Whether it takes from each row (row_axes) of its first input the elements that the second one
  /// names.
  bool picks = false;
  /// What its backend alone knows of it. Null: nothing.
  const void* own = nullptr;
};

/// Kernels of one backend: (op, dtype) → Kernel, where dtype is that of input 0 (of output 0 for
/// ops without inputs).
class LEGATO_API KernelTable {
 public:
  void add(const Op& op, Dtype dtype, const Kernel& kernel);
  const Kernel* find(const Op& op, Dtype dtype) const;  // null if there is none

 private:
  std::vector<Kernel> kernels_;  // op.id * kDtypeCount + dtype
};

/// Registers `make(TypeTag<T>{})`, a Kernel, for each T of the list: the list is the dispatch.
template <class... Ts>
struct Types {};
using FloatTypes = Types<float16_t, bfloat16_t, float, double>;
using ComplexTypes = Types<complex64_t, complex128_t>;
using IntTypes = Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t>;
using RealTypes = Types<bool, uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t,
                        int64_t, float16_t, bfloat16_t, float, double>;
using AllTypes = Types<bool, uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t,
                       int64_t, float16_t, bfloat16_t, float, double, complex64_t, complex128_t>;
template <class... Ts, class Make>
void add_kernels(KernelTable& table, const Op& op, Types<Ts...>, Make make) {
  (table.add(op, dtype_of<Ts>, make(TypeTag<Ts>{})), ...);
}

struct RowCall;  // runtime/row_call.h

/// Launches that a device has recorded, to be carried out again as a whole.
class LEGATO_API Recording {
 public:
  virtual ~Recording();
};

/// A piece of work of a device is named by a number: its queue, and its place there.
inline constexpr int kPlaceBits = 48;
constexpr int queue_of_work(int64_t work) { return static_cast<int>(work >> kPlaceBits); }
constexpr int64_t place_of_work(int64_t work) { return work & ((int64_t{1} << kPlaceBits) - 1); }
constexpr int64_t piece_of_work(int queue, int64_t place) {
  return int64_t{queue} << kPlaceBits | place;
}
/// Streams use queues below this, whatever their backend; a set of queues is a word of bits.
inline constexpr int kMostQueues = 16;

/// Memory of a device that can be written and read at the addresses given to kernels.
class LEGATO_API Backend {
 public:
  virtual ~Backend();
  virtual const char* name() const = 0;  // "cpu"
  virtual DeviceType type() const = 0;
  virtual int device_count() const = 0;
  /// Whether the device's memory is the host's, so that no replica is ever made.
  virtual bool host_memory() const = 0;

  /// Never returns null: throws MemoryError. 64-byte aligned. `bytes` may be 0.
  virtual void* allocate(int device, int64_t bytes) = 0;
  virtual void free(int device, void* p, int64_t bytes) noexcept = 0;
  /// Copies between host memory and a device, once the device has ended the pieces of work `after`
  /// (see below). The host's memory may be given up, or read, when this returns; on the device,
  /// work that this thread gives later finds the data there. To the device: gives the piece of work
  /// that brings the data.
  virtual int64_t copy_from_host(int device, void* to, const void* from, int64_t bytes,
                                 std::span<const int64_t> after) = 0;
  virtual void copy_to_host(int device, void* to, const void* from, int64_t bytes,
                            int64_t after) = 0;

  /// Whether kernels and programs may be called from many threads at once on parts of their work,
  /// to keep what lies between them in the caches.
  virtual bool runs_by_rows() const { return false; }
  /// Whether programs and reductions over the same rows can run as one kernel, by run_rows.
  virtual bool fuses_rows() const { return false; }
  /// Runs them. Returns false, having done nothing, if it cannot, or not yet.
  virtual bool run_rows(int device, const RowCall& call);

  virtual const Kernel* find_kernel(const Op& op, Dtype dtype) const = 0;
  virtual void run_kernel(int device, const Kernel& kernel, Launch& launch) = 0;
  virtual void run_program(int device, const fuse::ProgramCall& call) = 0;
  /// Copies elements between layouts of the same dtype.
  virtual void copy_strided(int device, const View& to, const View& from) = 0;

  // The rest has defaults, which serve devices that finish what they are given before they return.

  /// Whether kernels, programs and strided copies may return before the device has finished. All
  /// work of one queue of a device is then carried out in the order in which it was given. Copies
  /// from and to the host are beside this order.
  virtual bool asynchronous() const { return false; }
  /// How many queues the device has for streams. What a thread gives to the device (run_kernel,
  /// run_program, run_programs, copy_strided, replay, allocate, free) goes to the queue it has
  /// entered, at first the one with number 0.
  virtual int queues(int device) const;
  /// Gives the queue that the thread was in.
  virtual int enter_queue(int device, int queue);
  /// The newest piece of work of the queue that this thread has entered. Pieces are numbered in
  /// each queue; the number names the queue too (queue_of_work).
  virtual int64_t work_given(int device) const;
  /// The same of any queue.
  virtual int64_t work_given(int device, int queue) const;
  /// Makes it possible to wait for that piece of work without waiting for what comes later.
  virtual void mark(int device, int64_t work);
  /// What this thread gives to its queue from here on comes after that piece of work.
  virtual void order(int device, int64_t work) noexcept;
  /// Whether that is so anyway, because the piece is of the same queue, has ended, or was waited
  /// for before.
  virtual bool follows(int device, int64_t work) const;
  /// Waits until the device has ended the piece of work and what was given to its queue before.
  /// Throws EvalError if it cannot go on.
  virtual void wait_for(int device, int64_t work);
  /// Waits until the device has finished what it was given. Throws EvalError if it cannot go on.
  virtual void synchronize(int device);
  /// Bytes that a device with memory of its own has in all.
  virtual int64_t memory_bytes(int device) const;
  /// A program like `call` will run soon: a backend that compiles may begin. The addresses tell of
  /// alignment only, there are no literals, and the layouts are a guess.
  virtual void prepare_program(int device, const fuse::ProgramCall& call);
  /// Whether calls of one program that do not depend on each other are less work together.
  virtual bool runs_together() const { return false; }
  /// Runs them: none reads what another one writes. One piece of work.
  virtual void run_programs(int device, std::span<const fuse::ProgramCall> calls);
  /// As prepare_program, for such calls; with their literals.
  virtual void prepare_programs(int device, std::span<const fuse::ProgramCall> calls);
  /// Gives freed memory that the backend keeps itself back to the system.
  virtual void trim(int device) noexcept;
  /// Host memory for values that the device has no room for; null if there is none to be had.
  /// Copies between it and the device go on while the host does other things, where it can.
  virtual void* allocate_host(int device, int64_t bytes) noexcept;
  virtual void free_host(int device, void* p) noexcept;
  /// Starts to copy to or from such memory, after the pieces of work `after`. Gives the piece of
  /// work that the copy is. From it: work that this thread gives later finds the data.
  virtual int64_t start_copy_to_host(int device, void* to, const void* from, int64_t bytes,
                                     std::span<const int64_t> after);
  virtual int64_t start_copy_from_host(int device, void* to, const void* from, int64_t bytes,
                                       std::span<const int64_t> after);
  /// Whether launches can be recorded. A thread records on one device at a time.
  virtual bool records() const { return false; }
  /// From here on, what this thread launches on the device is recorded instead of carried out.
  /// Whatever cannot be repeated (a copy to or from the host, a wait) throws EvalError meanwhile.
  virtual void begin_recording(int device);
  /// Ends it, also after an error. Gives what was recorded, made by changing `old` (may be null) if
  /// that is a recording of the same launches with other operands; null if it cannot be repeated.
  virtual std::unique_ptr<Recording> end_recording(int device, std::unique_ptr<Recording> old);
  /// Carries out what was recorded, in the order of the device's work. Gives the check of the
  /// values of all launches in it that have one, or null.
  virtual Ref<DeviceCheck> replay(int device, Recording& recording);
  /// The process is about to end: the backend's own threads stop; it goes on without them.
  virtual void stop_threads() noexcept;
  /// Bytes of it that nobody in the system uses; 0 where that is not known.
  virtual int64_t free_bytes(int device) const;
  /// Facts for people: {"device_name", "NVIDIA H100"}, ...
  virtual std::vector<std::pair<std::string, std::string>> facts(int device) const;

  // Order between this backend and other libraries of the process that share memory with it (see
  // dlpack.h). Their streams go by DLPack's numbers: 1 the default one, 2 that of each thread, else
  // an address. No call waits on the host.

  /// The number of a stream that another library makes wait before it hands memory to us.
  virtual int64_t exchange_stream(int device);
  /// It has made it wait: a piece of work, like all that waits behind it. Gives its number.
  virtual int64_t followed(int device) noexcept;
  /// `stream` waits for all that was given to us so far.
  virtual void lead(int device, int64_t stream);
  /// All streams of the device wait for all that was given to us so far.
  virtual void lead_all(int device) noexcept;
  /// What is given to us from here on waits for all that anybody gave to the device. Gives the
  /// number of the piece of work that waits for it.
  virtual int64_t follow_all(int device) noexcept;
};

/// Makes the backend known. The first one whose type is cpu serves the host.
LEGATO_API void register_backend(Backend* backend);
/// Throws ValueError naming the device if there is none.
LEGATO_API Backend& backend_of(Device device);
LEGATO_API bool has_device(Device device);
/// A sentence that says why there is no device of this type; empty if there is one.
LEGATO_API std::string why_no_device(DeviceType type);
/// Calls Backend::stop_threads of all backends. Threads that are still in a library when exit()
/// destroys that library's own objects would crash; a host that ends in some other way than by
/// returning from main calls this first.
LEGATO_API void stop_backend_threads() noexcept;
/// Whether a registered backend is asynchronous.
LEGATO_API bool any_asynchronous_backend();

/// What a backend in a shared object of its own exports as `legato_plugin`: registers the backend,
/// or returns the sentence that says why it cannot serve here. Null means that it registered.
/// `version` is the library's, and the plugin refuses another one than its own.
using PluginEntry = const char* (*)(const char* version);

}  // namespace legato
