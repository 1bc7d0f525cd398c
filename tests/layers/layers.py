"""The rules of the house, as functions from a source tree to the places that break them.

The tests in this folder apply them to the repository and, to see that they find anything at all, to small trees with
one planted fault each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Which folders below legato/ a folder may include, beside itself. Rows in the order of the house, from the ground up.
ARROWS: dict[str, tuple[str, ...]] = {
    "base": (),
    "array": ("base",),
    "op": ("array", "base"),
    "fuse": ("op", "array", "base"),
    "ops": ("fuse", "op", "array", "base"),
    "transform": ("fuse", "op", "array", "base"),
    "runtime": ("fuse", "op", "array", "base"),
    "backends/cpu": ("runtime", "fuse", "op", "array", "base"),
    "backends/cuda": ("runtime", "fuse", "op", "array", "base"),
    "backends/null": ("runtime", "fuse", "op", "array", "base"),
    "io": ("op", "array", "base"),
    "distributed": ("runtime", "op", "array", "base"),
    "nn": ("ops", "transform", "io", "array", "base"),
}
SENTENCE = (
    "An arrow points only to a row above or to what is named: base <- array <- op <- fuse; ops -> fuse, op and, in "
    "their kernels, the kit of their backend; transform, runtime -> fuse, op; backends -> runtime; io -> op; "
    "nn -> public headers."
)
# Files that may include the kit of a backend: the kernels of a family.
KIT = {
    "backends/cpu": (".cpu.cpp", ".simd.cpp", ".avx512bf16.cpp", ".cpu.h", ".simd.h"),
    "backends/cuda": (".cu", ".cuh", ".cuda.cpp"),
}
KIT_BRINGS = ("runtime",)  # what a kernel's own interface is written in

# Third-party headers and the only places that may include them.
THIRD_PARTY: dict[str, str] = {
    r"nlohmann/": r"^legato/io/[^/]*\.cpp$",
    r"asmjit/": r"^legato/backends/cpu/",
    r"nanobind/": r"^python/bindings/",
    r"doctest/": r"^tests/cpp/",
    r"(immintrin|x86intrin|emmintrin|arm_neon)\.h$": r"(^legato/backends/cpu/|\.simd\.(cpp|h)$|\.avx512bf16\.cpp$)",
}
HEAVY = (
    "iostream",
    "regex",
    "functional",
    "ranges",
    "sstream",
)  # 0.3 s and more for every file that includes them
HEAVY_ALLOWED: dict[str, str] = {
    "legato/transform/transform.h": "transforms take the user's functions, and std::function is how C++ holds them",
}

LONGEST = 800
LONG_ALLOWED: dict[str, str] = {}

CPP = (".cpp", ".h", ".cu", ".cuh")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


class Fault(NamedTuple):
    """A place that breaks a rule, and the rule."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def files(root: Path, *suffixes: str) -> Iterator[tuple[str, str]]:
    """(path relative to the root, text) of the project's own sources."""
    for top in ("legato", "python", "tests", "tools", "benchmarks", "examples", "lab", "cmake"):
        for path in sorted((root / top).rglob("*")):
            if path.is_file() and path.name.endswith(suffixes) and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def layer_of(path: str) -> str:
    """The row of ARROWS that a path below legato/ belongs to; "" for headers directly in legato/."""
    parts = path.split("/")[1:-1]
    if not parts:
        return ""
    return "/".join(parts[:2]) if parts[0] == "backends" and len(parts) > 1 else parts[0]


def family_of(path: str) -> str:
    return path.split("/")[2] if path.startswith("legato/ops/") and path.count("/") > 2 else ""


def is_family_header(path: str) -> bool:
    family = family_of(path)
    return bool(family) and path == f"legato/ops/{family}/{family}.h"


def is_public(root: Path, header: str) -> bool:
    """A family's <family>.h, and headers of a family whose opening comment says "Public header"."""
    if is_family_header(header):
        return True
    path = root / header
    return path.is_file() and "Public header" in path.read_text(encoding="utf-8")[:600]


def forbidden_arrow(root: Path, source: str, target: str) -> str:
    """Why a file below legato/ may not include another one there, or an empty string."""
    here, there = layer_of(source), layer_of(target)
    if here not in ARROWS:
        return "" if here == "" else f"{here} is not a layer of this house; {SENTENCE}"
    family = family_of(source)
    if is_family_header(source) and there not in ("array", "base"):
        return f"a family's header includes only array/ and base/, not {there or target}."
    if here == there:
        if family and family_of(target) != family and not is_public(root, target):
            return (
                f"family {family} may include another family's public header only, and {target} is not one "
                f"(<family>.h, or an opening comment that says: Public header)."
            )
        return ""
    allowed = ARROWS[here]
    if family:
        for kit, suffixes in KIT.items():
            if source.endswith(suffixes):
                allowed += (kit, *KIT_BRINGS)
        if there in KIT and there not in allowed:
            return f"only kernel files ({', '.join(KIT[there])}) include the kit of {there}. {SENTENCE}"
    if there in allowed:
        if here == "nn" and there == "ops" and not is_public(root, target):
            return f"nn is written against public headers, and {target} is not one."
        return ""
    return f"forbidden arrow {here} -> {there or 'legato/*.h'}. {SENTENCE}"


