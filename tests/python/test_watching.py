"""The log, profile, explain, graph, debug_nans and info: what each shows, and that it ends with its block."""

import io
import json
import os
import re
import subprocess
import sys
import threading

import pytest

import legato as lg

# Which device the log names.
DEVICE = "gpu:0" if lg.default_device() == lg.gpu else "cpu:0"


def chain(x):
    return lg.tanh(x * 2 + 1)


def lines_of(areas, work):
    out = io.StringIO()
    with lg.logging(areas, out):
        work()
    return out.getvalue().splitlines()


@pytest.fixture
def x():
    a = lg.ones((3, 5)) + 0  # computed, so that it lies where operations run
    lg.eval(a)
    return a


def test_the_log_has_a_line_for_a_fused_program(x):
    (line,) = lines_of("eval", lambda: lg.eval(chain(x)))
    assert re.fullmatch(
        rf"eval {DEVICE}  fused\[multiply,add,tanh\]  float32\(3, 5\) -> float32\(3, 5\)  "
        r"[\d.]+ [um]s  [\d.]+ GB/s  test_watching\.py:\d+",
        line,
    )


def test_the_log_names_the_line_that_made_the_array(x):
    (line,) = lines_of("eval", lambda: lg.eval(chain(x)))
    assert line.endswith(f"test_watching.py:{chain.__code__.co_firstlineno + 1}")


def test_the_log_at_level_two_shows_views_and_fusion_shows_the_program(x):
    lines = lines_of("eval:2,fuse:2,mem:2", lambda: lg.eval(chain(x.T) @ x))
    text = "\n".join(lines)
    assert "  transpose  " in text
    assert "  matmul  float32(5, 3), float32(3, 5) -> float32(5, 5)" in text
    assert "fuse fused[multiply,add,tanh]  3 operations in one pass, 1 read, 1 written" in text
    assert "bytes held" in text
    assert "  transpose  " not in "\n".join(lines_of("eval", lambda: lg.eval(chain(x.T))))


def test_the_log_says_why_an_input_was_copied(x):
    x = lg.array(x.tolist())
    with lg.stream(lg.cpu):
        check_why_inputs_are_copied(x)


def check_why_inputs_are_copied(x):
    (line,) = lines_of("mem", lambda: lg.eval(lg.sort(x.T, axis=0)))
    assert "sort  1 input copied, because the kernel does not take its strides" in line
    y = x * lg.arange(5)
    lg.eval(y)
    (line,) = lines_of("mem", lambda: lg.eval(lg.reshape(y.T, (15,))))
    assert "reshape  1 input copied, because no strides say this view" in line


def test_the_log_ends_with_its_block_also_after_an_error(x):
    out = io.StringIO()
    with pytest.raises(RuntimeError), lg.logging("eval", out):
        raise RuntimeError
    lg.eval(chain(x))
    assert out.getvalue() == ""
    inner, outer = io.StringIO(), io.StringIO()
    with lg.logging("eval", outer):
        with lg.logging("", inner):
            lg.eval(chain(x))
        lg.eval(chain(x))
    assert inner.getvalue() == ""
    assert len(outer.getvalue().splitlines()) == 1


def test_the_log_covers_compiled_functions_and_other_threads(x):
    f = lg.compile(chain)
    lg.eval(f(x))
    assert any(
        "fused[multiply,add,tanh]" in line for line in lines_of("eval", lambda: lg.eval(f(x)))
    )

    def elsewhere():
        thread = threading.Thread(target=lambda: lg.eval(chain(x)))
        thread.start()
        thread.join()

    assert len(lines_of("eval", elsewhere)) == 1


@pytest.mark.parametrize("areas", ["evil", "eval:", "eval:x", "eval:12", "eval,,mem"])
def test_unknown_areas_and_levels_are_named(areas):
    with pytest.raises(ValueError, match="eval"):
        lg.logging(areas)


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_environment_turns_the_log_on():
    code = "import legato as lg; lg.eval(lg.exp(lg.zeros(3)) + 1)"
    assert f"eval {DEVICE}  fused[exp,add]" in run(code, LEGATO_LOG="eval").stderr
    assert "LEGATO_LOG is ignored" in run(code, LEGATO_LOG="evil").stderr
    assert run(code, LEGATO_LOG="").stderr == ""


