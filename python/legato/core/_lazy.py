"""Names of `legato.core` that are rarely asked for: each is loaded from its module then."""

MODULES = {
    "debug_nans": "_watching",
    "explain": "_watching",
    "export_to_dot": "_watching",
    "graph": "_watching",
    "logging": "_watching",
    "profile": "_watching",
    "unique_all": "_sets",
    "unique_counts": "_sets",
    "unique_inverse": "_sets",
    "unique_values": "_sets",
}


def load(name):
    """The attribute of `legato.core` called `name`, one of MODULES."""
    import importlib

    return getattr(importlib.import_module(f"legato.core.{MODULES[name]}"), name)
