// Weight gradient of convolutions: dw[f, t, c] = sum over images and positions of dy[n, o, f] *
// x[n, index(o, t), c].
//
// k runs over positions. Where channels (or features) come in whole vectors both operands are read
// where they lie: for a tap, the positions it reaches form runs of constant distance in x and dy.
// Otherwise (the first layer of a network) the taps of some hundred positions at a time are copied
// side by side.
//
// Positions are cut into chunks that fit the second-level cache and are summed up chunk after
// chunk; segments of chunks go to partial sums that are added in order at the end. Both cuts depend
// on the shape alone.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "legato/backends/cpu/conv.h"
#include "legato/backends/cpu/conv_plan.h"
#include "legato/backends/cpu/gemm.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

constexpr double kParallelWork = 250e3;        // products below which a thread is not worth waking
constexpr int64_t kChunkBytes = 64 << 10;      // of x and dy in a chunk
constexpr int64_t kMaxPartialBytes = 8 << 20;  // of all partial sums, unless one alone is larger
constexpr int64_t kSegmentPositions = 1024;    // least positions of a segment

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
constexpr int64_t gcd(int64_t a, int64_t b) { return b == 0 ? a : gcd(b, a % b); }

// Positions of an axis that a tap reaches: o = o_first + i * o_step reads index_first + i *
// index_step, i < count.
struct Reach {
  int64_t o_first, o_step, index_first, index_step, count;
};

Reach reach_of(const ConvAxis& axis, int64_t tap) {
  Reach r{0, axis.dilation / gcd(axis.step, axis.dilation), 0,
          axis.step / gcd(axis.step, axis.dilation), 0};
  for (int64_t o = 0; o < axis.out; ++o) {
    const int64_t index = axis.index(o, tap);
    if (index < 0) continue;
    if (r.count++ == 0) {
      r.o_first = o;
      r.index_first = index;
    }
  }
  return r;
}

// Some images, or a band of rows (of the first axis longer than 1) of one image.
struct Chunk {
  int64_t image, image_end, band, band_end;
};

template <class T>
class WeightGradient {
 public:
  WeightGradient(const Conv& c, const TileKernels<T>& tiles, const DepthwiseKernels<T>& depthwise,
                 const Movers<T>& move, int64_t size)
      : c_(c),
        tiles_(tiles),
        depthwise_kernels_(depthwise),
        move_(move),
        size_(size),
        native_(size == static_cast<int64_t>(sizeof(T))),
        taps_(c.kernel[0] * c.kernel[1] * c.kernel[2]) {
    // Depthwise: one group of channels that do not mix, a sum has one row.
    depthwise_ = c.groups > 1 && c.groups == c.in_channels && c.groups == c.out_channels;
    groups_ = depthwise_ ? 1 : c.groups;
    channels_ = c.in_channels / groups_;
    features_ = c.out_channels / groups_;
    constexpr int64_t kUnit =
        64 / sizeof(T);  // whole vectors at every level, so that all levels go the same way
    for (int i = 0; i < 3; ++i) axis_[i] = forward_axis(c, i);
    by_channels_ = depthwise_ || channels_ % kUnit == 0;
    direct_ = by_channels_ || (features_ % kUnit == 0 && channels_ >= 6);
    band_axis_ = axis_[0].out > 1 ? 0 : 1;
    if (direct_) {
      for (int i = 0; i < 3; ++i) {
        for (int64_t t = 0; t < axis_[i].kernel; ++t) reach_[i].push_back(reach_of(axis_[i], t));
      }
    }
    if (!direct_) make_runs();
    // Columns of a sum's row: channels or features, whichever the vectors run over.
    columns_ = direct_ ? (by_channels_ ? channels_ : features_) : round_up(features_, kUnit);
    rows_ = depthwise_ ? 1 : direct_ ? (by_channels_ ? features_ : channels_) : taps_ * channels_;
  }

