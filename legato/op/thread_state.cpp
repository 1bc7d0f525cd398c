#include "legato/op/thread_state.h"

#include <exception>

namespace legato {

ThreadStateHooks& thread_state_hooks() {
  static ThreadStateHooks hooks;
  return hooks;
}

RestoreOnException::RestoreOnException() : exceptions_(std::uncaught_exceptions()) {
  if (auto get = thread_state_hooks().get) before_ = get();
}

RestoreOnException::~RestoreOnException() {
  auto set = thread_state_hooks().set;
  if (set && std::uncaught_exceptions() > exceptions_) set(before_);
}

}  // namespace legato
