"""Cells that are known to be wrong, and why. Tests expect them to fail: one that passes is to be removed."""

KNOWN: dict[tuple[str, str], str] = {}