  void run(const char* x, const char* dy, char* dw) {
    const int64_t elements = c_.out_channels * taps_ * (c_.in_channels / c_.groups);
    if (elements == 0) return;
    if (c_.batch == 0 || positions() == 0) {
      const T zero = T(0);
      move_.store(&zero, 0, 1, 1, target(dw, 1, 1));
      for (int64_t i = 1; i < elements; ++i)
        move_.store(&zero, 0, 1, 1, target(dw + i * size_, 1, 1));
      return;
    }
    make_chunks();
    const T* xs = in_t(x, Scratch::conv_input, c_.batch * in_positions() * c_.in_channels);
    const T* dys = in_t(dy, Scratch::conv_columns, c_.batch * positions() * c_.out_channels);
    const int64_t group_sums = direct_ ? taps_ * rows_ * columns_ : rows_ * columns_;
    const int64_t sums = groups_ * group_sums;
    const int64_t segments =
        std::clamp<int64_t>(std::min(c_.batch * positions() / kSegmentPositions,
                                     kMaxPartialBytes / static_cast<int64_t>(sizeof(T)) / sums),
                            1, std::min<int64_t>(16, static_cast<int64_t>(chunks_.size())));
    T* partial = scratch<T>(Scratch::conv_sums, static_cast<size_t>(segments * sums));
    // Beyond segments and groups, tasks share the rows of the sums: tiles of rows for each tap.
    const double work = static_cast<double>(c_.batch * positions()) * static_cast<double>(elements);
    const int64_t wanted = work < kParallelWork ? 1 : 4 * num_threads();
    const int64_t row_tiles = divide_up(rows_, tiles_.rows);
    const int64_t splits = std::clamp<int64_t>(divide_up(wanted, segments * groups_), 1, row_tiles);
    const int64_t split_rows = divide_up(row_tiles, splits) * tiles_.rows;
    const int64_t row_shares = divide_up(rows_, split_rows);
    const int64_t tasks = segments * groups_ * row_shares;
    const auto task = [&](int64_t t) {
      const int64_t share = t % row_shares, group = t / row_shares % groups_,
                    segment = t / row_shares / groups_;
      const int64_t count = static_cast<int64_t>(chunks_.size());
      const Part part{group,
                      share * split_rows,
                      std::min(rows_, (share + 1) * split_rows),
                      count * segment / segments,
                      count * (segment + 1) / segments,
                      partial + segment * sums + group * group_sums};
      direct_ ? sum_direct(part, xs, dys) : sum_copied(part, xs, dys);
    };
    if (wanted == 1) {
      for (int64_t t = 0; t < tasks; ++t) task(t);
    } else {
      parallel_for(tasks, task);
    }
    // Add the segments and store, a tap (or, of copied ones, a group) at a time.
    const int64_t pieces = direct_ ? groups_ * taps_ : groups_;
    const auto finish = [&](int64_t p) {
      const int64_t piece = group_sums / (direct_ ? taps_ : 1);
      T* sum = partial + p * piece;
      for (int64_t s = 1; s < segments; ++s) {
        const T* next = partial + s * sums + p * piece;
        for (int64_t i = 0; i < piece; ++i) sum[i] += next[i];
      }
      const int64_t feature = taps_ * channels_;  // stride of a feature in dw
      const int64_t group = direct_ ? p / taps_ : p;
      char* to = dw + group * features_ * feature * size_;
      if (!direct_) {
        for (int64_t tap = 0; tap < taps_; ++tap) {
          move_.store(
              sum + tap * channels_ * columns_, columns_, channels_, features_,
              target(to + (c_.flip ? taps_ - 1 - tap : tap) * channels_ * size_, 1, feature));
        }
        return;
      }
      const int64_t tap = p % taps_;
      if (depthwise_) {
        to += (c_.flip ? taps_ - 1 - tap : tap) * size_;
        move_.store(sum, columns_, 1, columns_, target(to, 1, taps_));
        return;
      }
      to += (c_.flip ? taps_ - 1 - tap : tap) * channels_ * size_;
      move_.store(sum, columns_, rows_, columns_,
                  by_channels_ ? target(to, feature, 1) : target(to, 1, feature));
    };
    if (wanted == 1 || segments * sums < 20000) {
      for (int64_t p = 0; p < pieces; ++p) finish(p);
    } else {
      parallel_for(pieces, finish);
    }
  }

 private:
  struct Part {
    int64_t group, row, row_end, chunk, chunk_end;
    T* sums;
  };

  int64_t positions() const { return axis_[0].out * axis_[1].out * axis_[2].out; }
  int64_t in_positions() const { return axis_[0].in * axis_[1].in * axis_[2].in; }

  static StoreTarget<T> target(char* to, int64_t row, int64_t col) {
    return {to, row, col, nullptr, 0, 0, T(1), T(0), {}, 0, 0};
  }

  const T* in_t(const char* p, Scratch use, int64_t elements) const {
    if (native_) return reinterpret_cast<const T*>(p);
    T* converted = scratch<T>(use, static_cast<size_t>(elements));
    constexpr int64_t kPiece = 1 << 14;
    parallel_for(divide_up(elements, kPiece), [&](int64_t t) {
      const int64_t at = t * kPiece;
      move_.load(p + at * size_, 0, 1, 1, std::min(kPiece, elements - at), converted + at, 0);
    });
    return converted;
  }

