"""Each rule of layers.py finds a planted fault, and is silent where the fault is mended."""

from pathlib import Path

import pytest

import layers

ROOT = Path(__file__).resolve().parents[2]

ONCE = "#pragma once\n"


@pytest.fixture
def tree(tmp_path):
    """Writes files into an empty tree: tree({"path": "text"}) gives its root."""

    def write(texts):
        for path, text in texts.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path

    return write


def include(path):
    return f'#include "{path}"\n'


FORBIDDEN = [
    ("legato/base/a.h", "legato/array/array.h", "base -> array"),
    ("legato/array/array.cpp", "legato/runtime/eval.h", "array -> runtime"),
    ("legato/array/array.cpp", "legato/op/op.h", "array -> op"),
    ("legato/op/op.h", "legato/fuse/program.h", "op -> fuse"),
    ("legato/op/op.cpp", "legato/ops/softmax/softmax.h", "op -> ops"),
    ("legato/fuse/group.cpp", "legato/runtime/eval.h", "fuse -> runtime"),
    ("legato/transform/vjp.cpp", "legato/ops/softmax/softmax.h", "transform -> ops"),
    ("legato/transform/vjp.cpp", "legato/runtime/eval.h", "transform -> runtime"),
    ("legato/runtime/eval.cpp", "legato/ops/softmax/softmax.h", "runtime -> ops"),
    ("legato/runtime/eval.cpp", "legato/transform/vjp.h", "runtime -> transform"),
    ("legato/runtime/eval.cpp", "legato/backends/cpu/pool.h", "runtime -> backends/cpu"),
    ("legato/backends/cpu/gemm.cpp", "legato/ops/matmul/matmul.h", "backends/cpu -> ops"),
    (
        "legato/backends/cpu/gemm.cpp",
        "legato/backends/cuda/driver.h",
        "backends/cpu -> backends/cuda",
    ),
    ("legato/io/npy.cpp", "legato/runtime/eval.h", "io -> runtime"),
    ("legato/nn/linear.cpp", "legato/runtime/eval.h", "nn -> runtime"),
    ("legato/ops/softmax/softmax.cpp", "legato/transform/vjp.h", "ops -> transform"),
    ("legato/ops/softmax/softmax.cpp", "legato/backends/cpu/kit.h", "only kernel files"),
    ("legato/ops/softmax/softmax.cpu.cpp", "legato/backends/cuda/kit.h", "only kernel files"),
    ("legato/ops/softmax/softmax.cu", "legato/backends/cpu/kit.h", "only kernel files"),
    ("legato/ops/softmax/softmax.h", "legato/op/op.h", "a family's header includes only array/"),
    (
        "legato/ops/softmax/softmax.cpp",
        "legato/ops/reduce/tree.h",
        "another family's public header only",
    ),
    ("legato/nn/linear.cpp", "legato/ops/matmul/blocking.h", "public headers"),
    ("legato/elsewhere/x.cpp", "legato/base/error.h", "not a layer"),
    ("python/bindings/array.cpp", "legato/backends/cpu/pool.h", "no backend"),
]

ALLOWED = [
    ("legato/array/array.cpp", "legato/base/error.h"),
    ("legato/fuse/program.h", "legato/op/op.h"),
    ("legato/ops/softmax/softmax.cpp", "legato/fuse/program.h"),
    ("legato/ops/softmax/softmax.cpp", "legato/ops/reduce/reduce.h"),
    ("legato/ops/softmax/rows.h", "legato/op/op.h"),
    ("legato/ops/softmax/softmax.h", "legato/array/array.h"),
    ("legato/ops/softmax/softmax.cpu.cpp", "legato/backends/cpu/kit.h"),
    ("legato/ops/softmax/softmax.simd.cpp", "legato/backends/cpu/vec.h"),
    ("legato/ops/softmax/softmax.cpu.cpp", "legato/runtime/backend.h"),
    ("legato/ops/softmax/softmax.cu", "legato/backends/cuda/kit.h"),
    ("legato/backends/cpu/gemm.cpp", "legato/runtime/backend.h"),
    ("legato/nn/linear.cpp", "legato/ops/matmul/matmul.h"),
    ("legato/legato.h", "legato/nn/module.h"),
    ("python/bindings/array.cpp", "legato/runtime/eval.h"),
    ("tests/cpp/test_gemm.cpp", "legato/backends/cpu/gemm.h"),
]


@pytest.mark.parametrize(("path", "target", "words"), FORBIDDEN, ids=lambda text: text)
def test_a_forbidden_arrow_is_named(tree, path, target, words):
    (fault,) = layers.check_includes(tree({path: "\n" + include(target)}))
    assert fault.path == path
    assert fault.line == 2
    assert target in fault.text
    assert words in fault.text


@pytest.mark.parametrize(("path", "target"), ALLOWED, ids=lambda text: text)
def test_an_allowed_arrow_is_silent(tree, path, target):
    assert layers.check_includes(tree({path: include(target)})) == []


