"""Finds functions that an object of a vector level shares with the rest of the library.

The linker keeps one copy of a weak symbol (an inline function or template that was not inlined) for the whole library.
cmake/SimdLevels.cmake says why that must never be one compiled for a CPU that the user may not have.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

PLAIN = "plain"  # objects built for any CPU: the library's ordinary ones and the level `base`


def weak_symbols(objects: list[Path]) -> set[str]:
    """Names of the weak and unique symbols that the objects define."""
    names = set()
    for start in range(0, len(objects), 200):
        command = [
            "nm",
            "--defined-only",
            "--format=posix",
            *map(str, objects[start : start + 200]),
        ]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            words = line.split()
            if len(words) >= 2 and words[1] in ("W", "V", "u"):
                names.add(words[0])
    return names


def levels_of(build: Path) -> dict[str, list[Path]]:
    """The objects of a build folder by vector level."""
    levels: dict[str, list[Path]] = defaultdict(list)
    for folder in sorted((build / "CMakeFiles").glob("legato_*.dir")):
        name = folder.name.removesuffix(".dir")
        if name == "legato_objects" or name.startswith("legato_simd_"):
            level = name.removeprefix("legato_simd_")
            level = PLAIN if level in ("legato_objects", "base") else level
            levels[level] += sorted(folder.rglob("*.o"))
    return levels


def shared_symbols(levels: dict[str, list[Path]]) -> dict[str, list[str]]:
    """Weak symbols defined at a level beyond the plain one and at another level too: name -> levels."""
    where: dict[str, list[str]] = defaultdict(list)
    for level, objects in levels.items():
        for name in weak_symbols(objects):
            where[name].append(level)
    return {name: sorted(found) for name, found in where.items() if len(found) > 1}


def readable(name: str) -> str:
    done = subprocess.run(["c++filt", name], capture_output=True, text=True)
    return done.stdout.strip() or name
