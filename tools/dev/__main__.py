"""The ./dev command: its arguments, and the sentence in which each failure ends."""

import argparse
import sys
from typing import List, Optional

import build
import checks
import doctor
import products
import setup
from common import PRESETS, Failure

DESCRIPTION = """\
Everything one does with this repository. Each command first does what it depends on:
`./dev demo` on a bare Debian 12 or Ubuntu 24.04 installs, builds and runs.
"""
EPILOG = """\
examples:
  ./dev test                      the whole suite, within its time
  ./dev test -k softmax           what has softmax in its name, C++ and Python
  ./dev test tests/layers -x      a folder, a file or file::test, with pytest's own options
  ./dev build --preset asan       address and undefined-behaviour sanitizers
  ./dev python script.py          runs it where `import legato` is this build
  ./dev COMMAND --help            the options of a command

environment: CXX (compiler), LEGATO_JOBS (compilers at a time), CCACHE_DIR.
"""


def add_preset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset", choices=PRESETS, default="release", help="which build (default: release)"
    )


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="./dev",
        allow_abbrev=False,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(dest="command", metavar="COMMAND")

    def add_cuda(one: argparse.ArgumentParser) -> None:
        one.add_argument(
            "--cuda",
            action="store_true",
            help="with the CUDA backend, for one architecture; needs nvcc, not a GPU",
        )

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
        )

    one = command("setup", "install what is missing: by apt as root, and into .venv")
    one.add_argument("--force", action="store_true", help="install anew even if nothing changed")

    one = command("build", "compile the library, the Python extension and the C++ tests")
    add_preset(one)
    one.add_argument(
        "--target", action="append", default=[], help="only this CMake target (may be repeated)"
    )
    one.add_argument(
        "-D",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a CMake option; kept for later builds",
    )

    add_cuda(one)

    one = command("test", "build, then run the C++ tests, the layer tests and pytest")
    add_preset(one)
    one.add_argument(
        "--full", action="store_true", help="the whole matrix instead of a covering choice"
    )
    one.add_argument("-k", metavar="WORD", help="only tests with this in their names")
    part = one.add_mutually_exclusive_group()
    for name in ("cpp", "python", "layers"):
        part.add_argument(
            f"--{name}",
            dest="part",
            action="store_const",
            const=name,
            help=f"only the {name} tests",
        )
    one.add_argument("--serial", action="store_true", help="one test at a time")
    add_cuda(one)
    one.epilog = "Paths and options that are not listed here go to pytest."

    command(
        "demo",
        "build, then train the digits diffusion model and draw new digits; try ./dev demo --help",
    )

    one = command("bench", "build, then compare with NumPy, PyTorch, JAX and MLX in the same run")
    where = one.add_mutually_exclusive_group()
    where.add_argument(
        "--peers",
        action="store_true",
        help="install the peers into .cache/peers and use that Python",
    )
    where.add_argument(
        "--interpreter", metavar="PYTHON", help="a Python of the same version that has the peers"
    )
    one.epilog = "Other options go to benchmarks/run.py, for example: --list, --only matmul, --quick, --write."

    one = command("python", "run the interpreter in which the built legato is importable")
    add_preset(one)
    one.epilog = "What follows goes to Python, for example: ./dev python -c 'import legato'."

    one = command(
        "lint", "check format, style and types: clang-format, ruff, mypy, clang-tidy if there"
    )
    one.add_argument(
        "--all", action="store_true", help="clang-tidy on every file, not only on changed ones"
    )

    command("format", "rewrite C++ and Python files in the project's format")
    command(
        "docs", "check the links in the documentation and write the API reference to docs/_build"
    )

    one = command("wheel", "build a wheel into dist/")
    one.add_argument(
        "--python", metavar="3.12", help="for this Python version (default: that of .venv)"
    )
    one.add_argument(
        "--cuda", action="store_true", help="with the CUDA backend, for all architectures"
    )

    one = command("clean", "remove what was built")
    one.add_argument("--preset", choices=PRESETS, help="only this build")
    one.add_argument("--all", action="store_true", help="also .venv and .cache")

    command("doctor", "say what this machine is and what is missing")
    command("help", "show this text")
    return main


def run(arguments: List[str]) -> None:
    # Everything after these words is the program's own, --help included; for python, save a leading --preset.
    if arguments[:1] == ["demo"]:
        return products.demo(arguments[1:])
    if arguments[:1] == ["python"] and arguments[1:] not in (["--help"], ["-h"]):
        leading = 2 if arguments[1:2] == ["--preset"] else 0
        options = parser().parse_args(arguments[: 1 + leading])
        return products.python(options.preset, arguments[1 + leading :])

    all_commands = parser()
    options, unknown = all_commands.parse_known_args(arguments)
    if unknown and options.command not in ("test", "bench"):
        all_commands.error(
            f"{options.command} does not know {unknown[0]}; see ./dev {options.command} --help"
        )
    if options.command in (None, "help"):
        all_commands.print_help()
    elif options.command == "setup":
        setup.main(options.force)
    elif options.command == "build":
        build.build(
            options.preset, options.target, [f"-D{option}" for option in options.D], options.cuda
        )
    elif options.command == "test":
        checks.test(
            options.preset,
            options.full,
            options.k,
            options.part,
            options.serial,
            options.cuda,
            unknown,
        )
    elif options.command == "bench":
        products.bench(options.peers, options.interpreter, unknown)
    elif options.command == "lint":
        checks.lint(options.all)
    elif options.command == "format":
        checks.format_files()
    elif options.command == "docs":
        products.docs()
    elif options.command == "wheel":
        products.wheel(options.python, options.cuda)
    elif options.command == "clean":
        products.clean(options.all, options.preset)
    elif options.command == "doctor":
        doctor.main()


def main(arguments: Optional[List[str]] = None) -> int:
    try:
        run(sys.argv[1:] if arguments is None else arguments)
    except Failure as failure:
        print(f"dev: {failure}", file=sys.stderr)
        return failure.status
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"dev: {error.filename or 'a file'}: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dev: stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
