// Array, a handle to one output of a Node; Node, one operation that is done or yet to be done;
// Value, one output.
//
// Note [Life of a node]: bind() makes a node `pending`. An evaluation claims it (`claimed`), and
// ends with `done` (its values have layout and storage, its inputs are dropped) or `failed` (its
// error is rethrown to every reader). A node that only a fused program saw goes back to `pending`:
// it has no memory, and is computed again if somebody turns out to need it. Inputs of vmap and
// compile are `unbound`: they have no value, and reading them is an error that names the transform.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "legato/array/dtype.h"
#include "legato/array/shape.h"
#include "legato/array/storage.h"
#include "legato/base/error.h"
#include "legato/base/export.h"
#include "legato/base/ref.h"

namespace legato {

struct Op;
struct Node;
class CaptureMark;

/// One output of a node: what it is, and, once computed, where it lies.
struct Value {
  Shape shape;
  Layout layout;                // valid when storage is set
  Ref<Storage> storage;         // null until computed
  Ref<Storage> row_major_copy;  // of a value with gaps, once C++ code has read it as plain memory
  int64_t size = 1;             // number of elements
  Dtype dtype = Dtype::float32;
  bool row_major = true;  // layout is row-major without gaps (any offset)
};

/// An n-dimensional array: a cheap handle (16 bytes) to a value that exists or can be computed.
/// Copies share the value. Thread-safe as std::shared_ptr is: distinct handles may be used from any
/// thread.
class LEGATO_API Array {
 public:
  Array() = default;  // no array: only assignment, `bool` and destruction are allowed
  Array(const Array& o) noexcept;
  Array(Array&& o) noexcept : node_(std::exchange(o.node_, nullptr)), index_(o.index_) {}
  Array& operator=(const Array& o) noexcept {
    Array(o).swap(*this);
    return *this;
  }
  Array& operator=(Array&& o) noexcept {
    Array(std::move(o)).swap(*this);
    return *this;
  }
  ~Array();

  /// A 0-d array of the scalar's default dtype, or of `dtype`.
  explicit Array(const Scalar& value);
  Array(const Scalar& value, Dtype dtype);
  /// Copies `size_of(dtype) * element_count(shape)` bytes of row-major data.
  static Array from_data(const void* data, const Shape& shape, Dtype dtype);
  template <class T>
  static Array from(std::span<const T> values, const Shape& shape) {
    if (static_cast<int64_t>(values.size()) != element_count(shape))
      throw ValueError(cat("array: ", values.size(), " values do not fill shape ", shape));
    return from_data(values.data(), shape, dtype_of<T>);
  }

  explicit operator bool() const { return node_ != nullptr; }
  const Shape& shape() const;
  int64_t shape(int axis) const;  // negative axes count from the end; AxisError beyond the rank
  Dtype dtype() const;
  int64_t size() const;  // number of elements
  size_t ndim() const { return shape().size(); }
  int64_t nbytes() const { return size() * size_of(dtype()); }

  /// Computes the value and waits for it. Throws what a kernel threw.
  const Array& eval() const;
  /// The value, computed and row-major in host memory; valid as long as an array holds it.
  const void* host_data() const;
  template <class T>
  const T* data() const {
    if (dtype() != dtype_of<T>)
      throw ValueError(cat("data: the array's dtype is ", dtype(), ", not ", dtype_of<T>));
    return static_cast<const T*>(host_data());
  }
  /// The only element, converted to T. Throws ValueError unless size() is 1.
  template <class T>
  T item() const {
    T value;
    item_as(dtype_of<T>, &value);
    return value;
  }

  Node* node() const { return node_; }
  uint32_t index() const { return index_; }
  Value& value() const;
  /// Gives the reference to the caller.
  Node* detach() { return std::exchange(node_, nullptr); }
  void swap(Array& o) noexcept {
    std::swap(node_, o.node_);
    std::swap(index_, o.index_);
  }
  /// Same node and output, not equal contents.
  bool same(const Array& o) const { return node_ == o.node_ && index_ == o.index_; }

  static Array adopt(Node* node, uint32_t index) {  // takes over one reference
    Array a;
    a.node_ = node;
    a.index_ = index;
    return a;
  }

 private:
  void item_as(Dtype to, void* out) const;

  Node* node_ = nullptr;
  uint32_t index_ = 0;
};

enum class NodeState : uint8_t { pending, claimed, done, failed, unbound };

/// One operation with its inputs, attributes and outputs, in one block of memory from a pool.
struct Node {
  static constexpr int kInlineInputs = 3;
  static constexpr size_t kInlineAttrs = 56;

