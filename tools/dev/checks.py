"""./dev test, lint, format."""

import shutil
from typing import List, Optional, Sequence

import setup
from build import build, program, python_environment
from common import (
    ROOT,
    VENV,
    VENV_PYTHON,
    Failure,
    cores,
    environment,
    output,
    run,
    say,
    tracked_files,
)

CPP_SUFFIXES = (".cpp", ".h", ".cu", ".cuh")


def test(
    preset: str,
    full: bool,
    keyword: Optional[str],
    part: Optional[str],
    serial: bool,
    cuda: bool,
    arguments: Sequence[str],
) -> None:
    """C++ tests, then pytest (layers and Python), whose closing line comes last."""
    build(preset, cuda=cuda)
    env = python_environment(preset)
    if cuda:
        env.setdefault("LEGATO_NVRTC", str(setup.ensure_nvrtc()))
    env["LEGATO_BUILD_DIR"] = str(ROOT / "build" / preset)
    if full:
        env["LEGATO_TEST_FULL"] = "1"
    failed: List[str] = []
    if part in (None, "cpp"):
        failed += cpp_tests(preset, keyword, env)
    if part != "cpp":
        failed += python_tests(keyword, part, serial, arguments, env)
    if failed:
        raise Failure(f"failed: {' and '.join(failed)}.")


def cpp_tests(preset: str, keyword: Optional[str], env: dict) -> List[str]:
    tests = program(preset, "legato_tests")
    if tests is None:
        if list((ROOT / "tests" / "cpp").glob("*.cpp")):
            raise Failure(
                "the C++ tests were not built because doctest is missing: apt-get install doctest-dev, "
                f"then ./dev clean --preset {preset}."
            )
        return []
    # A sanitizer's library is preloaded for Python only: this program is linked with it.
    own_env = {name: value for name, value in env.items() if name != "LD_PRELOAD"}
    failed = []
    for one in (tests, program(preset, "legato_cuda_tests")):
        if one is None:
            continue
        try:
            run(
                [str(one)] + ([f"--test-case=*{keyword}*"] if keyword else []),
                f"C++ tests ({one.name})",
                own_env,
            )
        except Failure as failure:
            failed.append(str(failure))
    return failed


def python_tests(
    keyword: Optional[str], part: Optional[str], serial: bool, arguments: Sequence[str], env: dict
) -> List[str]:
    folders = {"python": ["tests/python"], "layers": ["tests/layers"]}.get(part or "", ["tests"])
    command = [str(VENV_PYTHON), "-m", "pytest", "-q"]
    if keyword:
        command += ["-k", keyword]
    paths = [argument for argument in arguments if (ROOT / argument.split("::")[0]).exists()]
    command += list(arguments)
    if not paths:
        command += [folder for folder in folders if (ROOT / folder).is_dir()]
    if not (serial or keyword or paths or part == "layers") and cores() > 1:
        # Also a guard: a crash ends one worker, which pytest reports with the test's name, and not the run.
        command += ["-n", str(min(cores(), 8)), "--dist", "worksteal"]
    try:
        run(command, "Python tests", env)
    except Failure as failure:
        if (
            keyword and failure.status == 5
        ):  # pytest: no test has that name; the C++ tests may have had one
            return []
        return [str(failure)]
    return []


def lint(tidy_all: bool) -> None:
    """Every check runs, also after one has failed."""
    setup.ensure()
    failed = []
    for name, check in (("clang-format", format_check), ("ruff", ruff_check), ("mypy", mypy_check)):
        try:
            check()
        except Failure as failure:
            say(str(failure))
            failed.append(name)
    try:
        tidy(tidy_all)
    except Failure as failure:
        say(str(failure))
        failed.append("clang-tidy")
    if failed:
        raise Failure(f"not clean: {', '.join(failed)}.")
    say("clean.")


def cpp_files() -> List[str]:
    return [str(path.relative_to(ROOT)) for path in tracked_files(*CPP_SUFFIXES)]


def format_check() -> None:
    files = cpp_files()
    if files:
        run(
            [str(VENV / "bin" / "clang-format"), "--dry-run", "-Werror", *files],
            "clang-format would change the files above; ./dev format does it.",
        )


def ruff_check() -> None:
    run([str(VENV / "bin" / "ruff"), "check", "--quiet", "."], "ruff has objections, see above.")
    run(
        [str(VENV / "bin" / "ruff"), "format", "--check", "--quiet", "."],
        "ruff would format some Python files differently; ./dev format does it.",
    )


def mypy_check() -> None:
    # Programs with a __main__ of their own are read apart from each other.
    for folder in ("tools/dev", "benchmarks", "tests/layers", "python/legato"):
        if list((ROOT / folder).rglob("*.py")):
            run(
                [str(VENV / "bin" / "mypy"), "--config-file", "pyproject.toml", folder],
                f"mypy has objections to {folder}, see above.",
                quiet=True,
            )


def tidy(everything: bool) -> None:
    """clang-tidy reads a file in seconds, not milliseconds, so by default it reads what changed against main."""
    clang_tidy = shutil.which("clang-tidy", path=environment()["PATH"])
    if clang_tidy is None:
        say(
            "clang-tidy is not installed, so that check was left out (pip install clang-tidy, or apt)."
        )
        return
    database = ROOT / "build" / "release"
    if not (database / "compile_commands.json").exists():
        say("clang-tidy needs a build (./dev build), so that check was left out.")
        return
    files = [name for name in cpp_files() if name.startswith("legato/") and name.endswith(".cpp")]
    if not everything:
        base = output(["git", "merge-base", "HEAD", "origin/main"]) or "HEAD"
        changed = set(output(["git", "diff", "--name-only", base]).splitlines())
        files = [name for name in files if name in changed]
    if files:
        run(
            [clang_tidy, "--quiet", "-p", str(database), *files],
            "clang-tidy has objections, see above.",
        )


def format_files() -> None:
    setup.ensure()
    files = cpp_files()
    if files:
        run([str(VENV / "bin" / "clang-format"), "-i", *files], "clang-format failed, see above.")
    run(
        [str(VENV / "bin" / "ruff"), "check", "--quiet", "--fix-only", "."],
        "ruff failed, see above.",
    )
    run([str(VENV / "bin" / "ruff"), "format", "--quiet", "."], "ruff failed, see above.")
    say("formatted.")
