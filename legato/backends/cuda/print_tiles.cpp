#include "legato/backends/cuda/print_tiles.h"

#include <algorithm>

#include "legato/base/error.h"

namespace legato::cuda {
namespace {

constexpr int kLines = kProgramThreads / kTileSide;  // that a block reads at once
constexpr int kTurns = kTileSide / kLines;
constexpr int kTurnBudget = 512;  // instructions of one pass over elements

// Elements behind each line in shared memory, so that neither those who write along lines nor those
// who read across them meet in a bank.
constexpr int64_t gap(int64_t bytes) { return bytes < 4 ? 4 / bytes : 1; }

}  // namespace

int64_t tile_bytes(int64_t bytes) { return kTileSide * (kTileSide + gap(bytes)) * bytes; }

std::string tile_fields(int n_strided) {
  return cat("  int64_t axes;\n  uint32_t size[8], magic[8], shift[8];\n  int32_t stride[",
             n_strided + 1, "][8], step[", n_strided + 1, "][2];\n  uint32_t cols, rows;\n");
}

// Elements are read one by one, by neighbouring threads: with as many of them on the way as a
// thread has, that is as fast as packs, and no address needs to be aligned.
std::string tile_kernel(const fuse::Program& program, const Variant& variant, const char* name,
                        int cost) {
  const int n_in = static_cast<int>(program.inputs.size()),
            n_out = static_cast<int>(program.outputs.size());
  auto type = [&](int i) { return device_type(program.inputs[static_cast<size_t>(i)]); };
  auto out_dtype = [&](int o) {
    return program.dtype_of_value(program.outputs[static_cast<size_t>(o)]);
  };
  auto turned = [&](int i) { return variant.access[i] == Access::turned; };
  auto scalar = [&](int i) { return variant.access[i] == Access::scalar; };
  int at_once = kTurns;
  while (at_once > 1 && at_once * cost > kTurnBudget) at_once /= 2;

  std::string t = cat("LEGATO_KERNEL(", name, ", Params, ", kProgramThreads, ") {\n");
  std::string declared = "  int32_t", step, last;
  int strided = 0, place[fuse::kMaxInputs] = {};
  for (int i = 0; i < n_in; ++i) {
    const std::string in = cat("((const ", type(i), "*)p.in[", i, "])");
    if (scalar(i)) {
      t += cat("  const ", type(i), " x", i, " = *", in, ";\n");
      continue;
    }
    place[i] = strided++;
    declared += cat(" a", i, " = 0,");
    step += cat(" a", i, " += (int32_t)x * p.stride[", place[i], "][k];");
    if (turned(i))
      t += cat("  __shared__ ", type(i), " t", i, "[", kTileSide, "][",
               kTileSide + gap(size_of(program.inputs[static_cast<size_t>(i)])), "];\n");
  }
  step += cat(" ao += (int32_t)x * p.stride[", strided, "][k];");
  t += cat(declared, " ao = 0;\n  uint32_t rest = blockIdx.x, col = 0, row = 0;\n",
           "#pragma unroll 1\n  for (int k = 0; k < (int)p.axes; ++k) {\n",
           "    const uint32_t next = k + 1 < (int)p.axes ? ((uint32_t)(((uint64_t)rest * "
           "p.magic[k]) >> 32) + rest) >> p.shift[k] : 0u;\n",
           "    const uint32_t x = rest - next * p.size[k];\n    rest = next;\n",
           "    if (k == 0) col = x;\n    if (k == 1) row = x;\n   ", step, "\n  }\n");
  for (const char* side : {"col", "row"})
    t += cat("  const int ", side, "s = (int)(p.", side, "s - ", side, " * ", kTileSide, ") < ",
             kTileSide, " ? (int)(p.", side, "s - ", side, " * ", kTileSide, ") : ", kTileSide,
             ";\n");
  t += cat("  const int at = (int)threadIdx.x % ", kTileSide, ", first = (int)threadIdx.x / ",
           kTileSide, ";\n");
  std::string loads, stores;
  for (int i = 0; i < n_in; ++i) {
    if (!turned(i)) continue;
    t += cat("  ", type(i), " v", i, "[", kTurns, "];\n");
    loads += cat("    v", i, "[k] = line < cols && at < rows ? ((const ", type(i), "*)p.in[", i,
                 "])[a", i, " + line * p.step[", place[i], "][0] + at] : ", type(i), "{};\n");
    stores += cat("    t", i, "[first + k * ", kLines, "][at] = v", i, "[k];\n");
  }
  const std::string turns = cat("#pragma unroll\n  for (int k = 0; k < ", kTurns, "; ++k) {\n");
  t += cat(turns, "    const int line = first + k * ", kLines, ";\n", loads, "  }\n", turns, stores,
           "  }\n  __syncthreads();\n");

  const std::string inner = cat(at_once > 1 ? "#pragma unroll\n" : "", "    for (int u = 0; u < ",
                                at_once, "; ++u) {\n      const int line = first + (from + u) * ",
                                kLines, ";\n      if (line >= rows || at >= cols) continue;\n");
  t += cat(at_once < kTurns ? "#pragma unroll 1\n" : "", "  for (int from = 0; from < ", kTurns,
           "; from += ", at_once, ") {\n");
  std::string straight, operands;
  for (int i = 0; i < n_in; ++i) {
    operands += turned(i)   ? cat(", t", i, "[at][line]")
                : scalar(i) ? cat(", x", i)
                            : cat(", x", i, "[u]");
    if (turned(i) || scalar(i)) continue;
    t += cat("    ", type(i), " x", i, "[", at_once, "];\n");
    straight += cat("      x", i, "[u] = ((const ", type(i), "*)p.in[", i, "])[a", i,
                    " + line * p.step[", place[i], "][1] + at * p.step[", place[i], "][0]];\n");
  }
  if (!straight.empty()) t += cat(inner, straight, "    }\n");
  t += inner;
  for (int o = 0; o < n_out; ++o)
    t += cat("      ", device_type(compute_dtype(out_dtype(o))), " y", o, ";\n");
  t += cat("      element(p", operands);
  for (int o = 0; o < n_out; ++o) t += cat(", y", o);
  t += ");\n";
  for (int o = 0; o < n_out; ++o)
    t += cat("      ((", device_type(out_dtype(o)), "*)p.out[", o, "])[ao + line * p.step[",
             strided, "][1] + at] = ", rounded(out_dtype(o), cat("y", o)), ";\n");
  return t + "    }\n  }\n}\n";
}

}  // namespace legato::cuda
