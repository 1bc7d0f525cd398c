// The subscripts of einsum and the order of its contractions.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "legato/base/error.h"
#include "legato/ops/matmul/einsum.h"
#include "legato/ops/matmul/matmul.h"

namespace legato {
namespace einsum_detail {
namespace {

constexpr size_t kTryAll = 7;  // 3^7 splits take 50 us

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The letters of one term; `ellipsis` is the place of "..." among them, or -1.
struct Term {
  Labels letters;
  int ellipsis = -1;
};

Term read_term(const std::string& text, std::string_view term) {
  Term t;
  for (size_t i = 0; i < term.size(); ++i) {
    if (term[i] == '.') {
      if (term.substr(i, 3) != "..." || t.ellipsis >= 0)
        throw ValueError(
            cat("einsum: \"", text, "\": dots stand in one group of three for a term"));
      t.ellipsis = static_cast<int>(t.letters.size());
      i += 2;
    } else if (is_letter(term[i])) {
      t.letters.push_back(term[i]);
    } else {
      throw ValueError(cat("einsum: \"", text, "\": '", std::string(1, term[i]),
                           "' is no letter; expected letters, \"...\", \",\" and \"->\""));
    }
  }
  return t;
}

// The labels of a term whose ellipsis stands for `n` axes.
Labels labels_of(const Term& t, size_t n) {
  Labels out = t.letters;
  for (size_t i = 0; i < n; ++i)
    out.insert(out.begin() + t.ellipsis + static_cast<int64_t>(i),
               kEllipsis + static_cast<int>(n - 1 - i));
  return out;
}

void set_size(Subscripts& s, const std::string& text, int label, int64_t size) {
  int64_t& known = s.sizes[static_cast<size_t>(label)];
  if (known == size || size == 1) return;
  if (known != 1)
    throw ValueError(cat("einsum: \"", text, "\": ", text_of({label}), " has sizes ", known,
                         " and ", size, ", which must be equal or one of them 1"));
  known = size;
}

}  // namespace

std::string text_of(const Labels& labels) {
  std::string out;
  for (int l : labels) {
    if (l < kEllipsis)
      out += static_cast<char>(l);
    else if (!out.ends_with("..."))
      out += "...";
  }
  return out;
}

LabelSet set_of(const Labels& labels) {
  LabelSet set;
  for (int l : labels) set.set(static_cast<size_t>(l));
  return set;
}

Subscripts parse(const std::string& text, std::span<const Shape> shapes) {
  std::string dense;
  for (char c : text)
    if (c != ' ') dense += c;
  const size_t arrow = dense.find("->");
  const std::string_view all(dense), left = all.substr(0, arrow);
  Subscripts s;
  s.sizes.assign(kLabels, 1);
  size_t begin = 0, widest = 0;
  while (true) {
    const size_t comma = left.find(',', begin);
    const Term term = read_term(text, left.substr(begin, comma - begin));
    const size_t at = s.inputs.size();
    if (at < shapes.size()) {
      const size_t rank = shapes[at].size(), letters = term.letters.size();
      if (letters > rank || (term.ellipsis < 0 && letters < rank))
        throw ValueError(cat("einsum: \"", text, "\": term ", at, " has ", letters,
                             letters == 1 ? " letter" : " letters", ", but operand ", at,
                             " has shape ", shapes[at]));
      const size_t rest = rank - letters;
      if (rest > kLabels - kEllipsis)
        throw ValueError(cat("einsum: an ellipsis for ", rest, " axes is too long"));
      if (term.ellipsis >= 0) widest = std::max(widest, rest);
      s.inputs.push_back(labels_of(term, rest));
      LabelSet own;
      for (size_t i = 0; i < rank; ++i) {
        const int label = s.inputs[at][i];
        if (own[static_cast<size_t>(label)]) {  // on a diagonal sizes are equal, not broadcast
          for (size_t k = 0; k < i; ++k)
            if (s.inputs[at][k] == label && shapes[at][k] != shapes[at][i])
              throw ValueError(cat("einsum: \"", text, "\": ", text_of({label}),
                                   " is repeated in operand ", at, " of shape ", shapes[at],
                                   " with different sizes"));
        }
        own.set(static_cast<size_t>(label));
        set_size(s, text, label, shapes[at][i]);
      }
    } else {
      s.inputs.emplace_back();
    }
    if (comma == std::string_view::npos) break;
    begin = comma + 1;
  }
  if (s.inputs.size() != shapes.size())
    throw ValueError(cat("einsum: \"", text, "\" has ", s.inputs.size(),
                         s.inputs.size() == 1 ? " term" : " terms", " for ", shapes.size(),
                         shapes.size() == 1 ? " operand" : " operands"));

  std::vector<int> uses(kLabels, 0);
  for (const Labels& in : s.inputs)
    for (int l : in) ++uses[static_cast<size_t>(l)];
  if (arrow == std::string::npos) {
    for (size_t i = widest; i-- > 0;) s.output.push_back(kEllipsis + static_cast<int>(i));
    for (int l = 0; l < kEllipsis; ++l)
      if (uses[static_cast<size_t>(l)] == 1) s.output.push_back(l);
  } else {
    const Term term = read_term(text, all.substr(arrow + 2));
    s.output = labels_of(term, term.ellipsis >= 0 ? widest : 0);
    LabelSet seen;
    for (int l : s.output) {
      if (!uses[static_cast<size_t>(l)])
        throw ValueError(
            cat("einsum: \"", text, "\": ", text_of({l}), " of the output is in no operand"));
      if (seen[static_cast<size_t>(l)])
        throw ValueError(
            cat("einsum: \"", text, "\": ", text_of({l}), " is in the output more than once"));
      seen.set(static_cast<size_t>(l));
    }
  }
  const LabelSet output = set_of(s.output);
  for (size_t l = 0; l < kLabels; ++l) s.sums |= uses[l] > 0 && !output[l];
  return s;
}

namespace {

double elements(const Subscripts& s, const LabelSet& labels) {
  double n = 1;
  for (size_t l = 0; l < kLabels; ++l)
    if (labels[l]) n *= static_cast<double>(s.sizes[l]);
  return n;
}

Path try_all(const Subscripts& s, const std::vector<LabelSet>& inputs, const LabelSet& output) {
  const size_t n = inputs.size(), count = size_t{1} << n;
  std::vector<LabelSet> result(count);
  std::vector<double> cost(count, std::numeric_limits<double>::infinity());
  std::vector<size_t> split(count, 0);
  for (size_t set = 1; set < count; ++set) {
    LabelSet own, needed = output;
    for (size_t i = 0; i < n; ++i) (set >> i & 1 ? own : needed) |= inputs[i];
    result[set] = own & needed;
    if ((set & (set - 1)) == 0) {
      cost[set] = 0;
      result[set] = own;
      continue;
    }
    for (size_t part = (set - 1) & set; part; part = (part - 1) & set) {
      if (part < (set ^ part)) break;  // each pair once
      const LabelSet both = result[part] | result[set ^ part];
      const double c = cost[part] + cost[set ^ part] + flops_of(s, both, both != result[set], 2);
      if (c < cost[set]) {
        cost[set] = c;
        split[set] = part;
      }
    }
  }
  // The tree as places in a shrinking list.
  std::vector<size_t> list, order;
  for (size_t i = 0; i < n; ++i) list.push_back(size_t{1} << i);
  std::vector<size_t> open{count - 1};
  while (!open.empty()) {
    const size_t set = open.back();
    open.pop_back();
    if ((set & (set - 1)) == 0) continue;
    order.push_back(set);
    open.push_back(split[set]);
    open.push_back(set ^ split[set]);
  }
  Path path;
  for (size_t i = order.size(); i-- > 0;) {
    const size_t set = order[i];
    auto place = [&](size_t part) {
      return static_cast<int64_t>(std::find(list.begin(), list.end(), part) - list.begin());
    };
    int64_t a = place(split[set]), b = place(set ^ split[set]);
    if (a > b) std::swap(a, b);
    path.push_back(Dims{a, b});
    list.erase(list.begin() + b);
    list.erase(list.begin() + a);
    list.push_back(set);
  }
  return path;
}

Path greedy(const Subscripts& s, std::vector<LabelSet> list, const LabelSet& output) {
  Path path;
  while (list.size() > 1) {
    double best = -std::numeric_limits<double>::infinity(), best_cost = 0;
    size_t at = 0, with = 1;
    LabelSet best_result;
    std::vector<int> uses(kLabels, 0);
    for (const LabelSet& set : list)
      for (size_t l = 0; l < kLabels; ++l) uses[l] += set[l];
    for (size_t i = 0; i < list.size(); ++i)
      for (size_t k = i + 1; k < list.size(); ++k) {
        LabelSet both = list[i] | list[k], result = both;
        for (size_t l = 0; l < kLabels; ++l)
          if (both[l] && !output[l] && uses[l] == list[i][l] + list[k][l]) result.reset(l);
        const double saved = elements(s, list[i]) + elements(s, list[k]) - elements(s, result);
        const double cost = flops_of(s, both, both != result, 2);
        if (saved > best || (saved == best && cost < best_cost)) {
          best = saved;
          best_cost = cost;
          at = i;
          with = k;
          best_result = result;
        }
      }
    path.push_back(Dims{static_cast<int64_t>(at), static_cast<int64_t>(with)});
    list.erase(list.begin() + static_cast<int64_t>(with));
    list.erase(list.begin() + static_cast<int64_t>(at));
    list.push_back(best_result);
  }
  return path;
}

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, v < 1e15 ? "%.0f" : "%.3e", v);
  return text;
}

}  // namespace

