"""./dev docs: checks links and the programs of the README and the pages, and writes the API reference into docs/_build.

Run by ./dev where `legato` is importable.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = (
    "core",
    "core.fast",
    "core.random",
    "core.linalg",
    "core.fft",
    "nn",
    "nn.losses",
    "nn.init",
    "optimizers",
    "utils",
)


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def anchor(heading: str) -> str:
    """The anchor that a heading gets in rendered Markdown."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def broken_links(page: Path) -> list[str]:
    faults = []
    text = re.sub(BLOCK, "", page.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            faults.append(f"{page.relative_to(ROOT)}: {target} does not exist")
        elif fragment and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            if fragment not in map(anchor, headings):
                faults.append(f"{page.relative_to(ROOT)}: {target}: no heading gives that anchor")
    return faults


def run_blocks(page: Path) -> list[str]:
    """Runs what is a whole program on a page: Python that imports, C++ with a main."""
    faults = []
    for language, source in BLOCK.findall(page.read_text(encoding="utf-8")):
        with tempfile.TemporaryDirectory() as folder:
            if language == "python" and "cuda_kernel" in source:
                continue  # needs a GPU: tests/cuda runs it on the emulated one
            if language == "python" and re.search(r"^(import|from) ", source, re.MULTILINE):
                commands = [[sys.executable, "-c", source]]
            elif language == "cpp" and "int main" in source:
                library = ROOT / "build" / "release"
                file = Path(folder, "program.cpp")
                file.write_text(source)
                include = [f"-I{ROOT}", f"-I{library / 'generated'}"]
                link = [f"-L{library / 'lib'}", "-llegato", f"-Wl,-rpath,{library / 'lib'}"]
                program = str(Path(folder, "program"))
                compiler = os.environ.get("CXX", "c++")
                commands = [
                    [compiler, "-std=c++20", "-O1", *include, str(file), "-o", program, *link],
                    [program],
                ]
            else:
                continue
            for command in commands:
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    said = (done.stderr.strip().splitlines() or ["no message"])[-1]
                    faults.append(f"{page.relative_to(ROOT)}: its {language} program fails: {said}")
                    break
    return faults


def signature_of(value: Any) -> str:
    """The parameter list of a callable, without types: they stand in the stubs and in the text."""
    text = getattr(value, "__text_signature__", None)
    if text is not None:
        return text
    if inspect.isclass(value):  # what a base class defines in __new__ says less
        value = value.__init__
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(plain))


def members(cls: type) -> list[str]:
    """Lines on the public methods and properties that a class defines itself."""
    lines = []
    for name, value in sorted(vars(cls).items()):
        doc = inspect.getdoc(value)
        if name.startswith("_") or not doc:
            continue
        if isinstance(value, (classmethod, staticmethod)):
            value = value.__func__
        signature = signature_of(value) if callable(value) else ""
        lines += [f"### {cls.__name__}.{name}", "", f"`{name}{signature}`", "", doc, ""]
    return lines


def reference(name: str) -> str | None:
    """A Markdown page of a module's public names with their signatures and docs."""
    try:
        module = importlib.import_module(f"legato.{name}")
    except ImportError:
        return None
    lines = [f"# legato.{name}", "", inspect.getdoc(module) or "", ""]
    for public in sorted(key for key in vars(module) if not key.startswith("_")):
        value = getattr(module, public)
        doc = inspect.getdoc(value)
        if inspect.ismodule(value) or not callable(value) or not doc:
            continue
        lines += [f"## {public}", "", f"`{public}{signature_of(value)}`", "", doc, ""]
        if inspect.isclass(value):
            lines += members(value)
    return "\n".join(lines)


def public_headers() -> list[str]:
    """What legato/legato.h includes, with an umbrella among them opened."""
    umbrella = ROOT / "build" / "release" / "generated" / "legato" / "legato.h"
    headers = re.findall(r'#include "(.*)"', umbrella.read_text(encoding="utf-8"))
    opened = []
    for header in headers:
        text = (ROOT / header).read_text(encoding="utf-8")
        inside = re.findall(r'#include "(.*)"', text)
        opened += inside if not re.search(r"^namespace", text, re.MULTILINE) else [header]
    return opened


def header_page(header: str) -> str:
    """A header as a page: its comments as prose, its declarations as code, what is private left out."""
    text = (ROOT / header).read_text(encoding="utf-8")
    opening, _, body = text.partition("#pragma once\n")
    body = re.sub(r"^#(include|undef).*\n", "", body, flags=re.MULTILINE)
    body = re.sub(r"^namespace detail \{.*?^\}  // namespace detail\n", "", body, flags=re.M | re.S)
    body = re.sub(r"^(\}  // )?namespace.*\n", "", body, flags=re.MULTILINE)
    body = re.sub(r"^ (private|protected):\n.*?(?=^ public:|^\};)", "", body, flags=re.M | re.S)
    body = re.sub(r"^// -+\n", "", body, flags=re.MULTILINE)
    lines = [f"# {header}", "", *prose_of(opening.splitlines()), ""]
    for comment, code in items(body.splitlines()):
        title = re.fullmatch(r"// --- (.*?)(: .*)?(---)?", comment[0]) if comment else None
        if title:
            lines += [f"## {title[1].capitalize()}", ""]
            comment = comment[1:]
        lines += [*prose_of(comment), ""] if comment else []
        lines += ["```cpp", *code, "```", ""] if code else []
    return "\n".join(lines)


def items(rows: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Pairs of a comment and the declarations that it is about, from the lines of a header."""
    comment: list[str] = []
    code: list[str] = []
    depth = 0
    for row in [*rows, ""]:
        if (
            depth == 0
            and (comment or code)
            and (not row.strip() or (code and row.startswith("//")))
        ):
            yield comment, code
            comment, code = [], []
        if row.startswith("//") and not code:
            comment.append(row)
        elif row.strip() or depth:
            code.append(row)
            depth += row.count("{") - row.count("}")


def prose_of(comment: list[str]) -> list[str]:
    """A comment as Markdown: programs in it, which are indented by two, as blocks of code."""
    texts = [re.sub(r"^///? ?", "", row) for row in comment]
    return [re.sub(r"^  ", "    ", text) for text in texts]


def main() -> int:
    faults = [fault for page in pages() for fault in broken_links(page)]
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        faults += run_blocks(page)
    folder = ROOT / "docs" / "_build"
    (folder / "cpp").mkdir(parents=True, exist_ok=True)
    index = ["# API reference", "", "## Python", ""]
    for name in MODULES:
        text = reference(name)
        if text is not None:
            (folder / f"{name}.md").write_text(text, encoding="utf-8")
            index.append(f"- [legato.{name}]({name}.md)")
    index += ["", "## C++: what `#include <legato/legato.h>` brings", ""]
    for header in public_headers():
        page = f"cpp/{header.removeprefix('legato/').removesuffix('.h').replace('/', '_')}.md"
        (folder / page).write_text(header_page(header), encoding="utf-8")
        index.append(f"- [{header}]({page})")
    (folder / "index.md").write_text("\n".join([*index, ""]), encoding="utf-8")
    faults += [fault for page in folder.rglob("*.md") for fault in broken_links(page)]
    print(f"wrote {len(list(folder.rglob('*.md')))} pages to {folder.relative_to(ROOT)}/")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
