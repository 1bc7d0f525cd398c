#include "legato/backends/cpu/gemm.h"

#include <algorithm>
#include <type_traits>

#include "legato/backends/cpu/caches.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/backends/cpu/tile.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

constexpr int64_t kMaxBlockRows = 256;
// Steps of k between two visits to d. The same at every level and on every machine, because it
// decides how sums round.
constexpr int64_t kMaxDepth = 384;
constexpr int64_t kMaxHalfDepth = 768;  // of 16-bit numbers, whose sums must wait in a stage
// Products below which waking a thread costs more than it brings (about 5 us of float32 work on one
// core).
constexpr double kParallelWork = 250e3;
constexpr double kTaskWork = 60e3;  // least products of a task

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

struct Operand {
  const char* p;
  int64_t row, col;
};

// One matrix product, computed in T.
template <class T>
struct Item {
  int64_t m, n, k;
  Operand a, b;
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
class Engine {
 public:
  Engine(const TileKernels<T>& tiles, const Movers<T>& move, int64_t size)
      : tiles_(tiles), move_(move), size_(size), native_(size == static_cast<int64_t>(sizeof(T))) {}
  // By the tiles of `pairs`.
  Engine(const PairKernels& pairs, const Movers<uint32_t>& words, const Movers<T>& move,
         int64_t size)
      : tiles_(pairs.tiles),
        move_(move),
        size_(size),
        native_(false),
        pairs_(&pairs),
        words_(&words) {}

  void run(Item<T> item) const {
    if (item.m == 0 || item.n == 0) return;
    if (item.k == 0) return store_zeros(item);
    const bool may_transpose = item.to.hook.call == nullptr;  // a hook wants rows
    if (may_transpose && item.n == 1 && item.m > 1) item.transpose();
    if (item.b.row == 1 && item.m <= kMaxDotRows) return dots(item);
    if (item.m == 1 && item.b.col == 1) return axpys(item);
    // x w' with few rows and much to sum: w stays as it is, its rows take the part of a, and only x
    // is packed. Writing d the other way round costs more than it saves where sums are short.
    const bool skinny = item.m <= 64 && item.m * 4 <= item.n && item.k >= 256;
    if (may_transpose && item.b.row == 1 && item.a.col == 1 && skinny) item.transpose();
    blocks(item);
  }

 private:
  static constexpr int64_t kMaxDotRows = 6;

  // Elements of a packed row of a, or rows of a packed panel of b, for k steps.
  int64_t packed(int64_t k) const { return pairs_ == nullptr ? k : divide_up(k, 2); }

  void pack_rows(const Operand& a, int64_t i, int64_t k0, int64_t rows, int64_t k, T* to,
                 int64_t to_row) const {
    if constexpr (std::is_same_v<T, float>) {
      if (pairs_ != nullptr)
        return pairs_->load_rows(at(a, i, k0), a.row, a.col, rows, k, to, to_row, *words_);
    }
    move_.load(at(a, i, k0), a.row, a.col, rows, k, to, to_row);
  }
  void pack_columns(const Operand& b, int64_t k0, int64_t j, int64_t k, int64_t cols, T* to,
                    int64_t to_row) const {
    if constexpr (std::is_same_v<T, float>) {
      if (pairs_ != nullptr)
        return pairs_->load_columns(at(b, k0, j), b.row, b.col, k, cols, to, to_row, *words_);
    }
    move_.load(at(b, k0, j), b.row, b.col, k, cols, to, to_row);
  }

  const char* at(const Operand& x, int64_t i, int64_t j) const {
    return x.p + (i * x.row + j * x.col) * size_;
  }

  void store(const Item<T>& item, const T* values, int64_t values_row, int64_t i, int64_t j,
             int64_t rows, int64_t cols) const {
    StoreTarget<T> to = item.to;
    to.d = static_cast<char*>(to.d) + (i * to.d_row + j * to.d_col) * size_;
    if (to.beta != T(0))
      to.e = static_cast<const char*>(to.e) + (i * to.e_row + j * to.e_col) * size_;
    to.i += i;
    to.j += j;
    move_.store(values, values_row, rows, cols, to);
  }

