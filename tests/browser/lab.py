"What a person does with a notebook in JupyterLab or Voila, for tests and for tools/live.py"
import json, os, re, shutil, socket, subprocess, sys, time, urllib.error, urllib.request
from pathlib import Path

CHROMIUM = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split()
KERNEL = dict(language="python", display_name="Python 3")

def chromium_path(): return os.environ.get("KDNB_CHROMIUM") or next(filter(None, map(shutil.which, ("chromium","chromium-browser","google-chrome"))), None)
def chromium(p): "Chromium, started by a Playwright; None where there is none"; return (exe := chromium_path()) and p.chromium.launch(executable_path=exe, args=CHROMIUM)

def new_page(browser, width=1280, height=720):
    "A page in a profile of its own, which records every request and every error"
    return recorded(browser.new_context(viewport=dict(width=width, height=height)).new_page())

def recorded(p):
    p.urls, p.errors = [], []
    p.on("request", lambda r: p.urls.append(r.url))
    p.on("console", lambda m: p.errors.append(m.text) if m.type=="error" else None)
    p.on("pageerror", lambda e: p.errors.append(str(e)))
    p.on("dialog", lambda d: d.accept())    # leaving an unsaved notebook asks; a person says yes
    return p

def shot(page, name, full=False):
    "A picture for people, in $KDNB_SHOTS if that is set"
    if (d := os.environ.get("KDNB_SHOTS")): Path(d).mkdir(parents=True, exist_ok=True); page.screenshot(path=f"{d}/{name}.png", full_page=full)

def free_port():
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); return s.getsockname()[1]

def loopback_only(port):
    "Whether what listens on a port does so on 127.0.0.1 alone (Linux: /proc/net/tcp)"
    rows = [l.split()[1].split(":") for l in open("/proc/net/tcp").readlines()[1:] if l.split()[3]=="0A"]
    return {a for a,p in rows if int(p, 16)==port}=={"0100007F"}

def write_notebook(path, *cells, kernel="python3"):
    "A notebook of code cells that names its kernel; without a name JupyterLab asks and waits"
    import nbformat
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c, id=f"cell{i}") for i,c in enumerate(cells)], metadata=dict(kernelspec=KERNEL | dict(name=kernel)))
    nbformat.write(nb, path)
    return Path(path).name

def surroundings(home):
    "The environment of a server with no settings of the user's and no news from the network"
    quiet = home/"user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True, exist_ok=True); quiet.write_text(json.dumps(dict(fetchNews="false", checkForUpdates=False, doNotDisturbMode=True)))
    return os.environ | dict(JUPYTER_CONFIG_DIR=str(home), JUPYTER_DATA_DIR=str(home/"data"), JUPYTER_RUNTIME_DIR=str(home/"run"), IPYTHONDIR=str(home/"ipython"),
        JUPYTERLAB_SETTINGS_DIR=str(home/"user-settings"), JUPYTERLAB_WORKSPACES_DIR=str(home/"workspaces"), JUPYTER_TOKEN="kdnb")

def serve(command, home, url, cwd=None):
    "A server as a process, once it answers at `url`; RuntimeError with the end of what it said if it does not"
    env = surroundings(home)
    with open(home/"server.log", "w") as log: proc = subprocess.Popen(list(map(str, command)), env=env, stdout=log, stderr=log, cwd=cwd)
    end = time.time()+90
    while True:
        try: urllib.request.urlopen(url, timeout=5).close(); return proc
        except urllib.error.HTTPError: return proc    # it answers
        except OSError:
            if proc.poll() is not None or time.time() > end: proc.kill(); raise RuntimeError("the server did not start:\n"+(home/"server.log").read_text()[-3000:])
            time.sleep(.2)

def end(proc):
    proc.terminate()
    try: proc.wait(20)
    except subprocess.TimeoutExpired: proc.kill()

def start_lab(home, root):
    "`kdnb lab` on a free port: process, address, port"
    port = free_port(); url = f"http://127.0.0.1:{port}"
    home.mkdir(parents=True, exist_ok=True)
    return serve([Path(sys.executable).parent/"kdnb", "lab", "-o", root, "--no-browser", f"--port={port}"], home, f"{url}/api/status?token=kdnb"), url, port

def add_kernel(data, name, folder):
    "A kernel spec `name` in a data folder of Jupyter: this Python, with the packages of `folder` before its own"
    at = Path(data)/"kernels"/name; at.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    (at/"kernel.json").write_text(json.dumps(KERNEL | dict(display_name=name, argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], env=dict(PYTHONPATH=path))))

STATUS = "[...document.querySelectorAll('[role=status], [role=alert]')].map(x => x.textContent.trim())"

def said(page, pattern, timeout=60):
    "Wait until a status line or an alert matches a regular expression (JavaScript's); its text"
    look = f"p => {STATUS}.find(t => new RegExp(p).test(t)) || null"
    try: return page.wait_for_function(look, arg=pattern, timeout=timeout*1000).json_value()
    except Exception as e: raise AssertionError(f"no status matched {pattern!r} within {timeout} s; there were {page.evaluate(STATUS)}") from e

