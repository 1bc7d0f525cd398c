// What is compiled with the library (tools/cuda/precompile.cpp), and longer programs taken apart
// into such: for the time until they are compiled as one, and where there is no compiler.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "legato/fuse/program.h"

namespace legato::cuda {

/// A kernel that is embedded in the plugin: called program<number> in `image`.
struct Precompiled {
  uint64_t hash, key;  // structure_hash() and Variant::key()
  const char* image;
  int number, packs;
};
/// Sorted by hash and key; written by tools/cuda/precompile.
extern const Precompiled kPrecompiled[];
extern const int kPrecompiledCount;
/// Null if it was not compiled.
const Precompiled* find_precompiled(uint64_t hash, uint64_t key);

/// A program, taken apart. Values are numbered as the program's (inputs, literals, results), with
/// those of added casts behind them.
struct Part {
  std::shared_ptr<const fuse::Program> program;
  int src[3] = {0, 0, 0};
  int n_src = 0;
  int value = 0;                  // that it computes
  Dtype stored = Dtype::float32;  // as what it lies in memory
};
struct Parts {
  std::vector<Part> parts;
  std::vector<int> outputs;   // of each of the program's outputs the value, stored as it asks
  std::vector<int> last_use;  // of each value the last part that reads it; -1: none
};
/// Null if one of the parts was not compiled with the library.
std::unique_ptr<Parts> take_apart(const fuse::Program& program);

}  // namespace legato::cuda