  void store_zeros(const Item<T>& item) const {
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

  // Rows of a against columns of b whose elements lie side by side.
  void dots(const Item<T>& item) const {
    const T* a = reinterpret_cast<const T*>(item.a.p);
    int64_t a_row = item.a.row;
    if (!native_ || item.a.col != 1) {
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
        move_.dots(a, a_row, item.m, at(item.b, 0, j), item.b.col, n, item.k, sums, kChunk);
        store(item, sums, kChunk, 0, j, item.m, n);
      }
    });
  }

  // One row of a times a row-major b.
  void axpys(const Item<T>& item) const {
    T* a = scratch<T>(Scratch::gemm_vector, static_cast<size_t>(item.k));
    move_.load(item.a.p, item.a.row, item.a.col, 1, item.k, a, item.k);
    const bool far = lies_in_memory(item.k * item.n * size_);
    share(item.n, 64, static_cast<double>(item.n) * item.k, [&](int64_t j0, int64_t j1) {
      constexpr int64_t kChunk = 2048;  // sums that stay in the first-level cache
      T sums[kChunk];
      for (int64_t j = j0; j < j1; j += kChunk) {
        const int64_t n = std::min(kChunk, j1 - j);
        std::fill_n(sums, n, T(0));
        move_.axpys(a, item.k, at(item.b, 0, j), item.b.row, n, sums, far);
        store(item, sums, n, 0, j, 1, n);
      }
    });
  }

  // ---- the blocked product
  // ---------------------------------------------------------------------------------------- b is
  // cut into blocks of `depth` rows and packed in panels as wide as a tile; a task owns some rows
  // of d and some panels, packs its rows of a if they are not usable as they lie, and runs the
  // tiles. With more than one step of k the sums live in d itself if its dtype and layout allow,
  // else in a stage.

  struct Plan {
    int64_t depth;      // k of a block
    int64_t columns;    // n of a block, a multiple of the tile's width unless it is all of n
    int64_t rows;       // m of a block
    bool direct;        // sums go straight to d
    bool shared_stage;  // sums of several blocks of k meet in a stage
    int64_t row_blocks, column_blocks;  // tasks of a block
    int64_t task_rows, task_panels;
    bool pack_a, pack_b;
  };

  Plan plan(const Item<T>& item) const {
    const int64_t width = tiles_.width(), tile_rows = tiles_.rows;
    Plan p;
    const int64_t steps = divide_up(item.k, size_ == 2 ? kMaxHalfDepth : kMaxDepth);
    p.depth = steps == 1 ? item.k : round_up(divide_up(item.k, steps), 8);
    p.direct = native_ && item.to.d_col == 1 && item.plain();
    p.shared_stage = !p.direct && steps > 1;
    const int64_t block_bytes = std::clamp<int64_t>(cpu_info().l3_bytes / 8, 1 << 20, 4 << 20);
    p.columns = std::max(
        width, block_bytes / static_cast<int64_t>(sizeof(T)) / packed(p.depth) / width * width);
    if (p.shared_stage) p.columns = std::min(p.columns, round_up(1024, width));
    p.columns = std::min(p.columns, item.n);
    p.rows = p.shared_stage ? std::min<int64_t>(item.m, 1024) : item.m;

    const int64_t panels = divide_up(p.columns, width);
    const int64_t row_bytes = packed(p.depth) * static_cast<int64_t>(sizeof(T));
    p.task_rows =
        std::clamp(cpu_info().l2_bytes / 2 / row_bytes, tile_rows, kMaxBlockRows - tile_rows);
    p.row_blocks = divide_up(p.rows, p.task_rows);
    p.column_blocks = 1;
    const double work = static_cast<double>(p.rows) * p.columns * p.depth;
    if (const int threads = num_threads(); threads > 1 && work >= kParallelWork) {
      const int64_t tasks =
          std::clamp<int64_t>(static_cast<int64_t>(work / kTaskWork), 1, 4 * threads);
      p.column_blocks =
          std::clamp<int64_t>(divide_up(tasks, p.row_blocks), 1, std::max<int64_t>(1, panels / 4));
      if (p.row_blocks * p.column_blocks < tasks) {
        p.row_blocks =
            std::clamp<int64_t>(divide_up(tasks, p.column_blocks), p.row_blocks,
                                std::max(p.row_blocks, divide_up(p.rows, 2 * tile_rows)));
      }
    }
    if (!p.direct && !p.shared_stage) {  // the stage of a task is its own
      p.column_blocks = std::max(p.column_blocks, divide_up(p.columns, 512));
    }
    p.task_rows = round_up(divide_up(p.rows, p.row_blocks), tile_rows);
    p.row_blocks = divide_up(p.rows, p.task_rows);
    p.task_panels = divide_up(panels, p.column_blocks);
    p.column_blocks = divide_up(panels, p.task_panels);

    // Packing a row costs about as much as a quarter of a panel's products with it; rows whose
    // distance is a multiple of the page compete for the same lines of the first-level cache.
    const bool usable_a = native_ && item.a.col == 1;
    const bool clashing = item.a.row * static_cast<int64_t>(sizeof(T)) % 2048 == 0;
    p.pack_a = !usable_a || (item.k > 32 && p.task_panels > (clashing ? 3 : 8));
    const bool usable_b = native_ && item.b.col == 1;
    p.pack_b = !usable_b || (item.m > 4 * tile_rows && item.n * item.k > 4096);
    return p;
  }

