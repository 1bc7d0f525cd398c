// One matrix product on the CPU: how it is done, and its doing. Only for gemm.cpp.
#pragma once
#include <algorithm>
#include <atomic>
#include <type_traits>
#include <utility>

#include "legato/backends/cpu/caches.h"
#include "legato/backends/cpu/gemm_kernels.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/backends/cpu/tile.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {

// What a tile sums before it visits d. The same at every level and on every machine, because it
// decides how sums round.
inline constexpr int64_t kMaxDepth = 512;
inline constexpr int64_t kMaxHalfDepth = 1024;  // of 16-bit numbers
inline constexpr int64_t kBlockSteps = 2;       // such depths of a block
inline constexpr int64_t kMaxStrip = 256;       // rows
inline constexpr int64_t kMaxGroup = 512;       // columns
// Products below which waking a thread costs more than it brings (about 5 us of float32 work on one
// core).
inline constexpr double kParallelWork = 250e3;
inline constexpr double kTaskWork = 60e3;  // least products of a task

inline constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

struct GemmOperand {
  const char* p;
  int64_t row, col;
};

// One matrix product, computed in T.
template <class T>
struct GemmItem {
  int64_t m, n, k;
  GemmOperand a, b;
  StoreTarget<T> to;

  bool plain() const { return to.alpha == T(1) && to.beta == T(0) && to.hook.call == nullptr; }
  // d' = b' a' is the same product.
  void transpose() {
    std::swap(m, n);
    std::swap(a, b);
    std::swap(a.row, a.col);
    std::swap(b.row, b.col);
    std::swap(to.d_row, to.d_col);
    std::swap(to.e_row, to.e_col);
  }
};

template <class T>
class GemmEngine {
 public:
  GemmEngine(const TileKernels<T>& tiles, const Movers<T>& move, int64_t size)
      : tiles_(tiles), move_(move), size_(size), native_(size == static_cast<int64_t>(sizeof(T))) {}
  // By the tiles of `pairs`.
  GemmEngine(const PairKernels& pairs, const Movers<uint32_t>& words, const Movers<T>& move,
             int64_t size)
      : tiles_(pairs.tiles),
        move_(move),
        size_(size),
        native_(false),
        pairs_(&pairs),
        words_(&words) {}

  // How products of one shape and layout are done.
  enum class Way { zeros, dots, axpys, blocks };

  struct Plan {
    Way way = Way::blocks;
    bool transposed = false;
    int threads = 1;
    // Of blocks:
    int64_t depth;             // k of a step, which a tile sums in registers
    int64_t k, columns, rows;  // of a block
    int64_t vectors, width;    // of a panel
    int64_t group;             // panels whose step stays in the second-level cache
    int64_t strip;             // rows that pass by a group at a time
    bool direct;               // sums go straight to d
    bool at_once;              // a tile's sums are all there is to sum, and are stored from it
    bool shared_stage;         // sums of several blocks of k meet in a stage
    bool pack_a, pack_b;
    bool own_a, own_b;  // tasks pack what they read
  };

  Plan plan(const GemmItem<T>& item, int threads) const {
    Plan p;
    const double work = static_cast<double>(item.m) * item.n * item.k;
    if (work >= kParallelWork)
      p.threads = static_cast<int>(std::min<double>(threads, work / kTaskWork));
    if (item.k == 0) {
      p.way = Way::zeros;
      return p;
    }
    const bool may_transpose = item.to.hook.call == nullptr;  // a hook wants rows
    GemmItem<T> one = item;
    if (may_transpose && one.n == 1 && one.m > 1) {
      p.transposed = true;
      one.transpose();
    }
    if (one.b.row == 1 && one.m <= (move_.dots_by_pairs ? kMaxDotRows : 6)) {
      p.way = Way::dots;
    } else if (one.m == 1 && one.b.col == 1) {
      p.way = Way::axpys;
    } else {
      // x w' with few rows and much to sum: w stays as it is, its rows take the part of a, and only
      // x is packed. Writing d the other way round costs more than it saves where sums are short.
      const bool skinny = one.m <= 64 && one.m * 4 <= one.n && one.k >= 256;
      if (may_transpose && one.b.row == 1 && one.a.col == 1 && skinny) {
        p.transposed = !p.transposed;
        one.transpose();
      }
      plan_blocks(one, p);
    }
    return p;
  }

