#include "legato/nn/sequential.h"

namespace legato::nn {

Array Sequential::operator()(const Array& input) {
  Array x = input;
  for (AnyLayer& layer : layers) x = layer(x);
  return x;
}

void Sequential::wrong_layer(size_t index) const {
  throw ValueError(cat("Sequential::at: there is no layer of the type asked for at ", index,
                       "; the module has ", layers.size(), " layers."));
}

}  // namespace legato::nn