  void make_chunks() {
    const int64_t bytes = (channels_ + features_) * static_cast<int64_t>(sizeof(T));
    const int64_t most = std::clamp<int64_t>(kChunkBytes / bytes, 128,
                                             direct_ ? 2048 : 512);  // positions of a chunk
    const int64_t length = axis_[band_axis_].out, images = most / positions();
    if (images >= 1) {
      for (int64_t n = 0; n < c_.batch; n += images) {
        chunks_.push_back({n, std::min(c_.batch, n + images), 0, length});
      }
      return;
    }
    const int64_t band = std::clamp<int64_t>(most / (positions() / length), 1, length);
    for (int64_t n = 0; n < c_.batch; ++n) {
      for (int64_t b = 0; b < length; b += band)
        chunks_.push_back({n, n + 1, b, std::min(length, b + band)});
    }
  }

  // The part of `r` with o inside [begin, end).
  static Reach inside(Reach r, int64_t begin, int64_t end) {
    const int64_t skip =
        r.o_first >= begin ? 0 : std::min(r.count, divide_up(begin - r.o_first, r.o_step));
    const int64_t stop = r.o_first >= end ? 0 : divide_up(end - r.o_first, r.o_step);
    r.o_first += skip * r.o_step;
    r.index_first += skip * r.index_step;
    r.count = std::max<int64_t>(0, std::min(r.count, stop) - skip);
    return r;
  }

  void sum_direct(const Part& part, const T* x, const T* dy) const {
    std::vector<Span> spans;
    const int64_t first = part.group * channels_, first_feature = part.group * features_;
    for (int64_t chunk = part.chunk; chunk < part.chunk_end; ++chunk) {
      const Chunk& k = chunks_[static_cast<size_t>(chunk)];
      for (int64_t tap = 0; tap < taps_; ++tap) {
        Reach r[3] = {reach_[0][static_cast<size_t>(tap / axis_[2].kernel / axis_[1].kernel)],
                      reach_[1][static_cast<size_t>(tap / axis_[2].kernel % axis_[1].kernel)],
                      reach_[2][static_cast<size_t>(tap % axis_[2].kernel)]};
        r[band_axis_] = inside(r[band_axis_], k.band, k.band_end);
        // Steps of k run along the last axis, or along the images if that is longer. (The choice
        // looks at the whole axis only, so that all taps of a chunk sum in the same order.)
        const bool along_images = axis_[2].out < 4 && k.image_end - k.image > axis_[2].out;
        int64_t x_step = r[2].index_step * c_.in_channels, dy_step = r[2].o_step * c_.out_channels;
        spans.clear();
        const auto add_rows = [&](int64_t n, int64_t count) {
          for (int64_t i = 0; i < r[0].count; ++i) {
            for (int64_t j = 0; j < r[1].count; ++j) {
              const int64_t x_row =
                  ((n * axis_[0].in + r[0].index_first + i * r[0].index_step) * axis_[1].in +
                   r[1].index_first + j * r[1].index_step) *
                      axis_[2].in +
                  r[2].index_first;
              const int64_t dy_row =
                  ((n * axis_[0].out + r[0].o_first + i * r[0].o_step) * axis_[1].out +
                   r[1].o_first + j * r[1].o_step) *
                      axis_[2].out +
                  r[2].o_first;
              if (!along_images) {
                add_span(spans, x_row * c_.in_channels, dy_row * c_.out_channels, count);
                continue;
              }
              for (int64_t l = 0; l < r[2].count; ++l) {
                add_span(spans, (x_row + l * r[2].index_step) * c_.in_channels,
                         (dy_row + l * r[2].o_step) * c_.out_channels, count);
              }
            }
          }
        };
        if (along_images) {
          x_step = in_positions() * c_.in_channels;
          dy_step = positions() * c_.out_channels;
          if (r[2].count > 0) add_rows(k.image, k.image_end - k.image);
        } else if (r[2].count > 0) {
          for (int64_t n = k.image; n < k.image_end; ++n) add_rows(n, r[2].count);
        }
        T* sums = part.sums + tap * rows_ * columns_;
        const bool add = chunk != part.chunk;
        if (by_channels_) {
          tiles(part, dy + first_feature, dy_step, x + first, x_step, spans, sums, add);
        } else {
          tiles(part, x + first, x_step, dy + first_feature, dy_step, spans, sums, add);
        }
      }
    }
  }