  void run(GemmItem<T> item, const Plan& p) const {
    if (p.transposed) item.transpose();
    switch (p.way) {
      case Way::zeros:
        return store_zeros(item);
      case Way::dots:
        return dots(item);
      case Way::axpys:
        return axpys(item);
      case Way::blocks:
        return blocks(item, p);
    }
  }

 private:
  static constexpr int64_t kMaxDotRows = 8;

  // Elements of a packed row of a, or rows of a packed panel of b, for k steps.
  int64_t packed(int64_t k) const { return pairs_ == nullptr ? k : divide_up(k, 2); }

  void pack_rows(const GemmOperand& a, int64_t i, int64_t k0, int64_t rows, int64_t k, T* to,
                 int64_t to_row) const {
    if constexpr (std::is_same_v<T, float>) {
      if (pairs_ != nullptr)
        return pairs_->load_rows(at(a, i, k0), a.row, a.col, rows, k, to, to_row, *words_);
    }
    move_.load(at(a, i, k0), a.row, a.col, rows, k, to, to_row);
  }
  void pack_columns(const GemmOperand& b, int64_t k0, int64_t j, int64_t k, int64_t cols, T* to,
                    int64_t to_row) const {
    if constexpr (std::is_same_v<T, float>) {
      if (pairs_ != nullptr)
        return pairs_->load_columns(at(b, k0, j), b.row, b.col, k, cols, to, to_row, *words_);
    }
    move_.load(at(b, k0, j), b.row, b.col, k, cols, to, to_row);
  }

  const char* at(const GemmOperand& x, int64_t i, int64_t j) const {
    return x.p + (i * x.row + j * x.col) * size_;
  }

  void store(const GemmItem<T>& item, const T* values, int64_t values_row, int64_t i, int64_t j,
             int64_t rows, int64_t cols) const {
    if constexpr (std::is_same_v<T, float>) {
      if (pairs_ != nullptr && item.plain() && item.to.d_col == 1)
        return pairs_->store(values, values_row, rows, cols,
                             static_cast<char*>(item.to.d) + (i * item.to.d_row + j) * size_,
                             item.to.d_row);
    }
    StoreTarget<T> to = item.to;
    to.d = static_cast<char*>(to.d) + (i * to.d_row + j * to.d_col) * size_;
    if (to.beta != T(0))
      to.e = static_cast<const char*>(to.e) + (i * to.e_row + j * to.e_col) * size_;
    to.i += i;
    to.j += j;
    move_.store(values, values_row, rows, cols, to);
  }

  void store_zeros(const GemmItem<T>& item) const {
    const T zeros[256] = {};
    for (int64_t j = 0; j < item.n; j += 256) {
      store(item, zeros, 0, 0, j, item.m, std::min<int64_t>(256, item.n - j));
    }
  }

  // Calls f(first, last) on shares of [0, n) whose borders are multiples of `grain`.
  template <class F>
  static void share(int64_t n, int64_t grain, double work, const F& f) {
    if (n == 0) return;
    int64_t tasks = 1;
    if (work >= kParallelWork) {
      tasks = std::clamp<int64_t>(static_cast<int64_t>(work / kTaskWork), 1, 4 * num_threads());
    }
    const int64_t each = round_up(divide_up(n, std::min(tasks, divide_up(n, grain))), grain);
    parallel_for(divide_up(n, each), [&](int64_t t) { f(t * each, std::min(n, (t + 1) * each)); });
  }