  void blocks(const Item<T>& item) const {
    const Plan p = plan(item);
    const int64_t width = tiles_.width();
    const int64_t stage_row = round_up(p.columns, tiles_.lanes);
    T* stage = nullptr;
    if (p.shared_stage)
      stage = scratch<T>(Scratch::gemm_stage, static_cast<size_t>(p.rows * stage_row));
    T* packed_b = scratch<T>(Scratch::gemm_b,
                             static_cast<size_t>(packed(p.depth) * round_up(p.columns, width)));
    for (int64_t j0 = 0; j0 < item.n; j0 += p.columns) {
      const int64_t n = std::min(p.columns, item.n - j0), panels = divide_up(n, width);
      for (int64_t i0 = 0; i0 < item.m; i0 += p.rows) {
        const int64_t m = std::min(p.rows, item.m - i0);
        for (int64_t k0 = 0; k0 < item.k; k0 += p.depth) {
          const int64_t k = std::min(p.depth, item.k - k0);
          const Block block{i0, j0, k0, m, n, k, packed_b, stage, stage_row};
          // Without packing only a last panel that is not made of whole vectors has to be.
          const int64_t first = p.pack_b ? 0 : n % tiles_.lanes == 0 ? panels : panels - 1;
          share(panels - first, 2, static_cast<double>(k) * width * (panels - first) * 8,
                [&](int64_t q0, int64_t q1) {
                  for (int64_t q = first + q0; q < first + q1; ++q) pack_panel(item, block, q);
                });
          parallel_for(divide_up(m, p.task_rows) * p.column_blocks, [&](int64_t t) {
            const int64_t i = t / p.column_blocks * p.task_rows,
                          q = t % p.column_blocks * p.task_panels;
            const int64_t q_end = std::min(panels, q + p.task_panels);
            if (q < q_end) task(item, p, block, i, std::min(m, i + p.task_rows), q, q_end, first);
          });
        }
      }
    }
  }

  struct Block {
    int64_t i0, j0, k0, m, n, k;
    T* packed_b;
    T* stage;
    int64_t stage_row;
  };

  int64_t panel_vectors(const Block& block, int64_t q) const {
    return std::min<int64_t>(tiles_.vectors, divide_up(block.n - q * tiles_.width(), tiles_.lanes));
  }

  void pack_panel(const Item<T>& item, const Block& block, int64_t q) const {
    const int64_t j = q * tiles_.width(), row = panel_vectors(block, q) * tiles_.lanes;
    const int64_t cols = std::min(row, block.n - j);
    T* panel = block.packed_b + j * packed(block.k);
    if (cols < row) std::fill_n(panel, packed(block.k) * row, T(0));
    pack_columns(item.b, block.k0, block.j0 + j, block.k, cols, panel, row);
  }

