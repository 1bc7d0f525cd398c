// Forward convolution and its input gradient: implicit GEMM over classes of positions.
//
// Note [Classes of positions]: output positions are sorted by the set of taps that reach them
// (inside of x, not between dilated elements). Within a class all positions read the same pattern
// relative to a base, so a register tile takes any of its positions as rows, through a pointer
// each, and one list of spans: no im2col, no padded copy, and no products with zeros. Of a 3 x 3
// kernel on 4 x 4 pixels that saves 31 %, on 2 x 2 pixels 56 %; a transposed convolution falls into
// its phases by itself. Neighbouring taps that lie side by side in x and in the packed weights
// become one span.
#include "legato/backends/cpu/conv.h"

#include <algorithm>
#include <type_traits>

#include "legato/backends/cpu/conv_plan.h"
#include "legato/backends/cpu/conv_scatter.h"
#include "legato/backends/cpu/gemm.h"
#include "legato/backends/cpu/scratch.h"
#include "legato/backends/cpu/tile.h"
#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

constexpr double kParallelWork = 250e3;  // products below which a thread is not worth waking
constexpr int64_t kMaxBlockRows =
    2048;  // k of a block of packed weights: a panel of it stays in the second-level cache
constexpr int64_t kConvertBytes =
    16 << 20;  // of x in float32, for the half types, converted at a time

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// The convolution in the form that forward and input gradient share; channels and features are
// those of a group.
struct Problem {
  int64_t batch, groups, channels, features;
  bool depthwise;  // one group of `channels` channels that do not mix
  ConvAxis axis[3];
  int64_t w_channel, w_feature, w_tap[3], w_group;  // strides of the weights

  int64_t in_pixels() const { return axis[0].in * axis[1].in * axis[2].in; }
  int64_t out_pixels() const { return axis[0].out * axis[1].out * axis[2].out; }
  int64_t taps() const { return axis[0].kernel * axis[1].kernel * axis[2].kernel; }
};

Problem problem_of(const Conv& c, bool gradient) {
  Problem p;
  const int64_t in = c.in_channels / c.groups, out = c.out_channels / c.groups;
  p.batch = c.batch;
  p.groups = c.groups;
  p.channels = gradient ? out : in;
  p.features = gradient ? in : out;
  for (int i = 0; i < 3; ++i) p.axis[i] = gradient ? gradient_axis(c, i) : forward_axis(c, i);
  p.w_tap[2] = in;
  p.w_tap[1] = c.kernel[2] * in;
  p.w_tap[0] = c.kernel[1] * c.kernel[2] * in;
  const int64_t feature = c.kernel[0] * p.w_tap[0];
  p.w_channel = gradient ? feature : 1;
  p.w_feature = gradient ? 1 : feature;
  p.w_group = out * feature;
  // A group each for the channels, and a feature each for the groups.
  p.depthwise = in == 1 && out == 1 && c.groups > 1;
  if (p.depthwise) {
    p.channels = p.features = c.groups;
    p.groups = 1;
  }
  return p;
}

// A class of positions in all axes, with its spans.
struct Class {
  const AxisClass* axis[3];
  std::vector<Span> spans;
  std::vector<int64_t> block_begin;  // first span of each block of k, and the end
};

template <class T>
class Convolver {
 public:
  Convolver(const Problem& p, const TileKernels<T>& tiles, const DepthwiseKernels<T>& depthwise,
            const Movers<T>& move, int64_t size)
      : p_(p),
        tiles_(tiles),
        depthwise_(depthwise),
        move_(move),
        size_(size),
        native_(size == static_cast<int64_t>(sizeof(T))) {
    for (int i = 0; i < 3; ++i) axis_classes_[i] = classify(p_.axis[i]);
    const int64_t most =
        p_.depthwise ? p_.taps() : kMaxBlockRows / std::max<int64_t>(1, p_.channels);
    blocks_ = std::max<int64_t>(1, divide_up(p_.taps(), std::max<int64_t>(1, most)));
    block_taps_ = divide_up(p_.taps(), blocks_);
    padded_features_ = round_up(p_.features, tiles_.lanes);
    for (const auto& a : axis_classes_[0]) {
      for (const auto& b : axis_classes_[1]) {
        for (const auto& c : axis_classes_[2]) classes_.push_back(make_class(a, b, c));
      }
    }
  }

