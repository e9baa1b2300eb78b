"The libraries that people compare with, installed beside the environment and not into it."
import subprocess, sys
import pytest

@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    "TRL and Liger in a folder of their own; skipped where they cannot be fetched"
    to = tmp_path_factory.mktemp("libraries")
    r = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", str(to), "trl==1.16.0", "liger-kernel==0.8.5"], capture_output=True, text=True)
    if r.returncode: pytest.skip(f"trl and liger-kernel could not be installed: {r.stderr.strip().splitlines()[-1]}")
    sys.path.append(str(to))
    yield to
    sys.path.remove(str(to))