def wait_until(f, timeout=30, why="it did not happen"):
    "Ask f() until it gives something true, and give that"
    end = time.time()+timeout
    while not (r := f()):
        if time.time() > end: raise AssertionError(f"{why} within {timeout} s")
        time.sleep(.1)
    return r

class Lab:
    "A folder of a JupyterLab that runs, and what a person does there"
    def __init__(self, url, port, served, root, log): self.url, self.port, self.served, self.root, self.log = url, port, served, root, log

    def api(self, path, method="GET"):
        "Ask the server, as JupyterLab's own page does"
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/{path}", method=method, headers={"Authorization": "token kdnb"}), timeout=30) as r: return json.loads(r.read() or "null")
    def place(self, name): return (self.root/name).relative_to(self.served).as_posix()
    def session(self, name): return next((s for s in self.api("sessions") if s["path"]==self.place(name)), None)
    def kernel(self, name): "The id of a notebook's kernel"; return wait_until(lambda: self.session(name), why=f"{name} had no kernel")["kernel"]["id"]
    def pid(self, name):
        "The process of a notebook's kernel: the one that was told its connection file"
        import psutil
        k = self.kernel(name); return next((p.pid for p in psutil.process_iter(["cmdline"]) if any(k in x for x in p.info["cmdline"] or ())), None)
    def shut_down(self, name):
        k = self.kernel(name); self.api(f"kernels/{k}", "DELETE"); wait_until(lambda: k not in [x["id"] for x in self.api("kernels")], why="the kernel did not end")
    def restart(self, page, name):
        "As a person does it, by the menu: who restarts behind the page's back leaves it with a line to the old process"
        old = self.pid(name); self.menu(page, "Kernel", "kernelmenu:restart"); page.locator(".jp-Dialog .jp-mod-accept").click()
        wait_until(lambda: (new := self.pid(name)) and new != old, 30, "the kernel was not restarted"); self.idle(page)

    def write(self, name, *cells, kernel="python3"): return write_notebook(self.root/name, *cells, kernel=kernel)
    def use(self, name, kernel): "Have a notebook name another kernel"; nb = self.read(name); nb["metadata"]["kernelspec"]["name"] = kernel; (self.root/name).write_text(json.dumps(nb))
    def read(self, name): "The notebook as it stands on disk"; return json.loads((self.root/name).read_text())
    def outputs(self, name): "What stands on disk as the outputs of each cell"; return [c.get("outputs", []) for c in self.read(name)["cells"]]

    def open(self, page, name, reset=True):
        "Show a notebook; with `reset=False` as a person finds it again who closed the page"
        page.goto(f"{self.url}/doc/tree/{self.place(name)}?token=kdnb"+("&reset" if reset else ""))
        page.locator(".jp-NotebookPanel .jp-Notebook .jp-Cell").first.wait_for(timeout=90_000)
        self.idle(page)                           # before that, run-all is lost
    def reload(self, page, name): "Leave the page and come back: outputs and widgets are those that were saved"; page.goto("about:blank"); self.open(page, name, reset=False)
    def idle(self, page): page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=90_000)

    def menu(self, page, label, command):
        page.locator(".lm-MenuBar-itemLabel", has_text=label).click(); page.locator(f'.lm-Menu li[data-command="{command}"]').click()
    def run_all(self, page): self.menu(page, "Run", "runmenu:run-all")
    def cell(self, page, i): "One cell, counted from 0, scrolled to"; return self.scroll(page, page.locator(f'.jp-Notebook-cell[data-windowed-list-index="{i}"]'))
    def run_cell(self, page, i): "Run one cell with Ctrl+Enter"; self.cell(page, i).locator(".jp-InputPrompt").click(); page.keyboard.press("Control+Enter")
    def ran(self, page, i, timeout=90): "Wait until a cell that was run has ended: its star gave way to a number"; return int(wait_until(lambda: re.fullmatch(r"\[(\d+)\]:", self.cell(page, i).locator(".jp-InputPrompt").inner_text().strip()), timeout, "the cell did not end")[1])
    def save(self, page, name):
        "Ctrl+S, until the server has written"
        with page.expect_response(lambda r: r.request.method=="PUT" and r.url.split("?")[0].endswith("/api/contents/"+self.place(name)), timeout=60_000): page.keyboard.press("Control+s")

    def scroll(self, page, thing):
        "Turn the wheel until something is seen: JupyterLab draws only what is near. `thing`: a locator, or the text of an output"
        if isinstance(thing, str): thing = page.locator(".jp-OutputArea-output", has_text=thing)
        page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").hover()
        for step in (300, -300):
            for _ in range(60):
                if thing.first.is_visible(): return thing.first
                page.mouse.wheel(0, step); page.wait_for_timeout(100)
        raise AssertionError(f"{thing} was not seen")

def start_voila(home, notebook):
    "Voila serving one notebook at 127.0.0.1: process, address, port"
    port = free_port(); url = f"http://127.0.0.1:{port}"
    home.mkdir(parents=True, exist_ok=True)
    return serve([sys.executable, "-m", "voila", notebook, "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"], home, f"{url}/voila/static/", cwd=Path(notebook).parent), url, port