  void run(const char* x, const char* w, char* y) const {
    if (p_.batch == 0 || p_.out_pixels() == 0 || p_.features == 0) return;
    const int64_t rows = p_.taps() * (p_.depthwise ? 1 : p_.channels);
    T* packed =
        scratch<T>(Scratch::conv_weights, static_cast<size_t>(p_.groups * rows * padded_features_));
    p_.depthwise ? pack_depthwise(w, packed) : pack_weights(w, packed);
    const int64_t x_image = p_.in_pixels() * p_.groups * p_.channels;
    const int64_t y_image = p_.out_pixels() * p_.groups * p_.features;
    if (native_) return images(reinterpret_cast<const T*>(x), packed, y, p_.batch);
    const int64_t step = std::clamp<int64_t>(
        kConvertBytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(1, x_image), 1,
        p_.batch);
    T* converted = scratch<T>(Scratch::conv_input, static_cast<size_t>(step * x_image));
    for (int64_t n = 0; n < p_.batch; n += step) {
      const int64_t count = std::min(step, p_.batch - n);
      constexpr int64_t kPiece = 1 << 14;
      parallel_for(divide_up(count * x_image, kPiece), [&](int64_t t) {
        const int64_t at = t * kPiece;
        move_.load(x + (n * x_image + at) * size_, 0, 1, 1, std::min(kPiece, count * x_image - at),
                   converted + at, 0);
      });
      images(converted, packed, y + n * y_image * size_, count);
    }
  }

 private:
  Class make_class(const AxisClass& a, const AxisClass& b, const AxisClass& c) const {
    Class made{{&a, &b, &c}, {}, {0}};
    const int64_t pixel = p_.groups * p_.channels;
    int64_t block = 0;
    for (size_t i = 0; i < a.taps.size(); ++i) {
      for (size_t j = 0; j < b.taps.size(); ++j) {
        for (size_t k = 0; k < c.taps.size(); ++k) {
          const int64_t tap =
              (a.taps[i] * p_.axis[1].kernel + b.taps[j]) * p_.axis[2].kernel + c.taps[k];
          for (; tap / block_taps_ > block; ++block)
            made.block_begin.push_back(static_cast<int64_t>(made.spans.size()));
          const int64_t from =
              ((a.distance[i] * p_.axis[1].in + b.distance[j]) * p_.axis[2].in + c.distance[k]) *
              pixel;
          if (p_.depthwise) {
            made.spans.push_back({from, tap, 1});
            continue;
          }
          const int64_t row = (tap - block * block_taps_) * p_.channels;
          const bool new_block = static_cast<int64_t>(made.spans.size()) == made.block_begin.back();
          if (!new_block && made.spans.back().a + made.spans.back().count == from &&
              made.spans.back().b + made.spans.back().count == row) {
            made.spans.back().count += p_.channels;
          } else {
            made.spans.push_back({from, row, p_.channels});
          }
        }
      }
    }
    while (static_cast<int64_t>(made.block_begin.size()) <= blocks_) {
      made.block_begin.push_back(static_cast<int64_t>(made.spans.size()));
    }
    return made;
  }

  int64_t block_rows(int64_t block) const {
    return std::min(block_taps_, p_.taps() - block * block_taps_) * p_.channels;
  }

  // Packed weights: groups, blocks of taps, panels of features as wide as a tile, rows (tap,
  // channel), features.
  const T* panel(const T* packed, int64_t group, int64_t block, int64_t feature) const {
    return packed + (group * p_.taps() + block * block_taps_) * p_.channels * padded_features_ +
           feature * block_rows(block);
  }

  // Rows of taps, channels side by side.
  void pack_depthwise(const char* w, T* packed) const {
    const int64_t taps = p_.taps();
    const bool reversed = p_.axis[0].reversed;
    move_.load(reversed ? w + (taps - 1) * size_ : w, reversed ? -1 : 1, taps, taps, p_.channels,
               packed, padded_features_);
  }

