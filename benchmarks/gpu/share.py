"""Rows that are judged by the share of the copy bandwidth that they reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, compiled, eager, jitted, lazily
from harness import Bar, Factory, Row, at_most

SHARE = (at_most(1 / 0.9, "floor"),)


def share_row(
    group: str,
    name: str,
    ceilings: Ceilings,
    moved: float,
    given: tuple[Given, ...],
    ours: Callable[..., Any],
    torch: Callable[..., Any] | None = None,
    *,
    jax: Callable[..., Any] | None = None,
    compile: bool = False,
    tolerance: float = 1e-5,
    bars: tuple[Bar, ...] = SHARE,
) -> Row:
    """A row that moves `moved` bytes. compile: torch.compile is a contender as well."""
    contenders: dict[str, Factory] = {"legato": lazily(ours, *given)}
    if torch is not None:
        contenders["torch"] = eager(torch, *given)
        if compile:
            contenders["torch.compile"] = compiled(torch, *given)
    if jax is not None:
        contenders["jax.jit"] = jitted(jax, *given)
    return Row(
        name,
        group,
        contenders,
        bars,
        work=(moved, "B"),
        floor=ceilings.seconds(moved),
        check=Agreement(tolerance),
    )
