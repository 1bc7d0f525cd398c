// A non-owning reference to something callable: two words, no allocation.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

namespace legato {

template <class Signature>
class FunctionRef;

/// Refers to a callable for the length of a call; it must outlive the FunctionRef. Cheap to copy.
/// Use it for parameters ("call this back before you return"), never for something kept.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> &&
             std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& f) noexcept  // NOLINT: implicit, so that a lambda can be passed as is
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

}  // namespace legato