def test_a_header_marked_public_may_be_included_by_another_family(tree):
    public = {"legato/ops/pointwise/scalar.h": "// Public header: functions of one element.\n"}
    user = {"legato/ops/softmax/softmax.simd.cpp": include("legato/ops/pointwise/scalar.h")}
    assert layers.check_includes(tree({**public, **user})) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("legato/io/safetensors.h", "#include <nlohmann/json.hpp>"),
        ("legato/fuse/lower.cpp", "#include <asmjit/x86.h>"),
        ("legato/array/array.cpp", "#include <nanobind/nanobind.h>"),
        ("legato/ops/matmul/matmul.cpp", "#include <immintrin.h>"),
        ("legato/array/array.h", "#include <iostream>"),
        ("legato/array/array.h", "#include <functional>"),
        ("legato/array/array.cpp", '#include "array.h"'),
        ("legato/array/array.cpp", '#include "../base/error.h"'),
        ("legato/array/array.cpp", "#include <legato/base/error.h>"),
    ],
)
def test_a_wrong_include_of_another_kind_is_found(tree, path, line):
    assert len(layers.check_includes(tree({path: line + "\n"}))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("legato/io/safetensors.cpp", "#include <nlohmann/json.hpp>"),
        ("legato/backends/cpu/jit.cpp", "#include <asmjit/x86.h>"),
        ("legato/array/array.cpp", "#include <sstream>"),
        ("legato/array/array.h", "// #include <iostream>"),
    ],
)
def test_a_right_include_of_another_kind_is_silent(tree, path, line):
    assert layers.check_includes(tree({path: line + "\n"})) == []


def test_a_header_without_a_guard_is_found(tree):
    root = tree(
        {"legato/base/a.h": "// A comment.\nint f();\n", "legato/base/b.h": "// B.\n" + ONCE}
    )
    assert [fault.path for fault in layers.check_headers_once(root)] == ["legato/base/a.h"]


def test_headers_in_a_circle_are_found(tree):
    root = tree(
        {
            "legato/op/a.h": include("legato/op/b.h"),
            "legato/op/b.h": include("legato/op/c.h"),
            "legato/op/c.h": include("legato/op/a.h"),
            "legato/op/d.h": include("legato/op/a.h"),
        }
    )
    (fault,) = layers.check_cycles(root)
    assert "legato/op/a.h -> legato/op/b.h -> legato/op/c.h -> legato/op/a.h" in fault.text


def test_a_switch_over_dtypes_is_found_outside_dtype_only(tree):
    switch = "switch (t) {\n  case Dtype::float32:\n    return 4;\n}\n"
    root = tree({"legato/array/dtype.cpp": switch, "legato/ops/cast/cast.cpp": "// x\n" + switch})
    assert [(f.path, f.line) for f in layers.check_dtype_switches(root)] == [
        ("legato/ops/cast/cast.cpp", 3)
    ]


def test_a_long_file_is_found_unless_listed_with_a_reason(tree):
    long = "int x;\n" * (layers.LONGEST + 1)
    root = tree({"legato/op/op.cpp": long, "python/legato/short.py": "x = 1\n" * layers.LONGEST})
    assert [fault.path for fault in layers.check_length(root)] == ["legato/op/op.cpp"]
    assert (
        layers.check_length(root, {"legato/op/op.cpp": "one table of opcodes, read as one"}) == []
    )
    assert len(layers.check_length(root, {"legato/op/op.cpp": "long"})) == 1


def test_a_listed_file_that_is_not_long_is_found(tree):
    root = tree({"legato/op/op.cpp": "int x;\n"})
    (fault,) = layers.check_length(root, {"legato/op/op.cpp": "one table of opcodes, read as one"})
    assert "not long" in fault.text


@pytest.mark.parametrize(
    "text", ["// TO" + "DO later", "x = 1  # FIX" + "ME", "see /wo" + "rk/main/x", "/ro" + "ot/x"]
)
def test_unfinished_words_and_machine_paths_are_found(tree, text):
    assert len(layers.check_texts(tree({"legato/op/op.cpp": text + "\n"}))) == 1


@pytest.mark.parametrize(
    "text", ["a todo list", "network/main", "https://host/home/page", "$ROOT/work/x"]
)
def test_ordinary_words_are_not(tree, text):
    assert layers.check_texts(tree({"legato/op/op.cpp": text + "\n"})) == []


ATTRIBUTES = """
struct PlantedAttrs {
  Dims low, high;  // padding, on both sides
  std::optional<std::pair<int, int>> range;
  bool reverse = false, inclusive = true;
  Shape like = {};
  static constexpr auto fields() {
    return std::tuple(field("low", &PlantedAttrs::low), field("high", &PlantedAttrs::high),
                      field("range", &PlantedAttrs::range), field("like", &PlantedAttrs::like),
                      field("reverse", &PlantedAttrs::reverse)%s);
  }
};
"""


def test_equality_that_ignores_an_attribute_is_found(tree):
    (fault,) = layers.check_attributes(tree({"legato/ops/a/a.cpp": ATTRIBUTES % ""}))
    assert "PlantedAttrs::inclusive is not in fields()" in str(fault)


def test_equality_of_all_attributes_is_silent(tree):
    rest = ',\n field("inclusive", &PlantedAttrs::inclusive)'
    assert not layers.check_attributes(tree({"legato/ops/a/a.cpp": ATTRIBUTES % rest}))


def test_the_attributes_of_the_repository_are_found():
    for path, text in layers.files(ROOT, ".cpp", ".h"):
        found = len(layers.ATTRIBUTES.findall(text))
        assert found == text.count("static constexpr auto fields()"), path