  static void copy_halves(const GemmItem<T>& item, uint16_t* to, int64_t to_row) {
    for (int64_t i = 0; i < item.m; ++i, to += to_row) {
      const uint16_t* from = reinterpret_cast<const uint16_t*>(item.a.p) + i * item.a.row;
      for (int64_t k = 0; k < item.k; ++k) to[k] = from[k * item.a.col];
      std::fill(to + item.k, to + to_row, uint16_t{0});
    }
  }
  static void order_pairs(T* a, int64_t m, int64_t k, int64_t a_row) {
    constexpr int64_t kHalf = kPairBlock / 2;
    for (int64_t i = 0; i < m; ++i, a += a_row) {
      std::fill(a + k, a + a_row, T(0));
      for (T* block = a; block != a + a_row; block += kPairBlock) {
        T even[kHalf];
        for (int64_t q = 0; q < kHalf; ++q) even[q] = block[2 * q];
        for (int64_t q = 0; q < kHalf; ++q) block[q] = block[2 * q + 1];
        std::copy_n(even, kHalf, block + kHalf);
      }
    }
  }
  void dot_columns(const T* a, [[maybe_unused]] const uint16_t* halves, int64_t a_row,
                   const GemmItem<T>& item, int64_t j, int64_t n, T* sums, int64_t sums_row) const {
    if constexpr (std::is_same_v<T, float>) {
      if (halves != nullptr)
        return pairs_->dots(halves, a_row, item.m, at(item.b, 0, j), item.b.col, n, item.k, sums,
                            sums_row);
    }
    move_.dots(a, a_row, item.m, at(item.b, 0, j), item.b.col, n, item.k, sums, sums_row);
  }

  // Rows of a against columns of b whose elements lie side by side.
  void dots(const GemmItem<T>& item) const {
    const T* a = reinterpret_cast<const T*>(item.a.p);
    int64_t a_row = item.a.row;
    const uint16_t* halves = nullptr;  // of a, for pairs_
    if (move_.dots_by_pairs) {
      a_row = round_up(item.k, kPairBlock);
      T* copy = scratch<T>(Scratch::gemm_vector, static_cast<size_t>(item.m * a_row));
      if (pairs_ != nullptr) {
        halves = reinterpret_cast<uint16_t*>(copy);
        copy_halves(item, reinterpret_cast<uint16_t*>(copy), a_row);
      } else {
        move_.load(item.a.p, item.a.row, item.a.col, item.m, item.k, copy, a_row);
        order_pairs(copy, item.m, item.k, a_row);
        a = copy;
      }
    } else if (!native_ || item.a.col != 1) {
      T* copy = scratch<T>(Scratch::gemm_vector, static_cast<size_t>(item.m * item.k));
      move_.load(item.a.p, item.a.row, item.a.col, item.m, item.k, copy, item.k);
      a = copy;
      a_row = item.k;
    }
    share(item.n, 16, static_cast<double>(item.m) * item.n * item.k, [&](int64_t j0, int64_t j1) {
      constexpr int64_t kChunk = 128;
      T sums[kMaxDotRows * kChunk];
      for (int64_t j = j0; j < j1; j += kChunk) {
        const int64_t n = std::min(kChunk, j1 - j);
        dot_columns(a, halves, a_row, item, j, n, sums, kChunk);
        store(item, sums, kChunk, 0, j, item.m, n);
      }
    });
  }

  // One row of a times a row-major b. Memory likes long runs: a task takes some whole rows of b, or
  // as much of them as sums stay in the first-level cache, and the sums of all tasks are added up
  // in order. The pieces depend on the shape alone, because they decide how sums round.
  void axpys(const GemmItem<T>& item) const {
    constexpr int64_t kColumns = 16384 / static_cast<int64_t>(sizeof(T)), kPieces = 8;
    const double work = static_cast<double>(item.n) * item.k;
    T* a = scratch<T>(Scratch::gemm_vector, static_cast<size_t>(item.k));
    move_.load(item.a.p, item.a.row, item.a.col, 1, item.k, a, item.k);
    const bool far = lies_in_memory(item.k * item.n * size_);
    const int64_t runs = divide_up(item.n, kColumns);
    const int64_t columns = round_up(divide_up(item.n, runs), 64);
    int64_t pieces = 1;
    if (work >= kParallelWork && runs < kPieces)
      pieces = std::clamp<int64_t>(divide_up(kPieces, runs), 1, divide_up(item.k, 64));
    const int64_t rows = round_up(divide_up(item.k, pieces), 8);
    pieces = divide_up(item.k, rows);
    const int64_t sums_row = round_up(item.n, 64);
    T* sums = scratch<T>(Scratch::gemm_stage, static_cast<size_t>(pieces * sums_row));
    const auto piece = [&](int64_t t) {
      const int64_t j = t % runs * columns, k0 = t / runs * rows;
      const int64_t n = std::min(columns, item.n - j);
      if (n <= 0) return;
      T* to = sums + t / runs * sums_row + j;
      std::fill_n(to, n, T(0));
      move_.axpys(a + k0, std::min(rows, item.k - k0), at(item.b, k0, j), item.b.row, n, to, far);
    };
    if (work < kParallelWork) {
      for (int64_t t = 0; t < runs * pieces; ++t) piece(t);
    } else {
      parallel_for(runs * pieces, piece);
    }
    if (pieces > 1) move_.add(sums + sums_row, sums_row, pieces - 1, item.n, sums);
    store(item, sums, sums_row, 0, 0, 1, item.n);
  }