def test_profile_writes_a_chrome_trace(x, tmp_path):
    path = tmp_path / "trace.json"
    with lg.profile(path) as p:
        lg.eval(chain(x) @ x.T)
    assert [s["name"] for s in p.steps if s["kind"] in ("kernel", "program")] == [
        "fused[multiply,add,tanh]",
        "matmul",
    ]
    trace = json.loads(path.read_text())
    complete = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert {e["name"] for e in complete} >= {"fused[multiply,add,tanh]", "matmul"}
    assert all(e["dur"] > 0 for e in complete)
    begins = [e["ts"] for e in complete]
    assert begins == sorted(begins)
    assert any(e["args"]["origin"].startswith("test_watching.py:") for e in complete)


def test_profiles_nest(x):
    with lg.profile() as outer:
        lg.eval(chain(x))
        with lg.profile() as inner:
            lg.eval(lg.exp(x))
    assert [s["name"] for s in inner.steps] == ["exp"]
    assert [s["name"] for s in outer.steps] == ["fused[multiply,add,tanh]", "exp"]


def test_explain_shows_operations_passes_and_bytes(x):
    explanation = lg.explain(lambda x: chain(x).sum())(x)
    text = str(explanation)
    assert text.startswith("4 operations in ")
    assert "fused[multiply,add,tanh" in text
    assert "0 implicit copies" in text
    assert explanation.result.item() == pytest.approx(15 * 0.9950547)
    with pytest.raises(ValueError, match="matmul"):
        lg.explain(lambda x: x @ x)(x)
    assert lg._core._stop_recording() == []


def test_graph_lists_nodes_before_their_users(x):
    text = lg.graph(chain(x), x=x)
    lines = [line.split("  ")[0] for line in text.splitlines()]
    assert lines[0] == "%0 = x"
    assert lines[-1] == "%4 = tanh(%3)" or lines[-1].startswith("%5 = tanh(")
    assert "multiply(%0, %1)" in text
    assert "float32(3, 5)" in text
    assert "test_watching.py" not in text  # lines are remembered while somebody watches only
    with lg.debug_nans():
        assert "test_watching.py:" in lg.graph(chain(x))


def test_graph_draws_dot(x, tmp_path):
    dot = lg.graph(chain(x), format="dot")
    assert dot.startswith("digraph {")
    assert 'label="tanh\\nfloat32(3, 5)"' in dot
    lg.export_to_dot(tmp_path / "y.dot", chain(x), x=x)
    assert 'label="x\\nfloat32(3, 5)"' in (tmp_path / "y.dot").read_text()
    out = io.StringIO()
    lg.export_to_dot(out, chain(x))
    assert out.getvalue() == dot
    with pytest.raises(ValueError, match="text"):
        lg.graph(x, format="html")


def test_a_graph_of_a_long_chain_is_drawn(x):
    y = x
    for _ in range(20_000):
        y = y + 1
    assert lg.graph(y).count("\n") == 40_001


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_debug_nans_names_the_operation_and_the_line(dtype):
    a = lg.array([-1.0, 2.0]).astype(getattr(lg, dtype))
    b = a if dtype != "complex64" else a * float("inf")
    lg.eval(a, b)
    with lg.debug_nans(), pytest.raises(ValueError, match=r"debug_nans: .* made a nan") as error:
        lg.eval(lg.log(b) if dtype != "complex64" else b * 0)
    assert "test_watching.py:" in str(error.value)


def test_debug_nans_tells_whether_the_inputs_had_one(x):
    with lg.debug_nans():
        bad = lg.array([[float("nan")] * 5] * 3)  # given, not computed
        with pytest.raises(ValueError, match=r"float32\(3, 5\) without nan, .* with nan"):
            lg.eval(lg.matmul(x, bad.T))


def test_debug_nans_off_lets_them_pass():
    lg.debug_nans(True)
    lg.debug_nans(False)
    assert str(lg.log(lg.array(-1.0)).item()) == "nan"
    with pytest.raises(TypeError, match="True or False"):
        lg.debug_nans("on")


def test_debug_nans_looks_into_rows_and_compiled_functions():
    x = lg.array([[0.0, 0.0], [1.0, 2.0]])
    f = lg.compile(lambda x: lg.softmax(lg.log(x) - lg.log(x), axis=-1))
    with lg.debug_nans(), pytest.raises(ValueError, match="debug_nans"):
        lg.eval(f(x))


def test_info_prints_machine_settings_and_coverage():
    out = subprocess.run(
        [sys.executable, "-m", "legato", "info", "coverage"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LEGATO_LOG": "eval:0"},
    ).stdout
    for words in (
        "Device(cpu, 0)",
        "LEGATO_LOG=eval:0",
        "operations:",
        "matmul",
        "cpu: all",
        "view",
    ):
        assert words in out