  std::atomic<uint32_t> refs{1};
  std::atomic<NodeState> state{NodeState::pending};
  bool allow_tf32 = false;  // see array/precision.h
  uint16_t stream = 0;
  uint16_t n_out = 1;
  // See Note [Values that wait] in runtime/waiting.cpp; guarded by the graph lock.
  bool was_passing = false;               // an evaluation has computed it and not kept it
  std::atomic<bool> needed_later{false};  // others are to be computed from its value
  uint32_t n_in = 0;
  const Op* op = nullptr;  // null for data that came from outside
  Array* in = nullptr;     // n_in inputs; inline up to three
  Value* out = nullptr;    // n_out outputs; inline if one
  void* attrs = nullptr;   // the op's attribute struct; inline up to kInlineAttrs bytes
  void (*destroy_attrs)(void*) = nullptr;    // null if trivially destructible
  std::atomic<uint32_t>* holders = nullptr;  // references of each output, if there are several
  Ref<CaptureMark> mark;                     // the transform inside which it was made
  std::exception_ptr error;                  // if failed
  // Scratch of the evaluation that holds the graph lock, and of the capture that holds the walk
  // lock.
  union {
    uint64_t stamp = 0;
    Node* next;  // in a list of dead or free nodes
  };
  uint64_t walk_stamp = 0;
  uint32_t slot = 0, walk_slot = 0;

  alignas(Array) std::byte inline_in[kInlineInputs * sizeof(Array)];
  alignas(Value) std::byte inline_out[sizeof(Value)];
  alignas(16) std::byte inline_attrs[kInlineAttrs];

  void retain(uint32_t index) noexcept {
    refs.fetch_add(1, std::memory_order_relaxed);
    if (holders) holders[index].fetch_add(1, std::memory_order_relaxed);
  }
  std::span<const Array> inputs() const { return {in, n_in}; }
  bool is_done() const { return state.load(std::memory_order_acquire) == NodeState::done; }
};

/// A fresh node without references to outputs yet: `refs` is 1 and belongs to the caller. Its
/// stream, its mark and whether it may use TF32 are those of this thread.
LEGATO_API Node* new_node(const Op* op, std::span<const Array> inputs, int n_out);
/// The same, moving from `inputs`.
LEGATO_API Node* new_node_from(const Op* op, std::span<Array> inputs, int n_out);
/// Gives room for attributes of `bytes` bytes (16-byte aligned), inline if they fit.
LEGATO_API void* reserve_attrs(Node* node, size_t bytes);
/// Drops one reference of output `index`; frees what becomes unreachable, without recursion.
LEGATO_API void release_node(Node* node, uint32_t index) noexcept;
/// Drops the inputs of a node that has been computed.
LEGATO_API void detach_inputs(Node* node) noexcept;
/// The array for output `index` of a fresh node; takes over the caller's reference if `last`.
LEGATO_API Array output_of(Node* node, uint32_t index);

/// Data that exists: a done node over `storage`.
LEGATO_API Array from_storage(Ref<Storage> storage, const Shape& shape, const Layout& layout,
                              Dtype dtype);

/// Marks the nodes that are made while a transform captures a function. Nodes of an open mark keep
/// their inputs when they are evaluated, so that the transform finds the whole graph.
class LEGATO_API CaptureMark {
 public:
  /// `transform`: "grad", "vmap", ...; it appears in errors. `parent`: the enclosing capture of
  /// this thread, if any.
  CaptureMark(const char* transform, Ref<CaptureMark> parent)
      : transform_(transform), parent_(std::move(parent)) {}
  void retain() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  const char* transform() const { return transform_; }
  bool open() const { return open_.load(std::memory_order_acquire); }
  const CaptureMark* parent() const { return parent_.get(); }
  /// This mark or the nearest enclosing one that is open; null if all are closed.
  CaptureMark* nearest_open();
  /// Remembers an evaluated node whose inputs must stay until the capture closes.
  void keep(Node* node);
  /// Drops what was kept for this capture, or hands it to the enclosing one.
  void release_kept();
  /// As release_kept, and nothing is kept from here on.
  void close();
  /// The captured function has returned: its arrays should not be found anywhere else any more.
  void end() { running_.store(false, std::memory_order_release); }
  bool running() const { return running_.load(std::memory_order_acquire); }

 private:
  ~CaptureMark() = default;
  const char* transform_;
  Ref<CaptureMark> parent_;
  std::atomic<uint32_t> refs_{1};
  std::atomic<bool> open_{true}, running_{true};
  std::vector<Array> kept_;  // guarded by a lock in array.cpp
};

/// The innermost open capture of this thread, or null; new nodes get it as their mark. Whoever sets
/// it keeps it alive until it is set back.
LEGATO_API CaptureMark* current_capture();
LEGATO_API void set_current_capture(CaptureMark* mark);

/// What runtime/ gives to arrays. Installed once, when the library is loaded.
struct RuntimeHooks {
  void (*evaluate)(std::span<const Array> roots, bool wait) = nullptr;
  Ref<Storage> (*allocate)(int64_t bytes, void** host) =
      nullptr;  // storage whose host copy is at *host, writable now
  Ref<Storage> (*copy_row_major)(const Value& value) = nullptr;  // on the host
  const void* (*read)(Storage& storage) =
      nullptr;  // host copy of the storage's start; waits for it
};
LEGATO_API RuntimeHooks& runtime_hooks();

inline Value& Array::value() const { return node_->out[index_]; }
inline const Shape& Array::shape() const { return value().shape; }
inline Dtype Array::dtype() const { return value().dtype; }
inline int64_t Array::size() const { return value().size; }
inline Array::Array(const Array& o) noexcept : node_(o.node_), index_(o.index_) {
  if (node_) node_->retain(index_);
}
inline Array::~Array() {
  if (node_) release_node(node_, index_);
}

}  // namespace legato