  // ---- the blocked product
  //
  // The matrices are cut into blocks. Of a block, b is packed in panels as wide as a tile, and the
  // rows of a are copied side by side if they cannot be read as they lie: all threads do this
  // together, and once. Then each takes tiles of d, fewer at a time towards the end, and sums them
  // through all steps of the block's k, so that threads wait for each other twice a block. What
  // only one task reads is not packed ahead but by that task, and stays in its cache. The sums live
  // in d itself if its dtype and layout allow, else in a stage.

  void plan_blocks(const GemmItem<T>& item, Plan& p) const {
    const int64_t tile_rows = tiles_.rows;
    constexpr int64_t bytes = sizeof(T);
    // A tile of one vector loads as much as it multiplies: 4 are better cut into 2 and 2.
    p.vectors = tiles_.vectors == 3 && item.n == 4 * tiles_.lanes ? 2 : tiles_.vectors;
    p.width = p.vectors * tiles_.lanes;
    const int64_t width = p.width;
    const int64_t steps = divide_up(item.k, size_ == 2 ? kMaxHalfDepth : kMaxDepth);
    p.depth = steps == 1 ? item.k : round_up(divide_up(item.k, steps), 8);
    p.k = std::min(item.k, kBlockSteps * p.depth);
    p.direct = native_ && item.to.d_col == 1 && item.plain();
    p.at_once = pairs_ != nullptr && !p.direct && item.k == p.depth;
    p.shared_stage = !p.direct && item.k > p.k;

    const int64_t most = std::clamp<int64_t>(cpu_info().l3_bytes / 4, 1 << 20, 8 << 20) / bytes;
    p.columns = std::max(width, most / packed(p.k) / width * width);
    p.rows = std::max(tile_rows, most / packed(p.k) / tile_rows * tile_rows);
    if (p.shared_stage) {
      p.columns = std::min(p.columns, round_up(1024, width));
      p.rows = std::min(p.rows, round_up(1024, tile_rows));
    }
    p.columns = std::min(p.columns, item.n);
    p.rows = std::min(p.rows, item.m);

    p.pack_a = !native_ || item.a.col != 1;
    // Few rows do not pay for packing b, unless it is large and a panel's row is one line of a
    // cache (AVX2): read as it lies, that is a page a step, once for each tile of rows.
    const bool scattered = width * bytes <= 64 && item.n * item.k * bytes > 2 * cpu_info().l2_bytes;
    p.pack_b = !native_ || item.b.col != 1 ||
               (item.n * item.k > 4096 && item.m > (scattered ? 1 : 4) * tile_rows);

    // Half of the second-level cache is for a group's step, a quarter for the rows that pass by.
    const int64_t panels = divide_up(p.columns, width), tall = divide_up(p.rows, tile_rows);
    const int64_t row_bytes = packed(p.depth) * bytes, cache = cpu_info().l2_bytes;
    const int64_t most_rows = kMaxStrip / tile_rows * tile_rows;
    p.group = std::clamp<int64_t>(cache / 2 / (row_bytes * width), 1, kMaxGroup / width);
    p.strip = std::clamp(cache / 4 / row_bytes / tile_rows * tile_rows, tile_rows, most_rows);
    p.own_b = p.pack_b && item.m <= most_rows && (p.threads == 1 || panels >= 8 * p.threads);
    if (p.own_b) p.strip = most_rows;
    if (p.threads > 1) {
      const int64_t tasks = p.own_b ? panels / (8 * p.threads) : panels * tall / (16 * p.threads);
      p.group = std::clamp<int64_t>(tasks, 1, p.group);
    }
    p.group = divide_up(panels, divide_up(panels, p.group));
    p.own_a = p.pack_a && p.group == panels;
  }

