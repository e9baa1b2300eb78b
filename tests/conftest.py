"Shared pieces: the command line as a process, real data where it lies beside the project, a browser, a JupyterLab."
import json, os, shutil, socket, subprocess, sys, time, urllib.request
from pathlib import Path
import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("KDNB_TEST_DATA", ROOT.parent/"shared"/"data"))
KDNB = str(Path(sys.executable).parent/"kdnb")
CHROMIUM = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split()

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

@pytest.fixture
def data():
    "The folder of real data; tests that need it are skipped where it is not there"
    if not DATA.is_dir(): pytest.skip(f"no real data at {DATA}; set KDNB_TEST_DATA")
    return DATA

def lacking(why):
    "What cannot be tested for want of a tool skips on a laptop and fails in CI"
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)

@pytest.fixture(scope="session")
def browser():
    try: from playwright.sync_api import sync_playwright
    except ImportError: lacking("playwright is not installed")
    exe = os.environ.get("KDNB_CHROMIUM") or next(filter(None, map(shutil.which, ("chromium","chromium-browser","google-chrome"))), None)
    if not exe: lacking("no chromium on PATH; set KDNB_CHROMIUM")
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=exe, args=CHROMIUM)
        yield b
        b.close()

@pytest.fixture
def page(browser):
    "A page that records every request and every error"
    ctx = browser.new_context(viewport=dict(width=1280, height=720)); p = ctx.new_page()
    p.urls, p.errors = [], []
    p.on("request", lambda r: p.urls.append(r.url))
    p.on("console", lambda m: p.errors.append(m.text) if m.type=="error" else None)
    p.on("pageerror", lambda e: p.errors.append(str(e)))
    yield p
    ctx.close()

class Lab:
    def __init__(self, url, root): self.url, self.root = url, root
    def open(self, page, notebook):
        page.goto(f"{self.url}/doc/tree/{notebook}?token=kdnb&reset")
        page.locator(".jp-NotebookPanel .jp-Notebook .jp-Cell").first.wait_for(timeout=90_000)
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=90_000)    # before that, run-all is lost
    def run_all(self, page):
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
        page.locator('.lm-Menu li[data-command="runmenu:run-all"]').click()

@pytest.fixture
def lab(tmp_path):
    "`kdnb lab` on a free port, with no settings of the user's and no news from the network"
    home, root = tmp_path/"jupyter", tmp_path/"lab"
    quiet = home/"user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True); quiet.write_text(json.dumps(dict(fetchNews="false", checkForUpdates=False, doNotDisturbMode=True)))
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    env = os.environ | dict(JUPYTER_CONFIG_DIR=str(home), JUPYTER_DATA_DIR=str(home/"data"), JUPYTER_RUNTIME_DIR=str(home/"run"), IPYTHONDIR=str(home/"ipython"),
        JUPYTERLAB_SETTINGS_DIR=str(home/"user-settings"), JUPYTERLAB_WORKSPACES_DIR=str(home/"workspaces"), JUPYTER_TOKEN="kdnb")
    log = open(home/"lab.log", "w")
    proc = subprocess.Popen([KDNB, "lab", "-o", str(root), "--no-browser", f"--port={port}"], env=env, stdout=log, stderr=log)
    url, end = f"http://127.0.0.1:{port}", time.time()+90
    while True:
        try: urllib.request.urlopen(f"{url}/api/status?token=kdnb", timeout=2); break
        except OSError:
            if proc.poll() is not None or time.time() > end: proc.kill(); pytest.fail("JupyterLab did not start:\n"+(home/"lab.log").read_text()[-3000:])
            time.sleep(.2)
    lab = Lab(url, root); lab.log = home/"lab.log"; lab.port = port
    yield lab
    proc.terminate()
    try: proc.wait(20)
    except subprocess.TimeoutExpired: proc.kill()

@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    "The libraries that people compare with, TRL, Liger and distill-anything, in a folder beside the environment"
    to = tmp_path_factory.mktemp("libraries")
    r = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", str(to), "trl==1.16.0", "liger-kernel==0.8.5", "distill-anything==0.5.0"], capture_output=True, text=True)
    if r.returncode: lacking(f"trl, liger-kernel and distill-anything could not be installed: {r.stderr.strip()[-300:]}")
    sys.path.append(str(to))
    yield to
    sys.path.remove(str(to))