  // Rows [i, i_end) of the block against panels [q, q_end).
  void task(const Item<T>& item, const Plan& p, const Block& block, int64_t i, int64_t i_end,
            int64_t q, int64_t q_end, int64_t first_packed) const {
    const int64_t rows = i_end - i, width = tiles_.width();
    const bool first = block.k0 == 0, last = block.k0 + block.k == item.k;
    const T* a[kMaxBlockRows + kMaxTileRows];
    if (p.pack_a) {
      const int64_t a_row = round_up(packed(block.k), 16);
      T* copy = scratch<T>(Scratch::gemm_a, static_cast<size_t>(rows * a_row));
      pack_rows(item.a, block.i0 + i, block.k0, rows, block.k, copy, a_row);
      for (int64_t r = 0; r < rows; ++r) a[r] = copy + r * a_row;
    } else {
      for (int64_t r = 0; r < rows; ++r)
        a[r] = reinterpret_cast<const T*>(at(item.a, block.i0 + i + r, block.k0));
    }
    for (int64_t r = 0; r < tiles_.rows; ++r) a[rows + r] = a[rows - 1];

    const int64_t j = q * width, cols = std::min(q_end * width, block.n) - j;
    T* d;
    int64_t d_row;
    if (p.direct) {
      d_row = item.to.d_row;
      d = static_cast<T*>(item.to.d) + (block.i0 + i) * d_row + block.j0 + j;
    } else if (p.shared_stage) {
      d_row = block.stage_row;
      d = block.stage + i * d_row + j;
    } else {
      d_row = round_up(cols, tiles_.lanes);
      d = scratch<T>(Scratch::gemm_stage, static_cast<size_t>(rows * d_row));
    }
    for (int64_t panel = q; panel < q_end; ++panel) {
      const int64_t jp = panel * width, vectors = panel_vectors(block, panel);
      const bool is_packed = panel >= first_packed;
      const T* b = is_packed ? block.packed_b + jp * packed(block.k)
                             : reinterpret_cast<const T*>(at(item.b, block.k0, block.j0 + jp));
      const int64_t b_row = is_packed ? vectors * tiles_.lanes : item.b.row;
      // A stage has whole vectors, d itself may end inside one.
      const int64_t whole = vectors * tiles_.lanes,
                    width_here = p.direct ? std::min(whole, block.n - jp) : whole;
      const Span span{0, 0, packed(block.k)};
      for (int64_t r = 0; r < rows; r += tiles_.rows) {
        const int64_t count = std::min<int64_t>(tiles_.rows, rows - r);
        T* to[kMaxTileRows];
        for (int64_t t = 0; t < count; ++t) to[t] = d + (r + t) * d_row + (jp - j);
        run_tile(tiles_, a + r, b, b_row, &span, 1, to, count, static_cast<int>(vectors),
                 width_here, !first);
      }
    }
    if (last && !p.direct) store(item, d, d_row, block.i0 + i, block.j0 + j, rows, cols);
  }

  const TileKernels<T>& tiles_;
  const Movers<T>& move_;
  int64_t size_;  // bytes of an element in memory
  bool native_;   // memory holds T itself
  const PairKernels* pairs_ = nullptr;
  const Movers<uint32_t>* words_ = nullptr;  // if there are pairs
};

// A batch whose matrices of a and d follow one another and share b is one taller matrix.
bool fold_batch(Gemm& g, int64_t size, int64_t a_step, int64_t b_step, int64_t d_step,
                int64_t e_step) {
  if (b_step != 0 || g.hook.call != nullptr) return false;
  if (g.m == 1) {
    g.a_row = a_step;
    g.d_row = d_step;
    g.e_row = e_step;
  } else if (a_step != g.m * g.a_row || d_step != g.m * g.d_row ||
             (g.beta != 0 && e_step != g.m * g.e_row)) {
    return false;
  }
  g.m *= size;
  return true;
}