  struct Block {
    int64_t i0, j0, k0, m, n, k;
    T* a;            // packed: rows of a step, step after step
    int64_t a_row;   // elements from row to row
    T* b;            // packed: panels of a step, step after step
    int64_t b_step;  // elements from step to step
    T* stage;
    int64_t stage_row;
    int64_t panels, first_packed;  // panels before that are read from b as it lies
    bool fresh;                    // b is not packed yet
  };

  void blocks(const GemmItem<T>& item, const Plan& p) const {
    Block block;
    const int64_t width = p.width, steps = divide_up(p.k, p.depth);
    block.stage_row = round_up(p.columns, tiles_.lanes);
    block.stage = p.shared_stage ? scratch<T>(Scratch::gemm_stage,
                                              static_cast<size_t>(p.rows * block.stage_row))
                                 : nullptr;
    block.b_step = packed(p.depth) * round_up(p.columns, width);
    block.b =
        p.own_b ? nullptr : scratch<T>(Scratch::gemm_b, static_cast<size_t>(block.b_step * steps));
    block.a_row = round_up(packed(p.depth), 16);
    if (block.a_row * static_cast<int64_t>(sizeof(T)) % 2048 == 0) block.a_row += 16;
    block.a = p.pack_a && !p.own_a
                  ? scratch<T>(Scratch::gemm_a, static_cast<size_t>(block.a_row * p.rows * steps))
                  : nullptr;
    for (block.j0 = 0; block.j0 < item.n; block.j0 += p.columns) {
      block.n = std::min(p.columns, item.n - block.j0);
      block.panels = divide_up(block.n, width);
      // Without packing only a last panel that is not made of whole vectors has to be.
      block.first_packed = p.pack_b                      ? 0
                           : block.n % tiles_.lanes == 0 ? block.panels
                                                         : block.panels - 1;
      // With a stage, which has room for one block of rows, all of k comes before the next rows.
      const int64_t rows_at_once = p.shared_stage ? p.rows : item.m;
      for (int64_t i = 0; i < item.m; i += rows_at_once) {
        for (block.k0 = 0; block.k0 < item.k; block.k0 += p.k) {
          block.k = std::min(p.k, item.k - block.k0);
          block.fresh = true;
          for (block.i0 = i; block.i0 < std::min(item.m, i + rows_at_once); block.i0 += p.rows) {
            block.m = std::min(p.rows, item.m - block.i0);
            run_block(item, p, block);
            block.fresh = false;
          }
        }
      }
    }
  }

  // Opens when all parts are done.
  class Gate {
   public:
    explicit Gate(int64_t parts) : left_(parts) {}
    void done() {
      if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_all();
    }
    void pass() {
      for (int i = 0; i < 1000; ++i) {
        if (left_.load(std::memory_order_acquire) == 0) return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      }
      for (int64_t left; (left = left_.load(std::memory_order_acquire)) != 0;) left_.wait(left);
    }

   private:
    std::atomic<int64_t> left_;
  };

