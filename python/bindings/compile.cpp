// compile: a cache of traced functions behind a Python callable.
#include <cstdlib>
#include <cstring>
#include <list>
#include <unordered_map>

#include "legato/array/precision.h"
#include "legato/op/composed.h"
#include "legato/op/op.h"
#include "legato/runtime/stream.h"
#include "legato/transform/transform.h"
#include "python/bindings/closure.h"
#include "python/bindings/state.h"
#include "python/bindings/transforms.h"
#include "python/bindings/tree.h"

namespace legato::python {
namespace {

constexpr size_t kMaxEntries =
    256;  // traces kept for one function; the least recently used goes first

bool& compile_enabled() {
  static bool enabled = [] {
    const char* text = std::getenv("LEGATO_DISABLE_COMPILE");
    return !text || !*text || std::strcmp(text, "0") == 0;
  }();
  return enabled;
}

// One trace: what was run, and how its results become the result's tree and the state's new
// contents.
struct Entry {
  std::string key;
  std::shared_ptr<CompiledFn> compiled;
  Tree out_tree;
  std::vector<Owned> out_leaves;  // null where an array stands
  size_t n_outputs = 0;           // arrays among the leaves
  StateUpdate state;
  std::vector<Owned> pinned;  // objects whose addresses stand in the key
};

class Compile final : public Callable {
 public:
  explicit Compile(bool shapeless) : shapeless_(shapeless) {}

  Owned call(PyObject* objects, PyObject* const* args, Py_ssize_t n, PyObject* keywords) override {
    PyObject* f = PyTuple_GET_ITEM(objects, 0);
    if (!compile_enabled()) {
      size_t flags = static_cast<size_t>(n);
      return checked(PyObject_Vectorcall(f, args, flags, keywords));
    }
    PyObject* in_state = PyTuple_GET_ITEM(objects, 1);
    PyObject* out_state = PyTuple_GET_ITEM(objects, 2);

    Owned positional = tuple_of(args, n), named = dict_of(args, n, keywords);
    Owned both = checked(PyTuple_Pack(named ? 2 : 1, positional.get(), named.get()));
    std::vector<Owned> leaves;
    Tree tree = Tree::flatten(both.get(), leaves);

    std::string key;
    key.reserve(256);
    uint16_t stream = stream_of_new_nodes();
    key.append(reinterpret_cast<const char*>(&stream), sizeof stream);
    key += tf32_allowed() ? 't' : 'f';
    key += tracing_shapeless() ? 's' : ' ';  // such a trace notes what sizes `fun` reads
    tree.append_key(key);
    std::vector<Array> inputs;
    for (const Owned& leaf : leaves) {
      if (is_array(leaf.get())) {
        key += 'a';
        append_array_key(key, array_of(leaf.get()), shapeless_);
        inputs.push_back(array_of(leaf.get()));
      } else if (!append_constant_key(key, leaf.get())) {
        throw ValueError(
            cat("compile: arguments must be trees of arrays and constants (None, bool, int, float, "
                "complex, str, bytes, Dtype), found ",
                type_name(leaf.get())));
      }
    }
    size_t n_args = inputs.size();
    // Usually one list is both.
    std::vector<Owned> pinned;
    StateTree state_in = StateTree::of(in_state), other_state;
    bool one_state = in_state == out_state;
    if (!one_state) other_state = StateTree::of(out_state);
    const StateTree& state_out = one_state ? state_in : other_state;
    state_in.append_key(key, shapeless_, pinned);
    if (!one_state) state_out.append_key(key, shapeless_, pinned);
    state_in.append_aliases(key);
    state_in.collect(inputs);

    std::shared_ptr<Entry> entry = find(key, inputs);
    if (!entry) {
      entry = trace_entry(f, tree, leaves, n_args, inputs, state_in, state_out, out_state);
      entry->key = std::move(key);
      entry->pinned = std::move(pinned);
      remember(entry);
    }
    std::vector<Array> results = call_compiled(entry->compiled, inputs);
    entry->state.apply(out_state, std::span<const Array>(results).subspan(entry->n_outputs));
    std::vector<Owned> out = entry->out_leaves;
    size_t next = 0;
    for (Owned& leaf : out)
      if (!leaf) leaf = checked(wrap(results[next++]));
    return entry->out_tree.build(out);
  }

  int traverse(visitproc visit, void* arg) override {
    for (const auto& entry : entries_) {
      for (const Owned& o : entry->out_leaves) Py_VISIT(o.get());
      for (const Owned& o : entry->pinned) Py_VISIT(o.get());
      if (int stop = entry->out_tree.traverse(visit, arg)) return stop;
      if (int stop = entry->state.traverse(visit, arg)) return stop;
    }
    return 0;
  }

  void clear() override {
    index_.clear();
    entries_.clear();
  }

 private:
  // A key of a shapeless function has several entries if `fun` read sizes: one for each set of
  // sizes that it saw, told apart by a number at the end of their keys. If none will do, `key`
  // becomes the first that is free.
  std::shared_ptr<Entry> find(std::string& key, std::span<const Array> inputs) {
    const size_t length = key.size();
    for (uint32_t variant = 0;; ++variant) {
      if (shapeless_) {
        key.resize(length);
        key.append(reinterpret_cast<const char*>(&variant), sizeof variant);
      }
      auto found = index_.find(key);
      if (found == index_.end()) return nullptr;
      if (shapeless_ && !accepts((*found->second)->compiled, inputs)) continue;
      entries_.splice(entries_.begin(), entries_, found->second);
      return entries_.front();
    }
  }

