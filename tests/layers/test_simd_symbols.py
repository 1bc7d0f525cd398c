"""No object compiled for a vector level shares a function with the rest of the library."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import simd_symbols

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LEGATO_BUILD_DIR", ROOT / "build" / "release"))

HELPER = """
{open}
template <class T> [[gnu::noinline]] T twice(T x) {{ return x + x; }}
{close}
"""
USE = HELPER + "namespace {level} {{ float use(float x) {{ return {name}twice(x); }} }}\n"


def is_sanitized():
    cache = BUILD / "CMakeCache.txt"
    return cache.exists() and any(
        line.startswith("LEGATO_SANITIZE:") and not line.endswith("=")
        for line in cache.read_text().splitlines()
    )


@pytest.mark.skipif(
    is_sanitized(), reason="sanitizers add weak symbols of their own; the release build is read"
)
def test_levels_share_no_function():
    shared = simd_symbols.shared_symbols(simd_symbols.levels_of(BUILD))
    assert not shared, (
        "these are compiled at several vector levels and the linker keeps one; put them into an anonymous namespace "
        "or into namespace LEGATO_LEVEL:\n"
        + "\n".join(
            f"{simd_symbols.readable(name)} ({', '.join(found)})" for name, found in shared.items()
        )
    )


def compiled(folder, level, flags, text):
    source = folder / f"{level}.cpp"
    source.write_text(text)
    compiler = os.environ.get("CXX", "c++")
    command = [
        compiler,
        "-std=c++20",
        "-O2",
        *flags,
        "-c",
        str(source),
        "-o",
        str(source.with_suffix(".o")),
    ]
    subprocess.run(command, check=True)
    return [source.with_suffix(".o")]


@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "c++")) is None, reason="no compiler on the path"
)
@pytest.mark.parametrize(
    ("opening", "closing", "name", "found"),
    [
        ("namespace helper {", "}", "helper::", 1),
        ("namespace { namespace helper {", "} }", "helper::", 0),
        ("namespace LEVEL { namespace helper {", "} }", "LEVEL::helper::", 0),
    ],
    ids=["shared", "anonymous", "of the level"],
)
def test_a_shared_template_is_found_and_both_remedies_work(tmp_path, opening, closing, name, found):
    levels = {}
    for level, flags in {simd_symbols.PLAIN: [], "avx2": ["-DRICH"]}.items():
        text = USE.format(open=opening, close=closing, name=name, level=level).replace(
            "LEVEL", level
        )
        levels[level] = compiled(tmp_path, level, flags, text)
    shared = simd_symbols.shared_symbols(levels)
    assert len(shared) == found
    assert all("twice" in symbol for symbol in shared)


def test_objects_of_a_build_are_sorted_into_levels(tmp_path):
    for name in ("legato_objects", "legato_simd_base", "legato_simd_avx512", "legato_tests"):
        folder = tmp_path / "CMakeFiles" / f"{name}.dir" / "legato"
        folder.mkdir(parents=True)
        (folder / "x.cpp.o").touch()
    levels = simd_symbols.levels_of(tmp_path)
    assert {level: len(objects) for level, objects in levels.items()} == {"plain": 2, "avx512": 1}
