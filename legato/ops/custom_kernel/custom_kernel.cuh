// What host and device agree on for filling outputs before a user's kernel runs.
#pragma once

namespace legato::cuda {

struct FillParams {
  void* to;
  long long n;
  alignas(16) unsigned long long value[2];  // the element's bytes
};

}  // namespace legato::cuda