  void run_block(const GemmItem<T>& item, const Plan& p, const Block& block) const {
    constexpr int64_t kPackRows = 32;
    const int64_t steps = divide_up(block.k, p.depth), fresh = block.panels - block.first_packed;
    const int64_t pack_panels = std::clamp<int64_t>(fresh * steps / (4 * p.threads), 1, 4);
    const int64_t b_parts = block.fresh && !p.own_b ? divide_up(fresh, pack_panels) * steps : 0;
    const int64_t a_parts = p.pack_a && !p.own_a ? divide_up(block.m, kPackRows) * steps : 0;
    // A unit is a row of tiles of a group, or all of a group that its task packs.
    const int64_t tall = divide_up(block.m, tiles_.rows), unit = p.own_b ? tall : 1;
    const int64_t end = divide_up(block.panels, p.group) * tall / unit;
    Gate gate(b_parts + a_parts);
    std::atomic<int64_t> next_part{0}, next{0};
    const auto work = [&](int64_t) {
      // Nothing in here throws, so that the gate opens.
      for (int64_t t; (t = next_part.fetch_add(1, std::memory_order_relaxed)) < b_parts + a_parts;
           gate.done()) {
        const int64_t step = t % steps;
        if (t < b_parts) {
          const int64_t q = block.first_packed + t / steps * pack_panels;
          this->pack_panels(item, p, block, q, std::min(block.panels, q + pack_panels), step,
                            block.b + step * block.b_step);
        } else {
          const int64_t i = (t - b_parts) / steps * kPackRows;
          pack_step_rows(item, p, block, i, std::min(block.m, i + kPackRows), step,
                         packed_row(block, step, i));
        }
      }
      gate.pass();
      for (int64_t at = next.load(std::memory_order_relaxed); at < end;) {
        const int64_t count =
            p.threads == 1 ? end : std::max<int64_t>(1, (end - at) / (3 * p.threads));
        if (!next.compare_exchange_weak(at, at + count, std::memory_order_relaxed)) continue;
        for (int64_t t = at * unit, last = std::min(end, at + count) * unit; t < last;) {
          const int64_t group = t / tall, r = t % tall;
          const int64_t rows = std::min({p.strip / tiles_.rows, tall - r, last - t});
          strip(item, p, block, r * tiles_.rows, std::min(block.m, (r + rows) * tiles_.rows),
                group * p.group, std::min(block.panels, (group + 1) * p.group));
          t += rows;
        }
        at = next.load(std::memory_order_relaxed);
      }
    };
    if (p.threads == 1)
      work(0);
    else
      parallel_for(p.threads, work);
  }

  T* packed_row(const Block& block, int64_t step, int64_t i) const {
    return block.a + (step * block.m + i) * block.a_row;
  }
  int64_t panel_vectors(const Plan& p, const Block& block, int64_t q) const {
    return std::min(p.vectors, divide_up(block.n - q * p.width, tiles_.lanes));
  }

  // A step of panels [q, q_end), of which `to` is where panel 0 begins or would begin.
  void pack_panels(const GemmItem<T>& item, const Plan& p, const Block& block, int64_t q,
                   int64_t q_end, int64_t step, T* to) const {
    const int64_t k0 = step * p.depth, k = std::min(p.depth, block.k - k0);
    // Side by side as far as a row of b reaches, which is how memory likes to be read: eight rows,
    // which may all belong to one set of the first-level cache, or more where they are converted.
    const int64_t rows = item.b.col != 1 ? k : native_ ? 8 : 32;
    for (int64_t r = 0; r < k; r += rows) {
      for (int64_t panel = q; panel < q_end; ++panel) {
        const int64_t j = panel * p.width, row = panel_vectors(p, block, panel) * tiles_.lanes;
        const int64_t cols = std::min(row, block.n - j), count = std::min(rows, k - r);
        T* at = to + j * packed(k) + packed(r) * row;
        if (cols < row) std::fill_n(at, packed(count) * row, T(0));
        pack_columns(item.b, block.k0 + k0 + r, block.j0 + j, count, cols, at, row);
      }
    }
  }
  void pack_step_rows(const GemmItem<T>& item, const Plan& p, const Block& block, int64_t i,
                      int64_t i_end, int64_t step, T* to) const {
    const int64_t k0 = step * p.depth;
    pack_rows(item.a, block.i0 + i, block.k0 + k0, i_end - i, std::min(p.depth, block.k - k0), to,
              block.a_row);
  }