  void pack_weights(const char* w, T* packed) const {
    const int64_t width = tiles_.width(), panels = divide_up(p_.features, width);
    const int64_t tasks = p_.groups * blocks_ * panels;
    const auto pack = [&](int64_t t) {
      const int64_t group = t / panels / blocks_, block = t / panels % blocks_,
                    feature = t % panels * width;
      const int64_t cols = std::min(width, p_.features - feature),
                    row = std::min(width, padded_features_ - feature);
      T* to = const_cast<T*>(panel(packed, group, block, feature));
      if (cols < row) std::fill_n(to, block_rows(block) * row, T(0));
      const int64_t first = block * block_taps_, end = std::min(p_.taps(), first + block_taps_);
      const char* from = w + (group * p_.w_group + feature * p_.w_feature) * size_;
      if (p_.w_channel == 1 && !p_.axis[0].reversed) {  // taps and channels are one axis
        move_.load(from + first * p_.channels * size_, 1, p_.w_feature, (end - first) * p_.channels,
                   cols, to, row);
        return;
      }
      for (int64_t tap = first; tap < end; ++tap, to += p_.channels * row) {
        int64_t u[3] = {tap / p_.axis[2].kernel / p_.axis[1].kernel,
                        tap / p_.axis[2].kernel % p_.axis[1].kernel, tap % p_.axis[2].kernel};
        int64_t at = 0;
        for (int i = 0; i < 3; ++i)
          at += (p_.axis[i].reversed ? p_.axis[i].kernel - 1 - u[i] : u[i]) * p_.w_tap[i];
        move_.load(from + at * size_, p_.w_channel, p_.w_feature, p_.channels, cols, to, row);
      }
    };
    if (static_cast<double>(tasks) * width * p_.channels * block_taps_ < 50e3) {
      for (int64_t t = 0; t < tasks; ++t) pack(t);
    } else {
      parallel_for(tasks, pack);
    }
  }

  void images(const T* x, const T* packed, char* y, int64_t batch) const {
    const int64_t out = p_.out_pixels(), total = batch * out;
    const double work = static_cast<double>(total) * p_.groups * p_.features * p_.taps() *
                        (p_.depthwise ? 1 : p_.channels);
    const int threads = work < kParallelWork ? 1 : num_threads();
    // Positions of a task: enough to use a panel of weights many times, few enough that what they
    // read stays cached.
    int64_t pixels = std::clamp<int64_t>((int64_t{128} << 10) / (static_cast<int64_t>(sizeof(T)) *
                                                                 std::max<int64_t>(1, p_.channels)),
                                         96, 1024);
    if (threads > 1)
      pixels = std::clamp<int64_t>(total * p_.groups / (4 * threads), 4 * tiles_.rows, pixels);
    // Several images, or bands of the first axis that is longer than 1.
    const int band_axis = p_.axis[0].out > 1 ? 0 : 1;
    const int64_t length = p_.axis[band_axis].out, row_pixels = out / length;
    const int64_t task_images = std::clamp<int64_t>(pixels / out, 1, batch);
    const int64_t bands =
        task_images > 1 ? 1 : std::clamp<int64_t>(divide_up(out, pixels), 1, length);
    const int64_t band = divide_up(length, bands);
    const int64_t band_count = divide_up(length, band), image_tasks = divide_up(batch, task_images);
    const int64_t most_pixels = task_images * band * row_pixels;
    // Where that makes few tasks, of which one thread would do more than the others, features are
    // shared, too.
    const int64_t width = tiles_.width(), panels = divide_up(p_.features, width);
    const int64_t tasks = p_.groups * image_tasks * band_count;
    int64_t parts = 1;
    if (threads > 1 && !p_.depthwise)
      parts = std::clamp<int64_t>(divide_up(8 * threads, tasks), 1, panels);
    const int64_t part = divide_up(panels, parts) * width;
    parts = p_.depthwise ? 1 : divide_up(p_.features, part);
    parallel_for(tasks * parts, [&](int64_t t) {
      const int64_t f = t % parts * part, b = t / parts % band_count,
                    i = t / parts / band_count % image_tasks,
                    group = t / parts / band_count / image_tasks;
      task({group, i * task_images, std::min(batch, (i + 1) * task_images), band_axis, b * band,
            std::min(length, (b + 1) * band), most_pixels, f,
            parts == 1 ? p_.features : std::min(p_.features, f + part)},
           x, packed, y);
    });
  }

