// Learning-rate schedules: functions from the number of steps done to a learning rate. Give one to
// an optimizer in place of a number: `optim::Adam(optim::cosine_decay(1e-3, 1000))`.
#pragma once

#include <vector>

#include "legato/transform/transform.h"  // which brings std::function, as it must

namespace legato::optim {

/// From a scalar array of steps done (uint64) to a scalar array.
using Schedule = std::function<Array(const Array& step)>;

/// init * decay_rate^step.
LEGATO_API Schedule exponential_decay(double init, double decay_rate);
/// init * decay_rate^floor(step / step_size). ValueError unless step_size is positive.
LEGATO_API Schedule step_decay(double init, double decay_rate, int64_t step_size);
/// From `init` to `end` along half a cosine, within `decay_steps`. ValueError unless these are
/// positive.
LEGATO_API Schedule cosine_decay(double init, int64_t decay_steps, double end = 0);
/// From `init` to `end` in equal steps, `steps` of them. ValueError unless these are positive.
LEGATO_API Schedule linear_schedule(double init, double end, int64_t steps);
/// One after the other, each beginning with its own step 0; `boundaries`: the steps at which the
/// second and each further one begins. ValueError if the numbers don't fit.
LEGATO_API Schedule join_schedules(std::vector<Schedule> schedules,
                                   std::vector<int64_t> boundaries);

/// A hyperparameter: a number, or a schedule.
class LEGATO_API Rate {
 public:
  Rate(double value) : value_(value) {}
  Rate(Schedule schedule) : schedule_(std::move(schedule)) {}
  const Schedule& schedule() const { return schedule_; }  // empty for a number
  double value() const { return value_; }

 private:
  double value_ = 0;
  Schedule schedule_;
};

}  // namespace legato::optim
