"""Shared fixtures; imported before any test, so that the thread limits below take effect."""

import os

# Arrays are small: more threads only contend, and results must not depend on their number.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

from pathlib import Path  # noqa: E402

# Two processes that write Numba's cache of compiled functions at once may damage it.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    cache = Path(__file__).resolve().parent.parent / ".cache" / "numba" / worker
    os.environ["NUMBA_CACHE_DIR"] = str(cache)

import pytest  # noqa: E402


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that relative paths refer to during this test."""
    monkeypatch.setenv("RLHF_WORKSPACE", str(tmp_path))
    return tmp_path
