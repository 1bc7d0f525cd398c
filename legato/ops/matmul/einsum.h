// What einsum does before it touches an array: reading the subscripts, choosing an order.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "legato/array/shape.h"

namespace legato::einsum_detail {

/// Labels of axes are numbers: letters by their code, axes of an ellipsis from kEllipsis on,
/// counted from the right.
constexpr int kEllipsis = 128;
constexpr int kLabels = kEllipsis + 128;
using Labels = std::vector<int>;
using LabelSet = std::bitset<kLabels>;

struct Subscripts {
  std::vector<Labels> inputs;  // one label an axis
  Labels output;
  std::vector<int64_t> sizes;  // of each label; an axis of size 1 broadcasts
  bool sums = false;           // whether a label is not in the output
};

/// Reads "ij,jk->ik" for operands of these shapes: spaces are skipped, "..." stands for the axes
/// that have no letter, without "->" the output has the ellipsis, then the letters that occur once,
/// in order. Throws ValueError.
Subscripts parse(const std::string& text, std::span<const Shape> shapes);

LabelSet set_of(const Labels& labels);
/// "ab...": for messages.
std::string text_of(const Labels& labels);

/// One contraction: the operands at these places of the list, in rising order, are taken out, and
/// the result is put at its end.
using Path = std::vector<Dims>;
/// The order with the fewest multiplications, by trying all for up to seven operands; for more, the
/// pair whose contraction saves the most memory each time.
Path find_path(const Subscripts& s);

/// Multiplications and additions of a contraction over these labels.
double flops_of(const Subscripts& s, const LabelSet& labels, bool sums, size_t operands);
/// The labels of operands that are contracted in the order of a path, step by step, the inputs
/// first.
std::vector<LabelSet> results_of(const Subscripts& s, const Path& path,
                                 std::vector<LabelSet>& involved);

}  // namespace legato::einsum_detail
