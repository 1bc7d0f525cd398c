#include "legato/op/draw.h"

#include <unordered_map>
#include <vector>

#include "legato/op/op.h"
#include "legato/op/origin.h"

namespace legato {
namespace {

std::string attributes_of(const Node& n) {
  std::string out;
  if (n.op && n.op->attrs && n.attrs) n.op->attrs->print(n.attrs, out);
  return out;
}

// Quotes and backslashes escaped, for dot.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

class Drawing {
 public:
  explicit Drawing(std::span<const std::pair<Array, std::string>> named) : named_(named) {}

  void visit(const Array& root) {
    struct Frame {
      Node* node;
      uint32_t next;
    };
    std::vector<Frame> stack;
    auto enter = [&](Node* n) {
      if (numbers_.emplace(n, -1).second) stack.push_back({n, 0});
    };
    enter(root.node());
    while (!stack.empty()) {
      Frame& top = stack.back();
      if (top.next < top.node->n_in) {
        enter(top.node->in[top.next++].node());
      } else {
        numbers_[top.node] = static_cast<int>(order_.size());
        order_.push_back(top.node);
        stack.pop_back();
      }
    }
  }

  std::string text() const {
    std::string out;
    for (Node* n : order_) {
      out += cat("%", numbers_.at(n), " = ", label(*n));
      if (n->n_in) {
        out += "(";
        for (uint32_t i = 0; i < n->n_in; ++i) out += cat(i ? ", " : "", reference(n->in[i]));
        out += ")";
      }
      out += "  " + results(*n);
      if (recording_origins.load())
        if (auto where = origin_of(n); !where.empty()) out += "  " + where;
      out += "\n";
    }
    return out;
  }

  std::string dot() const {
    std::string out = "digraph {\n  rankdir=TB; node [shape=box, fontname=\"monospace\"];\n";
    for (Node* n : order_) {
      out += cat("  n", numbers_.at(n), " [label=", quoted(label(*n) + "\n" + results(*n)),
                 n->n_in ? "" : ", style=rounded", "];\n");
      for (uint32_t i = 0; i < n->n_in; ++i)
        out += cat("  n", numbers_.at(n->in[i].node()), " -> n", numbers_.at(n), ";\n");
    }
    return out + "}\n";
  }

 private:
  std::string label(const Node& n) const {
    for (auto& [array, name] : named_)
      if (array.node() == &n) return name;
    if (!n.op || n.state.load() == NodeState::done) return "array";
    const std::string attrs = attributes_of(n);
    return attrs.empty() ? n.op->name : cat(n.op->name, "[", attrs, "]");
  }
  std::string reference(const Array& a) const {
    return a.node()->n_out == 1 ? cat("%", numbers_.at(a.node()))
                                : cat("%", numbers_.at(a.node()), ".", a.index());
  }
  static std::string results(const Node& n) {
    std::string out;
    for (uint32_t o = 0; o < n.n_out; ++o)
      out += cat(o ? ", " : "", n.out[o].dtype, n.out[o].shape);
    return out;
  }

  std::span<const std::pair<Array, std::string>> named_;
  std::unordered_map<const Node*, int> numbers_;
  std::vector<Node*> order_;
};

}  // namespace

std::string draw_graph(std::span<const Array> roots, GraphFormat format,
                       std::span<const std::pair<Array, std::string>> named) {
  Drawing drawing(named);
  for (const Array& root : roots) drawing.visit(root);
  return format == GraphFormat::text ? drawing.text() : drawing.dot();
}

}  // namespace legato