template <class T>
void run_batch(const Gemm& given, const Engine<T>& engine, int64_t size) {
  constexpr int kMaxRank = 32;
  if (given.batch_rank > kMaxRank)
    throw ValueError(cat("gemm: more than ", kMaxRank, " batch axes."));
  Gemm g = given;
  struct Axis {
    int64_t size, a, b, d, e;
  } axes[kMaxRank];
  int rank = 0;
  int64_t count = 1;
  for (int i = 0; i < g.batch_rank; ++i) {
    const Axis axis{g.batch_sizes[i], g.a_batch[i], g.b_batch[i], g.d_batch[i],
                    g.e_batch ? g.e_batch[i] : 0};
    count *= axis.size;
    if (axis.size != 1) axes[rank++] = axis;
  }
  if (count == 0 || g.m == 0 || g.n == 0) return;
  while (rank > 0) {
    const Axis& inner = axes[rank - 1];
    if (!fold_batch(g, inner.size, inner.a, inner.b, inner.d, inner.e)) break;
    count /= inner.size;
    --rank;
  }

  Item<T> item;
  item.m = g.m;
  item.n = g.n;
  item.k = g.k;
  item.a = {static_cast<const char*>(g.a), g.a_row, g.a_col};
  item.b = {static_cast<const char*>(g.b), g.b_row, g.b_col};
  item.to = {g.d, g.d_row, g.d_col, g.e, g.e_row, g.e_col, T(g.alpha), T(g.beta), {}, 0, 0};
  if constexpr (std::is_integral_v<T>) {  // a negative double has no unsigned value
    item.to.alpha = static_cast<T>(static_cast<int64_t>(g.alpha));
    item.to.beta = static_cast<T>(static_cast<int64_t>(g.beta));
  }
  if constexpr (std::is_same_v<T, float>) item.to.hook = g.hook;
  if (count == 1) return engine.run(item);

  const auto run_one = [&](int64_t index) {
    Item<T> one = item;
    int64_t a = 0, b = 0, d = 0, e = 0;
    for (int i = rank - 1; i >= 0; --i) {
      const int64_t at = index % axes[i].size;
      index /= axes[i].size;
      a += at * axes[i].a;
      b += at * axes[i].b;
      d += at * axes[i].d;
      e += at * axes[i].e;
    }
    one.a.p += a * size;
    one.b.p += b * size;
    one.to.d = static_cast<char*>(one.to.d) + d * size;
    if (one.to.beta != T(0)) one.to.e = static_cast<const char*>(one.to.e) + e * size;
    engine.run(one);
  };
  const double work = static_cast<double>(g.m) * g.n * std::max<int64_t>(g.k, 1);
  const int threads = num_threads();
  if (work * count < kParallelWork || threads == 1 ||
      (count < 2 * threads && work >= kParallelWork)) {
    for (int64_t index = 0; index < count; ++index)
      run_one(index);  // each splits itself if it is large
  } else {
    const int64_t tasks = std::clamp<int64_t>(static_cast<int64_t>(work * count / kTaskWork), 1,
                                              std::min<int64_t>(count, 8 * threads));
    parallel_for(tasks, [&](int64_t t) {
      for (int64_t i = count * t / tasks; i < count * (t + 1) / tasks; ++i) run_one(i);
    });
  }
}

// (ar + i ai)(br + i bi) in four real products on views of every other element.
void run_complex(const Gemm& g, SimdLevel level) {
  constexpr int kMaxRank = 32;
  if (g.batch_rank > kMaxRank) throw ValueError(cat("gemm: more than ", kMaxRank, " batch axes."));
  Gemm real = g;
  real.dtype = real_part(g.dtype);
  const int64_t half = size_of(real.dtype);
  int64_t a_batch[kMaxRank], b_batch[kMaxRank], d_batch[kMaxRank], e_batch[kMaxRank];
  for (int i = 0; i < g.batch_rank; ++i) {
    a_batch[i] = 2 * g.a_batch[i];
    b_batch[i] = 2 * g.b_batch[i];
    d_batch[i] = 2 * g.d_batch[i];
    e_batch[i] = g.e_batch ? 2 * g.e_batch[i] : 0;
  }
  for (int64_t* stride : {&real.a_row, &real.a_col, &real.b_row, &real.b_col, &real.d_row,
                          &real.d_col, &real.e_row, &real.e_col}) {
    *stride *= 2;
  }
  real.a_batch = a_batch;
  real.b_batch = b_batch;
  real.d_batch = d_batch;
  const auto product = [&](int a_part, int b_part, int d_part, double alpha, bool first) {
    Gemm one = real;
    one.a = static_cast<const char*>(g.a) + a_part * half;
    one.b = static_cast<const char*>(g.b) + b_part * half;
    one.d = static_cast<char*>(g.d) + d_part * half;
    one.alpha = alpha;
    if (first) {
      one.e = g.beta != 0 ? static_cast<const char*>(g.e) + d_part * half : nullptr;
      one.e_batch = e_batch;
    } else {
      one.beta = 1;
      one.e = one.d;
      one.e_row = one.d_row;
      one.e_col = one.d_col;
      one.e_batch = d_batch;
    }
    gemm(one, level);
  };
  product(0, 0, 0, g.alpha, true);
  product(1, 1, 0, -g.alpha, false);
  product(0, 1, 1, g.alpha, true);
  product(1, 0, 1, g.alpha, false);
}