double flops_of(const Subscripts& s, const LabelSet& labels, bool sums, size_t operands) {
  const double terms = static_cast<double>(std::max<size_t>(operands, 2) - 1) + (sums ? 1 : 0);
  return elements(s, labels) * terms;
}

Path find_path(const Subscripts& s) {
  if (s.inputs.size() == 1) return {Dims{0}};
  std::vector<LabelSet> inputs;
  for (const Labels& in : s.inputs) inputs.push_back(set_of(in));
  if (inputs.size() == 2) return {Dims{0, 1}};
  const LabelSet output = set_of(s.output);
  return inputs.size() <= kTryAll ? try_all(s, inputs, output) : greedy(s, inputs, output);
}

std::vector<LabelSet> results_of(const Subscripts& s, const Path& path,
                                 std::vector<LabelSet>& involved) {
  const LabelSet output = set_of(s.output);
  std::vector<LabelSet> list, results;
  for (const Labels& in : s.inputs) list.push_back(set_of(in));
  for (const Dims& places : path) {
    LabelSet own, needed = output;
    for (size_t i = places.size(); i-- > 0;) {
      own |= list[static_cast<size_t>(places[i])];
      list.erase(list.begin() + places[i]);
    }
    for (const LabelSet& rest : list) needed |= rest;
    involved.push_back(own);
    results.push_back(own & needed);
    list.push_back(results.back());
  }
  return results;
}

}  // namespace einsum_detail

EinsumPath einsum_path(const std::string& subscripts, std::span<const Array> operands) {
  using namespace einsum_detail;
  std::vector<Shape> shapes;
  for (const Array& a : operands) shapes.push_back(a.shape());
  const Subscripts s = parse(subscripts, shapes);
  EinsumPath out{find_path(s), {}};

  LabelSet all;
  for (const Labels& in : s.inputs) all |= set_of(in);
  std::vector<LabelSet> involved;
  const auto results = results_of(s, out.path, involved);
  double optimized = 0;
  size_t scaling = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    optimized += flops_of(s, involved[i], involved[i] != results[i], out.path[i].size());
    scaling = std::max(scaling, involved[i].count());
  }
  std::string complete;
  for (const Labels& in : s.inputs) complete += (complete.empty() ? "" : ",") + text_of(in);
  out.text = cat("  Complete contraction:  ", complete, "->", text_of(s.output),
                 "\n         Naive scaling:  ", all.count(), "\n     Optimized scaling:  ", scaling,
                 "\n      Naive FLOP count:  ", number(flops_of(s, all, s.sums, s.inputs.size())),
                 "\n  Optimized FLOP count:  ", number(optimized), "\n");
  return out;
}

}  // namespace legato
