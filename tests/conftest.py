"Shared pieces: the command line as a process, real data where it lies beside the project, other libraries. `browser/` has its own."
import os, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("KDNB_TEST_DATA", ROOT.parent/"shared"/"data"))
KDNB = str(Path(sys.executable).parent/"kdnb")

@pytest.fixture
def kdnb(tmp_path):
    "Run the command `kdnb` in an empty folder"
    def run(*words, timeout=300, **kw): return subprocess.run([KDNB, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=timeout, **kw)
    return run

@pytest.fixture(scope="session")
def report(tmp_path_factory):
    "What `kdnb report` did, as a person runs it; made once for all tests. Its `page` is the path it printed"
    done = subprocess.run([KDNB, "report"], cwd=tmp_path_factory.mktemp("report"), capture_output=True, text=True, timeout=900)
    done.page = Path(done.stdout.strip() or "nothing-was-printed")
    return done

def short_recipe(**kw):
    "A recipe of a few seconds"
    from kdnb.recipe import Recipe
    return Recipe.simple(**{**dict(steps=20, warm=10, samples=4, evaluation=dict(every=10)), **kw})

def short_welcome():
    "The text of the welcome notebook, its second run a few seconds long"
    text, long = (ROOT/"kdnb"/"data"/"welcome.ipynb").read_text(), 'Recipe.simple(objective=\\"rkl\\")'
    assert text.count(long)==1
    return text.replace(long, long[:-1]+", steps=20, warm=10, samples=4, evaluation=dict(every=10))")

def by_papermill(folder, recipe):
    "That notebook as papermill runs it in a folder, with a recipe in YAML"
    import papermill as pm
    (folder/"in.ipynb").write_text(short_welcome())
    with pytest.MonkeyPatch.context() as m:
        for k in ("KDNB_UI","PLOTLY_RENDERER"): m.delenv(k, raising=False)
        return pm.execute_notebook(str(folder/"in.ipynb"), str(folder/"out.ipynb"), parameters=dict(recipe=recipe), cwd=str(folder), progress_bar=False, kernel_name="python3")

@pytest.fixture(scope="session")
def welcome_batch(tmp_path_factory):
    "The welcome notebook after papermill, made once for all tests: its `notebook`, its `folder`, the `recipe` it was given"
    folder, recipe = tmp_path_factory.mktemp("batch"), short_recipe(objective="jsd")
    return SimpleNamespace(notebook=by_papermill(folder, recipe.to_yaml()), folder=folder, recipe=recipe)

@pytest.fixture
def data():
    "The folder of real data; tests that need it are skipped where it is not there"
    if not DATA.is_dir(): pytest.skip(f"no real data at {DATA}; set KDNB_TEST_DATA")
    return DATA

def lacking(why):
    "What cannot be tested for want of a tool skips on a laptop and fails in CI"
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)

@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    "The libraries that people compare with, TRL, Liger and distill-anything, in a folder beside the environment"
    to = tmp_path_factory.mktemp("libraries")
    r = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", str(to), "trl==1.16.0", "liger-kernel==0.8.5", "distill-anything==0.5.0"], capture_output=True, text=True)
    if r.returncode: lacking(f"trl, liger-kernel and distill-anything could not be installed: {r.stderr.strip()[-300:]}")
    sys.path.append(str(to))
    yield to
    sys.path.remove(str(to))