template <class... Fill>
GemmKernels table_of(Fill... fill) {
  GemmKernels table;
  (fill(table), ...);
  return table;
}

}  // namespace

// A table is made when its level is first asked for: the code that fills it is compiled for that
// level.
const GemmKernels& gemm_kernels(SimdLevel level) {
#if LEGATO_HAS_X86_LEVELS
  if (level == SimdLevel::avx512) {
    static const GemmKernels table = table_of(avx512::fill_tiles_float, avx512::fill_tiles_other,
                                              avx512::fill_movers, avx512::fill_depthwise);
    return table;
  }
  if (level == SimdLevel::avx2) {
    static const GemmKernels table = table_of(avx2::fill_tiles_float, avx2::fill_tiles_other,
                                              avx2::fill_movers, avx2::fill_depthwise);
    return table;
  }
#endif
  static_cast<void>(level);
  static const GemmKernels table = table_of(base::fill_tiles_float, base::fill_tiles_other,
                                            base::fill_movers, base::fill_depthwise);
  return table;
}

// Null where there is no VDPBF16PS.
static const PairKernels* bf16_pairs([[maybe_unused]] SimdLevel level) {
#if LEGATO_HAS_X86_LEVELS
  if (level == SimdLevel::avx512 && cpu_info().avx512_bf16) {
    static const PairKernels table = [] {
      PairKernels t;
      avx512bf16::fill_pairs(t);
      return t;
    }();
    return &table;
  }
#endif
  return nullptr;
}

void gemm(const Gemm& g, SimdLevel level) {
  const GemmKernels& kernels = gemm_kernels(level);
  visit_dtype(g.dtype, [&]<class E>(TypeTag<E>) {
    constexpr int64_t size = sizeof(E);
    if constexpr (std::is_same_v<E, bool>) {
      throw InternalError("gemm: bool has no matrix product here.");
    } else if constexpr (std::is_same_v<E, float>) {
      run_batch<float>(g, {kernels.f32, kernels.f32_f32, size}, size);
    } else if constexpr (std::is_same_v<E, float16_t>) {
      run_batch<float>(g, {kernels.f32, kernels.f32_f16, size}, size);
    } else if constexpr (std::is_same_v<E, bfloat16_t>) {
      if (const PairKernels* pairs = bf16_pairs(level))
        return run_batch<float>(g, {*pairs, kernels.u32_u32, kernels.f32_bf16, size}, size);
      run_batch<float>(g, {kernels.f32, kernels.f32_bf16, size}, size);
    } else if constexpr (std::is_same_v<E, double>) {
      run_batch<double>(g, {kernels.f64, kernels.f64_f64, size}, size);
    } else if constexpr (std::is_same_v<E, complex64_t> || std::is_same_v<E, complex128_t>) {
      run_complex(g, level);
    } else if constexpr (size == 1) {
      run_batch<uint32_t>(g, {kernels.u32, kernels.u32_u8, size}, size);
    } else if constexpr (size == 2) {
      run_batch<uint32_t>(g, {kernels.u32, kernels.u32_u16, size}, size);
    } else if constexpr (size == 4) {
      run_batch<uint32_t>(g, {kernels.u32, kernels.u32_u32, size}, size);
    } else {
      run_batch<uint64_t>(g, {kernels.u64, kernels.u64_u64, size}, size);
    }
  });
}

void gemm(const Gemm& g) { gemm(g, simd_level()); }

}  // namespace legato::cpu
