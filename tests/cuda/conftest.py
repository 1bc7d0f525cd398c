import pytest


@pytest.fixture
def cache(tmp_path_factory):
    """One folder of compiled programs for all tests of a run: a compilation takes a quarter of a second."""
    return str(tmp_path_factory.getbasetemp() / "programs")