  void remember(const std::shared_ptr<Entry>& entry) {
    if (index_.count(entry->key)) return;  // made by a call inside the trace
    entries_.push_front(entry);
    index_[entry->key] = entries_.begin();
    if (entries_.size() > kMaxEntries) {
      index_.erase(entries_.back()->key);
      entries_.pop_back();
    }
  }

  // Runs f once on inputs without values. Arguments are fresh arrays; the state's own array objects
  // hold the tracers while f runs, and what they held before afterwards, whatever happens.
  std::shared_ptr<Entry> trace_entry(PyObject* f, const Tree& tree,
                                     const std::vector<Owned>& leaves, size_t n_args,
                                     const std::vector<Array>& inputs, const StateTree& state_in,
                                     const StateTree& state_out, PyObject* out_state) {
    auto entry = std::make_shared<Entry>();
    auto run = [&](std::span<const Array> tracers) {
      AcquireGil gil;
      struct Restore {  // also the thread's random key, which f may have advanced
        const StateTree &in, &out;
        ~Restore() {
          PyObject *type, *value, *traceback;
          PyErr_Fetch(&type, &value, &traceback);
          try {
            out.restore();
            in.restore();
          } catch (const PythonError&) {  // out of memory: nothing better can be done
          }
          PyErr_Restore(type, value, traceback);
        }
      } restore{state_in, state_out};

      std::vector<Owned> fresh = leaves;
      size_t next = 0;
      for (Owned& leaf : fresh)
        if (is_array(leaf.get())) leaf = checked(wrap(tracers[next++]));
      std::span<const Array> state_tracers = tracers.subspan(n_args);
      state_in.assign(state_tracers);
      StateTree before = StateTree::of(out_state);

      Owned built = tree.build(fresh);
      PyObject* keywords =
          PyTuple_GET_SIZE(built.get()) > 1 ? PyTuple_GET_ITEM(built.get(), 1) : nullptr;
      Owned result = checked(PyObject_Call(f, PyTuple_GET_ITEM(built.get(), 0), keywords));

      std::vector<Array> outputs;
      entry->out_leaves.clear();
      entry->out_tree = Tree::flatten(result.get(), entry->out_leaves);
      for (Owned& leaf : entry->out_leaves) {
        if (!is_array(leaf.get())) continue;
        outputs.push_back(array_of(leaf.get()));
        leaf = Owned();
      }
      entry->n_outputs = outputs.size();
      std::vector<Array> state_outputs;
      entry->state = StateUpdate::between(before, out_state, state_outputs);
      outputs.insert(outputs.end(), state_outputs.begin(), state_outputs.end());
      return outputs;
    };
    entry->compiled = trace(run, inputs, shapeless_);
    return entry;
  }

  bool shapeless_;
  std::list<std::shared_ptr<Entry>> entries_;
  std::unordered_map<std::string, std::list<std::shared_ptr<Entry>>::iterator> index_;
};

PyObject* compile(PyObject*, PyObject* args, PyObject* keywords) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"fun", "inputs", "outputs", "shapeless", nullptr};
    PyObject *f, *inputs = Py_None, *outputs = Py_None;
    int shapeless = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|OOp:compile", const_cast<char**>(names), &f,
                                     &inputs, &outputs, &shapeless))
      return nullptr;
    if (!PyCallable_Check(f))
      throw TypeError(cat("compile: `fun` must be callable, found ", type_name(f)));
    Owned objects = checked(PyTuple_Pack(3, f, inputs, outputs));
    return new_closure(std::make_unique<Compile>(shapeless != 0), objects.get());
  });
}

PyObject* disable_compile(PyObject*, PyObject*) {
  compile_enabled() = false;
  Py_RETURN_NONE;
}
PyObject* enable_compile(PyObject*, PyObject*) {
  compile_enabled() = true;
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"compile", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(compile)),
     METH_VARARGS | METH_KEYWORDS,
     "compile(fun, inputs=None, outputs=None, shapeless=False)\n--\n\n"
     "`fun` run once for each combination of shapes, dtypes and constants, then repeated without "
     "Python.\n\n"
     "Args:\n"
     "    fun: a function of trees of arrays and constants. Printing and other effects happen at "
     "the first run only.\n"
     "    inputs: a list, dict or module whose arrays `fun` reads besides its arguments, such as\n"
     "        [model.state, optimizer.state, random.state]. Arrays that are not listed keep the "
     "value of the first\n"
     "        run.\n"
     "    outputs: the same for what `fun` writes. An exception in `fun` leaves all of it as it "
     "was.\n"
     "    shapeless: whether other shapes of the same rank run without `fun`. If `fun` reads the "
     "sizes of an array\n"
     "        (`x.shape`, `x.size`, `len(x)`), it runs again for inputs that give that array other "
     "ones.\n"},
    {"disable_compile", disable_compile, METH_NOARGS,
     "disable_compile()\n--\n\nMakes compiled functions run directly. LEGATO_DISABLE_COMPILE=1 "
     "does so from the start."},
    {"enable_compile", enable_compile, METH_NOARGS,
     "enable_compile()\n--\n\nUndoes disable_compile()."},
    {},
};

}  // namespace

void init_compile(PyObject* module) { checked(PyModule_AddFunctions(module, functions)); }

}  // namespace legato::python