def check_includes(root: Path) -> list[Fault]:
    faults = []
    for path, text in files(root, *CPP):
        for match in INCLUDE.finditer(text):
            quote, target = match.groups()
            line = line_of(text, match.start())
            if target.startswith("legato/"):
                if quote != '"':
                    faults.append(Fault(path, line, f'write #include "{target}", with quotes.'))
                if path.startswith("legato/"):
                    why = forbidden_arrow(root, path, target)
                elif path.startswith("python/bindings/") and target.startswith("legato/backends/"):
                    why = "the bindings see public headers only, no backend."
                else:
                    why = ""
                if why:
                    faults.append(Fault(path, line, f"includes {target}: {why}"))
            elif quote == '"' and path.startswith("legato/"):
                faults.append(
                    Fault(
                        path, line, f'"{target}": includes are written from the root, "legato/...".'
                    )
                )
            for pattern, where in THIRD_PARTY.items():
                if (
                    re.match(pattern, target)
                    and path.startswith(("legato/", "python/"))
                    and not re.search(where, path)
                ):
                    faults.append(Fault(path, line, f"includes {target}, which only {where} may."))
            heavy = target in HEAVY and path.startswith("legato/") and path.endswith((".h", ".cuh"))
            if heavy and path not in HEAVY_ALLOWED:
                faults.append(
                    Fault(
                        path, line, f"a header includes <{target}>, which every file then pays for."
                    )
                )
    return faults


def check_headers_once(root: Path) -> list[Fault]:
    return [
        Fault(path, 1, "a header begins, after its comment, with #pragma once.")
        for path, text in files(root, ".h", ".cuh")
        if not re.search(r"^#pragma once$", text, re.MULTILINE)
    ]


def check_dtype_switches(root: Path) -> list[Fault]:
    rule = "a switch over dtypes outside array/dtype; use its dispatch, or a kernel's type list."
    return [
        Fault(path, line_of(text, match.start()), rule)
        for path, text in files(root, *CPP)
        if path.startswith(("legato/", "python/")) and not path.startswith("legato/array/dtype")
        for match in re.finditer(r"\bcase\s+(legato::)?Dtype::", text)
    ]


def check_length(root: Path, allowed: dict[str, str] | None = None) -> list[Fault]:
    allowed = LONG_ALLOWED if allowed is None else allowed
    lengths = {path: text.count("\n") for path, text in files(root, *CPP, ".py", ".cmake")}
    faults = [
        Fault(path, length, f"{length} lines; past about {LONGEST} a file is two ideas.")
        for path, length in lengths.items()
        if length > LONGEST and path not in allowed
    ]
    for path, why in allowed.items():
        if lengths.get(path, 0) <= LONGEST:
            faults.append(
                Fault(path, 0, "is in the list of long files but is not long, or not there.")
            )
        if len(why.split()) < 4:
            faults.append(Fault(path, 0, "is in the list of long files without a reason."))
    return faults


# Written in pieces, so that this file does not contain what it looks for.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~$}])/(work|home|ro" + r"ot|Users|mnt)/\w")


def check_texts(root: Path) -> list[Fault]:
    faults = []
    for path, text in files(root, *CPP, ".py", ".cmake", ".md", ".txt"):
        for match in UNFINISHED.finditer(text):
            faults.append(
                Fault(
                    path, line_of(text, match.start()), f"{match[0]}: finish it, or open an issue."
                )
            )
        for match in MACHINE_PATH.finditer(text):
            faults.append(
                Fault(
                    path, line_of(text, match.start()), f"{match[0]}...: a folder of one machine."
                )
            )
    return faults


def check_cycles(root: Path) -> list[Fault]:
    """Headers of one layer that include each other in a circle."""
    includes = {
        path: [target for _, target in INCLUDE.findall(text) if target.startswith("legato/")]
        for path, text in files(root, ".h", ".cuh")
    }
    faults: list[Fault] = []
    done: set[str] = set()

    def visit(path: str, trail: list[str]) -> None:
        if path in trail:
            circle = [*trail[trail.index(path) :], path]
            faults.append(Fault(path, 1, "headers include each other: " + " -> ".join(circle)))
        elif path not in done:
            for target in includes.get(path, []):
                visit(target, [*trail, path])
            done.add(path)

    for path in includes:
        visit(path, [])
    return faults


ATTRIBUTES = re.compile(
    r"struct (?P<name>\w+)(?: : (?P<base>\w+))? \{(?P<members>[^{}]*(?:\{[^{}]*\}[^{}]*)*?)"
    r"static constexpr auto fields\(\) \{(?P<fields>[^{}]*)\}"
)


def declared(members: str) -> list[str]:
    """Names of the data members in a struct's text: those of `int a = 1, b;` are a and b."""
    text = re.sub(r"//[^\n]*", "", members)
    while "<" in text:  # commas between angles separate types
        text, n = re.subn(r"<[^<>]*>", "", text)
        if not n:
            break
    names = []
    for statement in re.sub(r"\{[^{}]*\}", "", text).split(";"):
        if "(" in statement or not statement.strip():
            continue
        first, *more = statement.split(",")
        names += [part.split("=")[0].split()[-1] for part in (first, *more)]
    return names


def check_attributes(root: Path) -> list[Fault]:
    """Equality, hash and text of attributes come from the list of their fields: none may be missing."""
    faults = []
    for path, text in files(root, *CPP):
        for match in ATTRIBUTES.finditer(text):
            listed = re.findall(r"&\w+::(\w+)", match["fields"])
            for name in declared(match["members"]):
                if name not in listed:
                    rule = f"{match['name']}::{name} is not in fields(): nodes that differ in it would be equal."
                    faults.append(Fault(path, line_of(text, match.start()), rule))
    return faults


CHECKS = (
    check_attributes,
    check_includes,
    check_headers_once,
    check_cycles,
    check_dtype_switches,
    check_length,
    check_texts,
)