  struct Share {
    int64_t group, image, image_end;
    int band_axis;
    int64_t band, band_end;
    int64_t most_pixels;
    int64_t feature, feature_end;
  };

  void task(const Share& share, const T* x, const T* packed, char* y) const {
    // Rows of all tiles, class after class. Each class is followed by room for a full tile.
    const size_t room = static_cast<size_t>(share.most_pixels) + classes_.size() * kMaxTileRows;
    char* memory = scratch<char>(Scratch::conv_columns, room * (2 * sizeof(T*) + sizeof(int64_t)) +
                                                            classes_.size() * sizeof(int64_t) + 64);
    const T** from = reinterpret_cast<const T**>(memory);
    T** to = reinterpret_cast<T**>(memory + room * sizeof(T*));
    int64_t* target = reinterpret_cast<int64_t*>(to + room);  // element of y where a row belongs
    int64_t* count = target + room;
    const int64_t pixel_in = p_.groups * p_.channels, pixel_out = p_.groups * p_.features;
    T* stage = native_
                   ? nullptr
                   : scratch<T>(Scratch::conv_sums, room * static_cast<size_t>(padded_features_));
    size_t at = 0;
    for (size_t c = 0; c < classes_.size(); ++c) {
      const size_t begin = at;
      const Class& cls = classes_[c];
      const auto in_band = [&](int axis, const AxisClass::Position& q) {
        return axis != share.band_axis || (q.o >= share.band && q.o < share.band_end);
      };
      for (int64_t n = share.image; n < share.image_end; ++n) {
        for (const auto& q0 : cls.axis[0]->positions) {
          if (!in_band(0, q0)) continue;
          for (const auto& q1 : cls.axis[1]->positions) {
            if (!in_band(1, q1)) continue;
            const int64_t row_in =
                ((n * p_.axis[0].in + q0.base) * p_.axis[1].in + q1.base) * p_.axis[2].in;
            const int64_t row_out =
                ((n * p_.axis[0].out + q0.o) * p_.axis[1].out + q1.o) * p_.axis[2].out;
            for (const auto& q2 : cls.axis[2]->positions) {
              from[at] = x + (row_in + q2.base) * pixel_in + share.group * p_.channels;
              target[at] = (row_out + q2.o) * pixel_out + share.group * p_.features;
              to[at] = native_ ? reinterpret_cast<T*>(y) + target[at]
                               : stage + at * static_cast<size_t>(padded_features_);
              ++at;
            }
          }
        }
      }
      count[c] = static_cast<int64_t>(at - begin);
    }
    if (p_.depthwise) {
      size_t row = 0;
      for (size_t c = 0; c < classes_.size(); ++c) {
        const auto& spans = classes_[c].spans;
        depthwise_.forward(from + row, to + row, count[c], spans.data(),
                           static_cast<int64_t>(spans.size()), packed, padded_features_,
                           p_.channels);
        row += static_cast<size_t>(count[c]);
      }
    } else {
      tile_rows(share, packed, from, to, count);
    }
    if (native_) return;
    const int64_t f = share.feature;
    for (size_t i = 0; i < at; ++i) {
      const StoreTarget<T> store{
          y + (target[i] + f) * size_, 0, 1, nullptr, 0, 0, T(1), T(0), {}, 0, 0};
      move_.store(to[i] + f, 0, 1, share.feature_end - f, store);
    }
  }

