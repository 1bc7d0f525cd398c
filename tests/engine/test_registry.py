"""Every public function of the registry has a row in some `cases.py`."""

import cells

import legato.core as core

# Functions without a row, and why.
EXEMPT: dict[str, str] = {
    "stop_gradient": "a transform: its point is a derivative that is not its value's, tests/python",
}


def public_functions(module, prefix=""):
    """Names of the functions made from records, "fast.rms_norm" for those of submodules."""
    record = type(core.exp)
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if type(value) is record:
            yield prefix + name
        elif type(value) is type(core) and not prefix:
            yield from public_functions(value, f"{name}.")


def test_every_public_function_has_a_case():
    cases, _ = cells.by_op()
    tested = {name for rows in cases.values() for row in rows for name in (row.op, *row.aliases)}
    functions = sorted(public_functions(core))
    assert len(functions) > 10
    missing = [name for name in functions if name not in tested and name not in EXEMPT]
    assert not missing, (
        f"{len(missing)} functions have no row in a cases.py: {', '.join(missing)}. Add one to the family's "
        "cases.py (see legato/testing.py), or an exemption with its reason here."
    )


def test_exemptions_are_still_needed():
    cases, _ = cells.by_op()
    functions = set(public_functions(core))
    stale = [name for name in EXEMPT if name in cases or name not in functions]
    assert not stale, f"exemptions that are not needed: {', '.join(stale)}"


def test_other_names_are_the_same_function():
    for rows in cells.by_op()[0].values():
        for row in rows:
            for alias in row.aliases:
                assert hasattr(core, alias), (
                    f"{row.op} is said to be called {alias} too, but core has no {alias}"
                )
