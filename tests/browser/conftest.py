"A browser, a JupyterLab with two kernels, a Voila"
import re, shutil, subprocess, sys
import pytest
from conftest import lacking
from .lab import Lab, add_kernel, chromium, end, new_page, shot, start_lab, start_voila

@pytest.fixture(scope="package")
def browser():
    "Chromium, for this folder only: Playwright keeps an event loop in this thread, which tests elsewhere must not find"
    try: from playwright.sync_api import sync_playwright
    except ImportError: lacking("playwright is not installed")
    with sync_playwright() as p:
        b = chromium(p)
        if not b: lacking("no chromium on PATH; set KDNB_CHROMIUM")
        yield b
        b.close()

@pytest.fixture
def page(browser, request):
    "A page that records every request and every error; how it looked at the end is kept as well"
    p = new_page(browser)
    yield p
    shot(p, f"last-{request.node.name}")
    p.context.close()

@pytest.fixture(scope="session")
def served(tmp_path_factory):
    "`kdnb lab`, once for all tests"
    home = tmp_path_factory.mktemp("jupyter"); root = tmp_path_factory.mktemp("lab")
    try: proc, url, port = start_lab(home, root)
    except RuntimeError as e: pytest.fail(str(e))
    yield Lab(url, port, root, root, home/"server.log")
    end(proc)

@pytest.fixture
def lab(served, request):
    "A folder for one test, with the notebook that `kdnb lab` laid out; its kernels end with the test"
    root = served.root/re.sub(r"\W+", "-", request.node.name); root.mkdir()
    shutil.copy(served.root/"welcome.ipynb", root)
    yield Lab(served.url, served.port, served.served, root, served.log)
    for s in served.api("sessions"):
        if s["path"].startswith(root.name+"/"): served.api(f"sessions/{s['id']}", "DELETE")

OLD = ("ipykernel==6.31.0", "nest_asyncio==1.6.0")

@pytest.fixture(scope="session")
def old_kernel(served, tmp_path_factory):
    "The name of a kernel spec with ipykernel 6, which runs callbacks otherwise than 7 does; in a folder beside the environment"
    to = tmp_path_factory.mktemp("ipykernel6")
    r = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", str(to), *OLD], capture_output=True, text=True)
    if r.returncode: lacking(f"{OLD} could not be installed: {r.stderr.strip()[-300:]}")
    add_kernel(served.log.parent/"data", "ipykernel6", to)
    return "ipykernel6"

@pytest.fixture(params=["ipykernel7", "ipykernel6"])
def kernel(request):
    "The name of a kernel spec: a test that asks for it runs with each of the two"
    return "python3" if request.param=="ipykernel7" else request.getfixturevalue("old_kernel")

@pytest.fixture
def voila(tmp_path, served):
    "A function that serves a notebook with Voila and gives its address; it knows the kernels that the lab knows"
    try: import voila    # noqa: F401
    except ImportError: lacking("voila is not installed")
    procs = []
    def show(notebook):
        home = tmp_path/f"voila{len(procs)}"
        if (kernels := served.log.parent/"data"/"kernels").is_dir(): shutil.copytree(kernels, home/"data"/"kernels")
        try: proc, url, port = start_voila(home, notebook)
        except RuntimeError as e: pytest.fail(str(e))
        procs.append(proc); show.port = port
        return url
    yield show
    for p in procs: end(p)