  // Rows [i, i_end) of the block against panels [q, q_end).
  void strip(const GemmItem<T>& item, const Plan& p, const Block& block, int64_t i, int64_t i_end,
             int64_t q, int64_t q_end) const {
    const int64_t rows = i_end - i, width = p.width;
    const int64_t j = q * width, cols = std::min(q_end * width, block.n) - j;
    // Tiles of 4 and 4 rows rather than 6 and 2.
    int64_t height = divide_up(rows, divide_up(rows, tiles_.rows));
    if (tiles_.by_rows[height - 1][0] == nullptr) height = tiles_.rows;
    T* d = nullptr;
    int64_t d_row = 0;
    alignas(64) T tile[kMaxTileRows * kMaxTileVectors * 64 / sizeof(T)];
    if (p.at_once) {
      // each tile is stored
    } else if (p.direct) {
      d_row = item.to.d_row;
      d = static_cast<T*>(item.to.d) + (block.i0 + i) * d_row + block.j0 + j;
    } else if (p.shared_stage) {
      d_row = block.stage_row;
      d = block.stage + i * d_row + j;
    } else {
      d_row = round_up(cols, tiles_.lanes);
      d = scratch<T>(Scratch::gemm_stage, static_cast<size_t>(rows * d_row));
    }
    const T* a[kMaxStrip + kMaxTileRows];
    for (int64_t k0 = 0, step = 0; k0 < block.k; k0 += p.depth, ++step) {
      const int64_t k = std::min(p.depth, block.k - k0);
      const T* packed_a = nullptr;
      if (p.own_a) {
        T* own = scratch<T>(Scratch::gemm_a, static_cast<size_t>(block.a_row * rows));
        pack_step_rows(item, p, block, i, i_end, step, own);
        packed_a = own;
      } else if (p.pack_a) {
        packed_a = packed_row(block, step, i);
      }
      for (int64_t r = 0; r < rows; ++r) {
        a[r] = packed_a != nullptr
                   ? packed_a + r * block.a_row
                   : reinterpret_cast<const T*>(at(item.a, block.i0 + i + r, block.k0 + k0));
      }
      for (int64_t r = 0; r < tiles_.rows; ++r) a[rows + r] = a[rows - 1];
      const T* packed_b = block.b + step * block.b_step;
      if (p.own_b) {
        T* own = scratch<T>(Scratch::gemm_b,
                            static_cast<size_t>(packed(p.depth) * round_up(cols, width))) -
                 j * packed(k);
        pack_panels(item, p, block, q, q_end, step, own);
        packed_b = own;
      }
      for (int64_t panel = q; panel < q_end; ++panel) {
        const int64_t jp = panel * width, vectors = panel_vectors(p, block, panel);
        const bool is_packed = panel >= block.first_packed;
        const T* b = is_packed
                         ? packed_b + jp * packed(k)
                         : reinterpret_cast<const T*>(at(item.b, block.k0 + k0, block.j0 + jp));
        const int64_t b_row = is_packed ? vectors * tiles_.lanes : item.b.row;
        // A stage has whole vectors, d itself may end inside one.
        const int64_t whole = vectors * tiles_.lanes,
                      width_here = p.direct ? std::min(whole, block.n - jp) : whole;
        const Span span{0, 0, packed(k)};
        for (int64_t r = 0; r < rows; r += height) {
          const int64_t count = std::min(height, rows - r);
          T* to[kMaxTileRows];
          for (int64_t t = 0; t < count; ++t)
            to[t] = p.at_once ? tile + t * whole : d + (r + t) * d_row + (jp - j);
          run_tile(tiles_, a + r, b, b_row, &span, 1, to, count, static_cast<int>(vectors),
                   width_here, block.k0 + k0 != 0);
          if (p.at_once) {
            store(item, tile, whole, block.i0 + i + r, block.j0 + jp, count,
                  std::min(whole, block.n - jp));
          }
        }
      }
    }
    if (block.k0 + block.k == item.k && !p.direct && !p.at_once)
      store(item, d, d_row, block.i0 + i, block.j0 + j, rows, cols);
  }

  const TileKernels<T>& tiles_;
  const Movers<T>& move_;
  int64_t size_;  // bytes of an element in memory
  bool native_;   // memory holds T itself
  const PairKernels* pairs_ = nullptr;
  const Movers<uint32_t>* words_ = nullptr;  // if there are pairs
};

}  // namespace legato::cpu
