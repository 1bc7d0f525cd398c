#include "legato/nn/schedules.h"

#include <numbers>

#include "legato/ops/pointwise/pointwise.h"

namespace legato::optim {
namespace {

void check_steps(const char* name, int64_t steps) {
  if (steps < 1) throw ValueError(cat(name, " is ", steps, "; expected 1 or more."));
}

}  // namespace

Schedule exponential_decay(double init, double decay_rate) {
  return [=](const Array& step) { return init * power(decay_rate, step); };
}

Schedule step_decay(double init, double decay_rate, int64_t step_size) {
  check_steps("step_decay: step_size", step_size);
  return [=](const Array& step) { return init * power(decay_rate, floor_divide(step, step_size)); };
}

Schedule cosine_decay(double init, int64_t decay_steps, double end) {
  check_steps("cosine_decay: decay_steps", decay_steps);
  return [=](const Array& step) {
    const double turn = std::numbers::pi / static_cast<double>(decay_steps);
    const Array share = 0.5 * (1.0 + cos(minimum(step, decay_steps) * turn));
    return end + share * (init - end);
  };
}

Schedule linear_schedule(double init, double end, int64_t steps) {
  check_steps("linear_schedule: steps", steps);
  return [=](const Array& step) {
    return minimum(step, steps) * ((end - init) / static_cast<double>(steps)) + init;
  };
}

Schedule join_schedules(std::vector<Schedule> schedules, std::vector<int64_t> boundaries) {
  if (schedules.empty() || boundaries.size() != schedules.size() - 1)
    throw ValueError(cat("join_schedules: ", schedules.size(), " schedules and ", boundaries.size(),
                         " boundaries; expected one boundary less."));
  return [=](const Array& step) {
    Array value = schedules[0](step);
    for (size_t i = 0; i < boundaries.size(); ++i) {
      // Steps are unsigned: keep them from wrapping below zero.
      const Array own_step = maximum(step, boundaries[i]) - boundaries[i];
      value = where(step < boundaries[i], value, schedules[i + 1](own_step));
    }
    return value;
  };
}

}  // namespace legato::optim
