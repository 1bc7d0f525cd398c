// A row program as CUDA source.
#pragma once

#include <span>
#include <string>

#include "legato/backends/cuda/print.h"
#include "legato/runtime/row_call.h"

namespace legato::cuda {

/// How a row program is laid out.
struct RowForm {
  int pack = 1;                       // elements of a load
  int packs = 4;                      // loads of a thread, at most
  bool full = false;                  // every thread has as many
  int splits = 1;                     // Note [Threads of a row] in row_program.cuh
  bool in_warp = true;                // whether a row's threads are some of a warp
  std::vector<std::string> reducers;  // their types, in the order of the steps
  bool whole_rows = false;            // one of them goes by whole rows
};

/// Note [Parameters of a row program]: fields of 8 bytes
///   rows, packs (of a row), group
///   in[], stride[]     of what is read: address, elements from a row to the next
///   out[]              of what is stored
///   lit[][2]           literals of all programs, one behind the other
///   reduction[]        RowReduction (row_program.cuh)
///   pick[]             RowPick, likewise, for each step that picks
/// No text: the kernel would be too long.
Source print_rows(const RowCall& call, const RowForm& form);

/// The most values of whole rows that are in registers at once.
int live_rows(const RowCall& call);

}  // namespace legato::cuda
