#include "legato/array/array.h"

#include <cstring>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>

#include "legato/array/precision.h"
#include "legato/array/thread_state.h"

namespace legato {

bool tf32_allowed() { return thread_state.allow_tf32; }
bool allow_tf32(bool on) { return std::exchange(thread_state.allow_tf32, on); }

namespace {

// Nodes come from a per-thread free list. A node may be freed by another thread than the one that
// made it; the list is bounded, so that a producer-consumer pair doesn't hoard.
constexpr int kMaxFree = 4096;

void free_node(Node* n) noexcept { ::operator delete(n, std::align_val_t{alignof(Node)}); }

// Gives a thread's free nodes back when it ends.
struct FreesAtExit {
  FreesAtExit() { thread_state.frees_at_exit = true; }
  ~FreesAtExit() {
    ThreadState& t = thread_state;
    while (Node* n = t.free_nodes) {
      t.free_nodes = n->next;
      free_node(n);
    }
    t.n_free = kMaxFree;  // what is dropped after this goes straight to the heap
  }
};

void destroy_node(Node* n) noexcept {
  detach_inputs(n);
  for (int i = 0; i < n->n_out; ++i) n->out[i].~Value();
  if (n->out != reinterpret_cast<Value*>(n->inline_out))
    ::operator delete(n->out, std::align_val_t{alignof(Value)});
  delete[] n->holders;
  if (n->attrs) {
    if (n->destroy_attrs) n->destroy_attrs(n->attrs);
    if (n->attrs != n->inline_attrs) ::operator delete(n->attrs, std::align_val_t{16});
  }
  n->~Node();
  ThreadState& t = thread_state;
  if (t.n_free >= kMaxFree) return free_node(n);
  if (!t.frees_at_exit) {
    thread_local FreesAtExit frees;
    (void)frees;
  }
  n->next = t.free_nodes;
  t.free_nodes = n;
  ++t.n_free;
}

std::mutex kept_lock;

}  // namespace

constinit thread_local ThreadState thread_state;
constinit DefaultStream process_default_stream;

Storage::~Storage() = default;

RuntimeHooks& runtime_hooks() {
  static RuntimeHooks hooks;
  return hooks;
}

CaptureMark* current_capture() { return thread_state.capture; }
void set_current_capture(CaptureMark* mark) { thread_state.capture = mark; }

namespace {

template <class From>  // copies the inputs, or moves from them
Node* make_node(const Op* op, std::span<From> inputs, int n_out) {
  ThreadState& t = thread_state;
  // Data that exists runs nowhere, and making it settles nothing.
  const uint16_t stream = t.stream != kDefaultStream ? t.stream
                          : op                       ? process_default_stream.get()
                                                     : uint16_t{0};
  void* memory = t.free_nodes;
  if (memory) {
    t.free_nodes = t.free_nodes->next;
    --t.n_free;
    // The next one comes from the second-level cache or from farther: while this one is made.
    const char* next = reinterpret_cast<const char*>(t.free_nodes);
    for (size_t line = 0; line < sizeof(Node); line += 64) __builtin_prefetch(next + line, 1);
  } else {
    memory = ::operator new(sizeof(Node), std::align_val_t{alignof(Node)});
  }
  Node* n = new (memory) Node;
  n->op = op;
  n->stream = stream;
  n->allow_tf32 = t.allow_tf32;
  n->n_in = static_cast<uint32_t>(inputs.size());
  n->in = reinterpret_cast<Array*>(n->inline_in);
  if (inputs.size() > Node::kInlineInputs)
    n->in = static_cast<Array*>(::operator new(inputs.size() * sizeof(Array)));
  for (size_t i = 0; i < inputs.size(); ++i) {
    if constexpr (std::is_const_v<From>)
      new (n->in + i) Array(inputs[i]);
    else
      new (n->in + i) Array(std::move(inputs[i]));
  }
  n->n_out = static_cast<uint16_t>(n_out);
  n->out = reinterpret_cast<Value*>(n->inline_out);
  if (n_out != 1) {
    n->out = static_cast<Value*>(
        ::operator new(n_out * sizeof(Value), std::align_val_t{alignof(Value)}));
    n->holders = new std::atomic<uint32_t>[n_out]();
  }
  for (int i = 0; i < n_out; ++i) new (n->out + i) Value;
  if (t.capture) n->mark = Ref<CaptureMark>::share(t.capture);
  return n;
}

}  // namespace

Node* new_node(const Op* op, std::span<const Array> inputs, int n_out) {
  return make_node(op, inputs, n_out);
}
Node* new_node_from(const Op* op, std::span<Array> inputs, int n_out) {
  return make_node(op, inputs, n_out);
}

void* reserve_attrs(Node* node, size_t bytes) {
  node->attrs = bytes <= Node::kInlineAttrs ? node->inline_attrs
                                            : ::operator new(bytes, std::align_val_t{16});
  return node->attrs;
}

void detach_inputs(Node* n) noexcept {
  for (uint32_t i = 0; i < n->n_in; ++i) n->in[i].~Array();
  if (n->in != reinterpret_cast<Array*>(n->inline_in)) ::operator delete(n->in);
  n->in = reinterpret_cast<Array*>(n->inline_in);
  n->n_in = 0;
}

void release_node(Node* n, uint32_t index) noexcept {
  // Nobody can take a reference of a node whose only one is ours: to count it down would cost a
  // locked instruction.
  if (n->refs.load(std::memory_order_acquire) != 1) {
    if (n->holders) n->holders[index].fetch_sub(1, std::memory_order_acq_rel);
    if (n->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  }
  // Destruction works through a list instead of recursing, so that a chain of a million nodes needs
  // no stack.
  ThreadState& t = thread_state;
  if (t.burying) {
    n->next = t.dead_nodes;
    t.dead_nodes = n;
    return;
  }
  t.burying = true;
  destroy_node(n);
  while (Node* dead = t.dead_nodes) {
    t.dead_nodes = dead->next;
    destroy_node(dead);
  }
  t.burying = false;
}

Array output_of(Node* node, uint32_t index) {
  node->retain(index);
  return Array::adopt(node, index);
}

Array from_storage(Ref<Storage> storage, const Shape& shape, const Layout& layout, Dtype dtype) {
  Node* n = new_node(nullptr, {}, 1);
  Value& v = n->out[0];
  v.shape = shape;
  v.size = element_count(shape);
  v.dtype = dtype;
  v.layout = layout;
  v.row_major = is_row_major(shape, layout.strides);
  v.storage = std::move(storage);
  n->state.store(NodeState::done, std::memory_order_release);
  return Array::adopt(n, 0);
}

Array Array::from_data(const void* data, const Shape& shape, Dtype dtype) {
  int64_t bytes;
  if (__builtin_mul_overflow(element_count(shape), size_of(dtype), &bytes))
    throw MemoryError(
        cat("array: shape ", shape, " of ", dtype, " needs more bytes than an address can hold"));
  void* host = nullptr;
  auto storage = runtime_hooks().allocate(bytes, &host);
  if (bytes) std::memcpy(host, data, static_cast<size_t>(bytes));
  return from_storage(std::move(storage), shape, {row_major_strides(shape), 0}, dtype);
}

Array::Array(const Scalar& value) : Array(value, default_dtype(value)) {}

Array::Array(const Scalar& value, Dtype dtype) {
  alignas(16) unsigned char bytes[16];
  store_scalar(value, dtype, bytes);
  *this = from_data(bytes, {}, dtype);
}

int64_t Array::shape(int axis) const { return shape()[normalize_axis("shape", axis, ndim())]; }

const Array& Array::eval() const {
  runtime_hooks().evaluate({this, 1}, true);
  return *this;
}

const void* Array::host_data() const {
  eval();
  Value& v = value();
  LEGATO_CHECK(v.storage, "a computed value has no storage");
  if (!v.row_major) {
    static std::mutex& lock = *new std::mutex;
    std::lock_guard guard(lock);
    if (!v.row_major_copy) v.row_major_copy = runtime_hooks().copy_row_major(v);
    return runtime_hooks().read(*v.row_major_copy);
  }
  auto* start = static_cast<const std::byte*>(runtime_hooks().read(*v.storage));
  return start + v.layout.offset * size_of(v.dtype);
}

void Array::item_as(Dtype to, void* out) const {
  if (size() != 1)
    throw ValueError(cat("item: needs an array of exactly one element, but the shape is ", shape(),
                         " (", size(), " elements)"));
  eval();
  const Value& v = value();
  auto* start = static_cast<const std::byte*>(runtime_hooks().read(*v.storage));
  const void* from = start + v.layout.offset * size_of(v.dtype);
  visit_dtype(v.dtype, [&]<class T>(TypeTag<T>) {
    T x;
    std::memcpy(&x, from, sizeof x);
    Scalar s;
    if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>) {
      s = Scalar(static_cast<float>(x));
    } else if constexpr (std::is_same_v<T, complex64_t> || std::is_same_v<T, complex128_t>) {
      s = Scalar(std::complex<double>(x));
    } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, float> ||
                         std::is_same_v<T, double>) {
      s = Scalar(x);
    } else if constexpr (std::is_unsigned_v<T>) {
      s = Scalar(static_cast<uint64_t>(x));
    } else {
      s = Scalar(static_cast<int64_t>(x));
    }
    store_scalar(s, to, out);
  });
}

CaptureMark* CaptureMark::nearest_open() {
  for (CaptureMark* m = this; m; m = m->parent_.get())
    if (m->open()) return m;
  return nullptr;
}

void CaptureMark::keep(Node* node) {
  std::lock_guard lock(kept_lock);
  node->refs.fetch_add(1, std::memory_order_relaxed);
  if (node->holders) node->holders[0].fetch_add(1, std::memory_order_relaxed);
  kept_.push_back(Array::adopt(node, 0));
}

void CaptureMark::release_kept() {
  std::vector<Array> kept;
  {
    std::lock_guard lock(kept_lock);
    kept.swap(kept_);
  }
  CaptureMark* heir = parent_ ? parent_->nearest_open() : nullptr;
  for (Array& a : kept) {
    if (heir)
      heir->keep(a.node());
    else
      detach_inputs(a.node());
  }
}

void CaptureMark::close() {
  {
    std::lock_guard lock(kept_lock);
    open_.store(false, std::memory_order_release);
  }
  release_kept();
}

}  // namespace legato