  // Kernels call the operand of rows a, that of vectors b.
  void add_span(std::vector<Span>& spans, int64_t x, int64_t dy, int64_t count) const {
    spans.push_back(by_channels_ ? Span{dy, x, count} : Span{x, dy, count});
  }

  // sums[i][j] (+)= sum over spans a[.., i] * b[.., j] for the part's rows.
  void tiles(const Part& part, const T* a, int64_t a_step, const T* b, int64_t b_step,
             const std::vector<Span>& spans, T* sums, bool add) const {
    if (depthwise_) {
      depthwise_kernels_.weight(a, a_step, b, b_step, spans.data(),
                                static_cast<int64_t>(spans.size()), sums, add, columns_);
      return;
    }
    const int64_t width = tiles_.width();
    for (int64_t j = 0; j < columns_; j += width) {
      const int64_t vectors = std::min<int64_t>(tiles_.vectors, (columns_ - j) / tiles_.lanes);
      for (int64_t i = part.row; i < part.row_end; i += tiles_.rows) {
        const int64_t rows = std::min<int64_t>(tiles_.rows, part.row_end - i);
        T* d[kMaxTileRows];
        for (int64_t r = 0; r < rows; ++r) d[r] = sums + (i + r) * columns_ + j;
        tiles_.by_columns[rows - 1][vectors - 1](a + i, a_step, b + j, b_step, spans.data(),
                                                 static_cast<int64_t>(spans.size()), d, add);
      }
    }
  }

  void sum_copied(const Part& part, const T* x, const T* dy) const {
    std::vector<T> copied,
        features;  // positions x (tap, channel) and positions x features, both filled up with zeros
    const int64_t row = part.row_end - part.row;
    for (int64_t chunk = part.chunk; chunk < part.chunk_end; ++chunk) {
      const Chunk& k = chunks_[static_cast<size_t>(chunk)];
      int64_t begin[3] = {0, 0, 0}, end[3] = {axis_[0].out, axis_[1].out, axis_[2].out};
      begin[band_axis_] = k.band;
      end[band_axis_] = k.band_end;
      int64_t count = k.image_end - k.image;
      for (int i = 0; i < 3; ++i) count *= end[i] - begin[i];
      copied.resize(static_cast<size_t>(count * row));
      T* to = copied.data();
      for (int64_t n = k.image; n < k.image_end; ++n) {
        for (int64_t o0 = begin[0]; o0 < end[0]; ++o0) {
          for (int64_t o1 = begin[1]; o1 < end[1]; ++o1, to += axis_[2].out * row)
            copy_taps(part, x, n, o0, o1, to);
        }
      }
      // The positions of a chunk follow one another in dy.
      const int64_t first_dy =
          ((k.image * axis_[0].out + begin[0]) * axis_[1].out + begin[1]) * axis_[2].out;
      const T* b = dy + first_dy * c_.out_channels + part.group * features_;
      const bool repack = features_ != columns_;
      if (repack) {
        features.resize(static_cast<size_t>(count * columns_));
        for (int64_t i = 0; i < count; ++i) {
          std::copy_n(b + i * c_.out_channels, features_, features.data() + i * columns_);
        }
        b = features.data();
      }
      const std::vector<Span> span{{0, 0, count}};
      Part here = part;  // the copy begins with the part's first row
      here.row = 0;
      here.row_end = row;
      here.sums = part.sums + part.row * columns_;
      tiles(here, copied.data(), row, b, repack ? columns_ : c_.out_channels, span, here.sums,
            chunk != part.chunk);
    }
  }

  // Writes the part's rows of (tap, channel) that the positions (n, o0, o1, 0..) read, side by side
  // for each position.
  void copy_taps(const Part& part, const T* x, int64_t n, int64_t o0, int64_t o1, T* to) const {
    const int64_t row = part.row_end - part.row,
                  line = axis_[2].kernel * channels_;  // a line: taps of the last axis
    std::fill_n(to, axis_[2].out * row, T(0));
    for (int64_t l = part.row / line; l * line < part.row_end; ++l) {
      const int64_t i0 = axis_[0].index(o0, l / axis_[1].kernel),
                    i1 = axis_[1].index(o1, l % axis_[1].kernel);
      if (i0 < 0 || i1 < 0) continue;
      const T* from = x +
                      ((n * axis_[0].in + i0) * axis_[1].in + i1) * axis_[2].in * c_.in_channels +
                      part.group * channels_;
      for (int64_t o2 = 0; o2 < axis_[2].out; ++o2) {
        for (const Run& run : runs_[static_cast<size_t>(o2)]) {
          const int64_t at = l * line + run.tap * channels_;  // row of the run's first value
          const int64_t begin = std::max(part.row, at),
                        end = std::min(part.row_end, at + run.count);
          const T* values = from + run.index * c_.in_channels - at;
          T* here = to + o2 * row - part.row;
          for (int64_t r = begin; r < end; ++r) here[r] = values[r];
        }
      }
    }
  }

