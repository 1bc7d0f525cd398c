"""./dev docs: checks links and the programs of the README, and writes the API reference into docs/_build.

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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = ("core", "core.fast", "core.random", "nn", "nn.losses", "nn.init", "optimizers", "utils")


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
    """Runs the Python and C++ programs of a page; a page that does not run is a fault."""
    faults = []
    for language, source in BLOCK.findall(page.read_text(encoding="utf-8")):
        with tempfile.TemporaryDirectory() as folder:
            if language == "python":
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
        signature = getattr(value, "__text_signature__", None)
        if signature is None:
            try:
                signature = str(inspect.signature(value))
            except (TypeError, ValueError):
                signature = "(...)"
        lines += [f"## {public}", "", f"`{public}{signature}`", "", doc, ""]
    return "\n".join(lines)


def main() -> int:
    faults = [fault for page in pages() for fault in broken_links(page)]
    faults += run_blocks(ROOT / "README.md")
    folder = ROOT / "docs" / "_build"
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        text = reference(name)
        if text is not None:
            (folder / f"{name}.md").write_text(text, encoding="utf-8")
    print(f"wrote {len(list(folder.glob('*.md')))} pages to {folder.relative_to(ROOT)}/")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
