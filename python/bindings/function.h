// The generic trampoline: one Python callable type for every Function record.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "legato/op/function.h"
#include "python/bindings/common.h"

namespace legato::python {

/// How one parameter of a record is filled from a Python call. Made once, at import.
struct ParamPlan {
  enum class Kind : uint8_t { positional_only, any, keyword_only, variadic };
  PyObject* name;  // interned
  Kind kind;
  ParamSpec spec;
  bool has_default;
  Arg default_value;
  std::string default_text;  // as the record writes it
};

struct Plan {
  std::vector<ParamPlan> params;
  int n_positional = 0;  // leading parameters that may be given by position
  int variadic = -1;     // the parameter that is *args, if there is one
};

/// The callable. As a module's function it does not bind; as a method of array (see MethodType) it
/// does.
struct PyFunction {
  PyObject_HEAD vectorcallfunc vectorcall;
  const Function* record;
  const Plan* plan;
  const char* label;  // in messages: "sum" or "array.sum"
  int star = -1;      // the parameter that takes the remaining positional ints (x.reshape(2, 3))
  bool correction;    // takes `correction`, the array API standard's name of `ddof`
  PyObject* name;
  PyObject* module;
  PyObject* weakrefs;
};

extern PyTypeObject FunctionType;  // legato.core.sum
extern PyTypeObject MethodType;    // legato.core.array.sum: the same records, self first

/// The record called `name` ("sum", "random.normal"), or null.
const Function* find_record(std::string_view name);
/// Calls the record with converted arguments, all of them. For functions with one result.
Array call_function(std::string_view name, std::initializer_list<Arg> args);
Array call_record(const Function& f, std::span<Arg> args);

/// The vector that receives a record's results. Its memory is kept between calls of a thread.
class Results {
 public:
  Results() { arrays_.swap(spare()); }
  ~Results() {
    arrays_.clear();
    if (arrays_.capacity() <= 64) arrays_.swap(spare());
  }
  Results(const Results&) = delete;
  std::vector<Array>& arrays() { return arrays_; }

 private:
  static std::vector<Array>& spare() {
    thread_local std::vector<Array> vector;
    return vector;
  }
  std::vector<Array> arrays_;
};

/// The plan of the record; InternalError if its text does not fit its types.
const Plan& plan_of(const Function& f);

/// A new callable for `record`, as a function of `module` or as a method of array.
PyObject* new_function(const Function& record, PyObject* module, bool method);

/// Python's view of a parameter's type, for messages and stubs: "array", "int | Sequence[int]", ...
const char* type_text(const ParamSpec& spec);

}  // namespace legato::python