  // Taps of the last axis that a position reads side by side: `count` values from index and tap on.
  struct Run {
    int64_t tap, index, count;
  };
  void make_runs() {
    runs_.resize(static_cast<size_t>(axis_[2].out));
    for (int64_t o = 0; o < axis_[2].out; ++o) {
      auto& runs = runs_[static_cast<size_t>(o)];
      for (int64_t t = 0; t < axis_[2].kernel; ++t) {
        const int64_t index = axis_[2].index(o, t);
        if (index < 0) continue;
        const bool joins = !runs.empty() && groups_ == 1 &&
                           runs.back().tap * channels_ + runs.back().count == t * channels_ &&
                           runs.back().index * channels_ + runs.back().count == index * channels_;
        if (joins) {
          runs.back().count += channels_;
        } else {
          runs.push_back({t, index, channels_});
        }
      }
    }
  }

  const Conv& c_;
  const TileKernels<T>& tiles_;
  const DepthwiseKernels<T>& depthwise_kernels_;
  const Movers<T>& move_;
  int64_t size_;                                             // bytes of an element in memory
  bool native_;                                              // memory holds T itself
  int64_t taps_, groups_ = 1, channels_ = 0, features_ = 0;  // channels and features of a group
  bool depthwise_ = false;
  std::vector<std::vector<Run>> runs_;  // of each position of the last axis
  ConvAxis axis_[3];
  int band_axis_ = 0;
  bool direct_ = false, by_channels_ = false;
  std::vector<Reach> reach_[3];  // of each tap
  std::vector<Chunk> chunks_;
  int64_t rows_ = 0, columns_ = 0;  // of the sums of a tap (direct) or a group (copied)
};

bool is_pointwise(const Conv& c) {
  if (c.groups != 1) return false;
  for (int i = 0; i < 3; ++i) {
    if (c.kernel[i] != 1 || c.stride[i] != 1 || c.pad_low[i] != 0 || c.input_dilation[i] != 1 ||
        c.in[i] != c.out[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

void conv_weight_gradient(const Conv& c, const void* x, const void* dy, void* dw, SimdLevel level) {
  const int64_t positions = c.batch * c.in[0] * c.in[1] * c.in[2];
  // A GEMM whose k is cut for threads nowhere: good where there is enough of dw to share.
  if (is_pointwise(c) && std::min(c.in_channels, c.out_channels) >= 256) {
    Gemm g;
    g.dtype = c.dtype;
    g.m = c.out_channels, g.n = c.in_channels, g.k = positions;
    g.a = dy, g.a_row = 1, g.a_col = c.out_channels;
    g.b = x, g.b_row = c.in_channels, g.b_col = 1;
    g.d = dw, g.d_row = c.in_channels, g.d_col = 1;
    return gemm(g, level);
  }
  const GemmKernels& kernels = gemm_kernels(level);
  visit_dtype(c.dtype, [&]<class E>(TypeTag<E>) {
    constexpr int64_t size = sizeof(E);
    const auto sum = [&]<class T>(const TileKernels<T>& tiles, const DepthwiseKernels<T>& depthwise,
                                  const Movers<T>& move) {
      WeightGradient<T>(c, tiles, depthwise, move, size)
          .run(static_cast<const char*>(x), static_cast<const char*>(dy), static_cast<char*>(dw));
    };
    if constexpr (std::is_same_v<E, float>) {
      sum(kernels.f32, kernels.depthwise_f32, kernels.f32_f32);
    } else if constexpr (std::is_same_v<E, float16_t>) {
      sum(kernels.f32, kernels.depthwise_f32, kernels.f32_f16);
    } else if constexpr (std::is_same_v<E, bfloat16_t>) {
      sum(kernels.f32, kernels.depthwise_f32, kernels.f32_bf16);
    } else if constexpr (std::is_same_v<E, double>) {
      sum(kernels.f64, kernels.depthwise_f64, kernels.f64_f64);
    } else {
      throw InternalError(
          cat("weight gradient of a ", name_of(c.dtype), " convolution has no kernel."));
    }
  });
}

void conv_weight_gradient(const Conv& c, const void* x, const void* dy, void* dw) {
  conv_weight_gradient(c, x, dy, dw, simd_level());
}

}  // namespace legato::cpu
