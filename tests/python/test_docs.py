"""./dev docs: links, the README's programs, and the reference of both languages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LEGATO_BUILD_DIR", ROOT / "build" / "release"))


@pytest.mark.skipif(BUILD.name != "release", reason="the page's programs use the release build")
@pytest.mark.skipif(not (BUILD / "lib" / "liblegato.so").exists(), reason="nothing is built")
def test_docs_have_no_faults_and_describe_both_languages():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs.py")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    built = ROOT / "docs" / "_build"
    index = (built / "index.md").read_text(encoding="utf-8")
    assert "legato.nn" in index
    assert "`softmax(a, /, axis=None, *, precise=False" in (built / "core.md").read_text()
    assert "### Module.freeze" in (built / "nn.md").read_text()
    page = (built / "cpp" / "nn_module.md").read_text()
    assert "void load_weights(const std::string& path, bool strict = true);" in page
    assert "set_frozen" not in page  # private