  void tile_rows(const Share& share, const T* packed, const T* const* from, T* const* to,
                 const int64_t* count) const {
    const int64_t width = tiles_.width();
    for (int64_t block = 0; block < blocks_; ++block) {
      for (int64_t f = share.feature; f < share.feature_end; f += width) {
        const T* b = panel(packed, share.group, block, f);
        const int64_t cols =
            native_ ? std::min(width, p_.features - f) : std::min(width, padded_features_ - f);
        const int vectors = static_cast<int>(divide_up(cols, tiles_.lanes));
        size_t row = 0;
        for (size_t c = 0; c < classes_.size(); ++c) {
          const Class& cls = classes_[c];
          const Span* spans = cls.spans.data() + cls.block_begin[static_cast<size_t>(block)];
          const int64_t span_count = cls.block_begin[static_cast<size_t>(block) + 1] -
                                     cls.block_begin[static_cast<size_t>(block)];
          for (int64_t r = 0; r < count[c]; r += tiles_.rows) {
            const int64_t rows = std::min<int64_t>(tiles_.rows, count[c] - r);
            const size_t i = row + static_cast<size_t>(r);
            T* d[kMaxTileRows];
            for (int64_t k = 0; k < rows; ++k) d[k] = to[i + static_cast<size_t>(k)] + f;
            run_tile(tiles_, from + i, b, vectors * int64_t{tiles_.lanes}, spans, span_count, d,
                     rows, vectors, cols, block != 0);
          }
          row += static_cast<size_t>(count[c]);
        }
      }
    }
  }

  const Problem p_;
  const TileKernels<T>& tiles_;
  const DepthwiseKernels<T>& depthwise_;
  const Movers<T>& move_;
  int64_t size_;  // bytes of an element in memory
  bool native_;   // memory holds T itself
  std::vector<AxisClass> axis_classes_[3];
  std::vector<Class> classes_;
  int64_t blocks_, block_taps_;  // k is cut at taps
  int64_t padded_features_;
};

// Each output pixel reads its input pixel alone, and pixels follow one another alike.
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

void pointwise(const Conv& c, const void* x, const void* w, void* y, bool gradient,
               SimdLevel level) {
  Gemm g;
  g.dtype = c.dtype;
  g.m = c.batch * c.in[0] * c.in[1] * c.in[2];
  g.k = gradient ? c.out_channels : c.in_channels;
  g.n = gradient ? c.in_channels : c.out_channels;
  g.a = x, g.a_row = g.k, g.a_col = 1;
  g.b = w, g.b_row = gradient ? g.n : 1, g.b_col = gradient ? 1 : g.k;
  g.d = y, g.d_row = g.n, g.d_col = 1;
  gemm(g, level);
}

void run(const Conv& c, const void* x, const void* w, void* y, bool gradient, SimdLevel level) {
  if (is_pointwise(c)) return pointwise(c, x, w, y, gradient, level);
  if (gradient && scatters_input_gradient(c)) return scatter_input_gradient(c, x, w, y, level);
  const GemmKernels& kernels = gemm_kernels(level);
  visit_dtype(c.dtype, [&]<class E>(TypeTag<E>) {
    constexpr int64_t size = sizeof(E);
    const auto convolve = [&]<class T>(const TileKernels<T>& tiles,
                                       const DepthwiseKernels<T>& depthwise,
                                       const Movers<T>& move) {
      Convolver<T>(problem_of(c, gradient), tiles, depthwise, move, size)
          .run(static_cast<const char*>(x), static_cast<const char*>(w), static_cast<char*>(y));
    };
    if constexpr (std::is_same_v<E, float>) {
      convolve(kernels.f32, kernels.depthwise_f32, kernels.f32_f32);
    } else if constexpr (std::is_same_v<E, float16_t>) {
      convolve(kernels.f32, kernels.depthwise_f32, kernels.f32_f16);
    } else if constexpr (std::is_same_v<E, bfloat16_t>) {
      convolve(kernels.f32, kernels.depthwise_f32, kernels.f32_bf16);
    } else if constexpr (std::is_same_v<E, double>) {
      convolve(kernels.f64, kernels.depthwise_f64, kernels.f64_f64);
    } else {
      throw InternalError(cat("convolution of ", name_of(c.dtype), " has no kernel."));
    }
  });
}

}  // namespace

void conv_forward(const Conv& c, const void* x, const void* w, void* y, SimdLevel level) {
  run(c, x, w, y, false, level);
}
void conv_input_gradient(const Conv& c, const void* dy, const void* w, void* dx, SimdLevel level) {
  run(c, dy, w, dx, true, level);
}
void conv_forward(const Conv& c, const void* x, const void* w, void* y) {
  run(c, x, w, y, false, simd_level());
}
void conv_input_gradient(const Conv& c, const void* dy, const void* w, void* dx) {
  run(c, dy, w, dx, true, simd_level());
}

}  // namespace legato::cpu
