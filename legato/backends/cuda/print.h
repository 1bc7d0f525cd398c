// A fused program as CUDA source.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "legato/fuse/program.h"

namespace legato::cuda {

inline constexpr int kProgramThreads = 256;  // of a block
inline constexpr int kProgramAxes = 8;       // that a kernel walks; the host walks others

/// How a kernel reads an operand.
enum class Access : uint8_t {
  scalar,  // one element, read once
  dense,   // in the order of the output, packs of elements at once
  row,     // consecutive along the innermost axis: packs
  splat,   // constant along the innermost axis
  gather,  // element by element, which lie at one stride
  turned,  // through shared memory: consecutive along another axis than the result
  // Of reductions, whose packs go by the layout that the program's result would have:
  each,    // element by element, wherever they lie
  single,  // in the order of the result, element by element
};
inline bool is_strided(Access a) { return a > Access::dense && a != Access::single; }

/// What the source of a program depends on beside the program itself. Sizes, strides and the number
/// of axes are parameters.
struct Variant {
  int pack = 1;        // elements that a thread computes side by side
  bool wide = false;   // 64-bit positions
  bool tiled = false;  // by tiles of the result (print_tiles.h); packs of one, narrow
  Access access[fuse::kMaxInputs] = {};
  // Note [Many calls]
  int room = -1;  // which of kRooms; -1: for one call
  bool same_literals = false;

  bool strided(int n_in) const;
  /// The one that any call can be run by: element by element, by 64-bit strides.
  static Variant general(int n_in);
  /// All of it in one number.
  uint64_t key(int n_in) const;
  /// "DDS 4": for people.
  std::string text(int n_in) const;
};

/// Note [Parameters of a program]: the kernel `program` has one parameter, a struct of 8-byte
/// fields
///   in[], out[]                addresses
///   lit[][2]                   literals, 16 bytes each
///   n                          elements
/// and, if an operand is read by its strides, innermost axis first,
///   axes                       how many there are
///   narrow: size[8], magic[8], shift[8] (32 bits each), stride[][8] (32 bits each)
///   wide:   size[8], stride[][8]
/// In tiles, n and what follows it are other fields (Note [Parameters of tiles]).
/// A block of kProgramThreads threads computes kProgramThreads * packs * pack elements, or, if that
/// is enough for the grid to cover them all, kProgramThreads * pack.
struct Source {
  bool language = false;  // it calls functions of the scalar language
  std::string text;       // in a namespace of its name; what begins it is prelude()
  int packs = 1;          // that a thread has in flight
  // What stands around the program: what begins the text contains more than the program needs.
  enum class Around : uint8_t { nothing, reduction, rows };
  Around around = Around::nothing;
};
Source print_program(const fuse::Program& program, const Variant& variant,
                     const char* name = "program");

/// Note [Many calls]: calls of one program that do not depend on each other are one launch. Each is
/// the kernel above in blocks of its own; the one parameter is
///   count                      calls
///   lit[][2]                   literals, if those of all calls are the same
///   call[]                     of each call, what it would have as its parameter, without `lit`
///   first[]                    of each call its first block, 32 bits
/// with room for as many calls as fit into one of kRooms: bytes that a launch may hand over. From
/// CUDA 12.1 on they are 32,764, before that 4,096.
inline constexpr int kRooms[] = {4096, 8192, 16384, 32760};
inline constexpr int kRoomCount = 4;
struct ManyLayout {  // in words of 8 bytes
  int first_call;    // where call[] begins
  int call_words;    // of one
  int calls;         // that there is room for
};
ManyLayout layout_of_many(const fuse::Program& program, const Variant& variant);
/// What stands in front of a program.
const char* prelude(bool language);
std::string prelude(const Source& source);

/// The function that computes one element,
///   void <name>(const <params>& p, const X0& x0, ..., Y0& o0, ...)
/// of elements as they are stored; results may be asked for as `registers` hold them, halves
/// unrounded. Its literals are p.lit[first_literal], ...
struct Element {
  std::string text;
  bool language = false;  // see Source
  int cost = 0;           // instructions, about
  uint32_t rare = 0;      // which of rare_functions() it calls
};
Element print_element(const fuse::Program& program, const char* name, int first_literal,
                      const char* params = "Params", bool registers = false);
/// Whether it is printed from lane instructions, and not as calls of the scalar language.
bool is_lowered(const fuse::Program& program);
std::string rare_functions(uint32_t which);
/// The fields of Note [Parameters of a program].
std::string print_fields(const fuse::Program& program, const Variant& variant);

/// A number that differs where the structure of programs does.
uint64_t structure_hash(const fuse::Program& program);

/// fn of operands that are stored as `inputs`, in compute dtype `compute`, its result stored as
/// `result`. `form`: see fuse::Instr.
std::unique_ptr<fuse::Program> single_program(fuse::FnId fn, Dtype compute, Dtype result,
                                              std::span<const Dtype> inputs,
                                              Dtype form = Dtype::float32);
/// The C++ name of a dtype's elements in kernels: "float", "bf16", "c64".
const char* device_type(Dtype t);
/// A register as it is stored.
std::string rounded(Dtype stored, const std::string& value);

/// q = n / d for n < 2^31 is (high word of n * magic + n) >> shift.
struct Magic {
  uint32_t magic, shift;
};
Magic division_by(uint32_t d);

}  // namespace legato::cuda
