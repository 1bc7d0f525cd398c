"""Runs a program that imports `mlx`: python -m legato.mlx script.py [arguments].

Every `import mlx...` in the program finds the module of the same name in Legato. Programs that
cannot be started this way call `install()` first.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds mlx.a.b as legato.a.b: the same module object under both names."""

    def find_spec(self, name, path=None, target=None):
        if name != "mlx" and not name.startswith("mlx."):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        ours = "legato" + spec.name[len("mlx") :]
        try:
            self._module = importlib.import_module(ours)
        except ModuleNotFoundError as e:
            raise ModuleNotFoundError(
                f"No module named {spec.name!r}: Legato has no {ours}", name=spec.name
            ) from e
        # The import system writes a module's spec and loader: keep the module's own.
        self._saved = {k: getattr(self._module, k, None) for k in ("__spec__", "__loader__")}
        self._saved["__package__"] = getattr(self._module, "__package__", None)
        return self._module

    def exec_module(self, module):
        for key, value in self._saved.items():
            setattr(module, key, value)


def install():
    """Makes `import mlx` find Legato in this process."""
    if not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) > 1 else 2
    import os
    import runpy

    install()
    if sys.argv[1] == "-m":
        if len(sys.argv) < 3:
            print("python -m legato.mlx -m: the name of a module is missing", file=sys.stderr)
            return 2
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return 0
    sys.argv = sys.argv[1:]
    if not os.path.exists(sys.argv[0]):
        print(f"python -m legato.mlx: no file {sys.argv[0]}", file=sys.stderr)
        return 2
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
