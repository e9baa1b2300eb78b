"""Measure what it is to watch a run: first plot, Stop, sliders, memory, cost. In a real JupyterLab and Chromium; numbers, no tests.

    python tools/live.py                                  # all, some 12 minutes
    python tools/live.py --only memory --minutes 30
    python tools/live.py --view watch                     # the same of another view: a line in VIEWS
"""
import argparse, contextlib, json, os, signal, statistics, subprocess, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent.parent/"tests"))
from browser.seen import pressed, tab
from browser.lab import CHROMIUM, Lab, chromium, chromium_path, end, free_port, new_page, recorded, start_lab, wait_until, write_notebook

# imports; what a cell says to show `recipe`; the button that then starts it, if any; where the run is; what the kernel alone says to show and start it
VIEWS = {
    "panel": ("from kdnb.panel import Panel", "panel = Panel(recipe, out)", "Start", "panel.run", "panel = Panel(recipe, out); panel.start(); run = panel.run"),
    "watch": ("from kdnb.panel import watch", "run = watch(recipe, out)", None, "run", "run = watch(recipe, out)"),
}

BEGIN = """import itertools, json, pathlib, tempfile, threading, time
from kdnb.recipe import Recipe
from kdnb.train import Run
{imports}
count = itertools.count()
def recipe_of(steps, seed): return Recipe.simple(teacher="tiny", student="tiny-s", objective="fkl", warm=0, steps=steps, seed=seed)
"""

SHOW = """i = next(count); recipe, out = recipe_of({steps}, i), tempfile.mkdtemp()
{show}"""

# when the loop made its last step, and when the run had written its checkpoint; on the clock that the browser has too
NOTE = """def note(run, i):
    made = []; run.sinks.append(lambda e: made.append(time.time()) if e["kind"]=="step" else None)
    def to_the_end():
        run.wait(); gaps = [b-a for a,b in zip(made, made[1:])]
        pathlib.Path(f"ended{{i}}.tmp").write_text(json.dumps(dict(last=made[-1], ended=time.time(), step=sorted(gaps)[len(gaps)//2] if gaps else 0, state=run.state, training=run.status["seconds"]["training"]))); pathlib.Path(f"ended{{i}}.tmp").rename(f"ended{{i}}.json")
    threading.Thread(target=to_the_end, daemon=True).start()
note({run}, i)"""

# the cell waits: what it prints is a line of JSON a run
COST = """for i in range({pairs}):
    for watched in ((False, True), (True, False))[i%2]:
        recipe, out = recipe_of({steps}, 100), tempfile.mkdtemp()
        if watched: {bare}
        else: run = Run(recipe, out).start()
        run.wait(); print(json.dumps(dict(watched=watched, state=run.state, seconds=run.status["seconds"]["training"])))"""

# one run whose view is taken off and put on again every `seg` steps: what is compared lies a second apart
TURNS = """import numpy as np
seg = {seg}; recipe, out = recipe_of(seg*(2*{pairs}+2), 200), tempfile.mkdtemp()
{bare}
views, at = list(run.sinks), []
def turn(e):
    if e["kind"]=="step" and e["step"] % seg==0: at.append((time.perf_counter(), time.process_time())); run.sinks[1:] = views if len(at)%2 else []
run.sinks.insert(0, turn); run.wait()
d = np.diff(at, axis=0)[:2*{pairs}]; print(json.dumps(dict(state=run.state, wall=(d[0::2,0]/d[1::2,0]-1).tolist(), cpu=(d[0::2,1]/d[1::2,1]-1).tolist())))"""

POINT = "() => [...document.querySelectorAll('.js-plotly-plot')].some(g => (g.data||[]).some(t => t.x && t.x.length))"
LINE = "() => [...document.querySelectorAll('.js-plotly-plot')].some(g => (g.data||[]).some(t => t.x && t.x.length > 3))"
CLICKED = "() => { window.clicked = null; document.addEventListener('click', e => { if (e.target.closest('button')) window.clicked = performance.timeOrigin+e.timeStamp }, {capture: true, once: true}) }"

class View:
    "One of VIEWS in a notebook that JupyterLab shows"
    def __init__(self, a, lab, page): self.a, self.lab, self.page = a, lab, page; self.imports, self.show, self.button, self.run, self.bare = VIEWS[a.view]
    def open(self, name, steps, begin=True):
        lab, page = self.lab, self.page; first, show = BEGIN.format(imports=self.imports), SHOW.format(steps=steps, show=self.show)
        lab.write(name, *([first, show] if begin else [first+"\n"+show]), NOTE.format(run=self.run)); lab.open(page, name)
        if begin: lab.run_cell(page, 0); lab.ran(page, 0)
        self.at, self.name = int(begin), name
    def start(self, patient=False):
        "Run the cell, and press Start where there is one, as soon as it can be pressed or when the cell is done; the time of the last of these"
        self.page.evaluate("window.old = document.querySelector('.js-plotly-plot')")
        t = time.time(); self.lab.run_cell(self.page, self.at); self.until("() => !window.old || !window.old.isConnected")
        if self.button: b = self.page.get_by_role("button", name=self.button, exact=True).first; b.wait_for(); patient and self.lab.ran(self.page, self.at); self.page.evaluate(CLICKED); b.click(); t = self.page.evaluate("window.clicked")/1000
        return t
    def until(self, js, ms=120_000): self.page.wait_for_function(js, timeout=ms, polling=20); return time.time()
    def stop(self): self.page.get_by_role("button", name="Stop", exact=True).first.click()
    def stop_and_wait(self, i):
        "Press Stop: when that was, and what the kernel noted"
        self.page.evaluate(CLICKED); self.stop(); at = self.lab.root/f"ended{i}.json"; wait_until(at.exists, 60, "the run did not end")
        return self.page.evaluate("window.clicked")/1000, json.loads(at.read_text())

def row(what, value, note=""): print(f"{what:58} {value:>14}  {note}", flush=True)
def spread(xs, digits=2): return f"median of {len(xs)}, {min(xs):.{digits}f} to {max(xs):.{digits}f}"

def first(v):
    "Seconds from Run or Start to the first point"
    cold, warm, line = [], [], []
    for i in range(2):
        v.open(f"cold{i}.ipynb", 1500, begin=False); t = v.start(); cold.append(v.until(POINT)-t); v.stop(); v.lab.shut_down(v.name)
    v.open("first.ipynb", 1500)
    for i in range(max(2, v.a.times//2)):
        t = v.start(patient=True); warm.append(v.until(POINT)-t); line.append(v.until(LINE)-t)
        v.lab.run_cell(v.page, v.at+1); v.lab.ran(v.page, v.at+1); v.stop_and_wait(i)
    v.lab.shut_down(v.name)
    row(f"first point, new kernel, {v.button or 'Run'} as soon as it can be pressed", f"{statistics.median(cold):.2f} s", spread(cold))
    row(f"first point after {v.button or 'Run'}, kdnb imported", f"{warm[0]:.2f} s", "first view of a kernel")
    row("first point of a later run there", f"{statistics.median(warm[1:]):.2f} s", spread(warm[1:]))
    row("a line of more than three points", f"{statistics.median(line):.2f} s", spread(line))

def stop(v):
    "Seconds from the click on Stop to the end of the loop"
    v.open("stop.ipynb", 100_000); loop, ended, step = [], [], []
    for i in range(v.a.times):
        v.start(); v.until(LINE); v.lab.run_cell(v.page, v.at+1); v.lab.ran(v.page, v.at+1); v.page.wait_for_timeout(500+137*i)    # somewhere between two draws
        clicked, x = v.stop_and_wait(i)
        loop.append(max(0, x["last"]-clicked)); ended.append(x["ended"]-clicked); step.append(x["step"])
    v.lab.shut_down(v.name)
    row("Stop to the last step", f"{statistics.median(loop)*1000:.0f} ms", f"max {max(loop)*1000:.0f} ms of {len(loop)}; a step takes {statistics.median(step)*1000:.0f} ms")
    row("Stop to the end of the run, its checkpoint written", f"{statistics.median(ended)*1000:.0f} ms", f"max {max(ended)*1000:.0f} ms")

# a real language model on all cores; the answers are there, so training begins soon
HEAVY = """import json, pathlib, tempfile
from kdnb.recipe import Recipe
{imports}
rows = pathlib.Path("rows.jsonl"); rows.write_text("".join(json.dumps(dict(prompt=f"What is {{i}} plus {{i}}?", completion=f"{{i}} plus {{i}} is {{2*i}}, because we count on from {{i}}.")) + "\\n" for i in range(24)))
recipe, out = Recipe.simple(teacher="smollm2-135m", steps=5000, batch=4, data=dict(source="rows.jsonl", heldout=.2), evaluation=dict(every=1000, prompts=2, glimpse=2, max_new_tokens=12)), tempfile.mkdtemp()
{show}"""
SLIDERS = {"smoothing": "document.querySelector('.js-plotly-plot').data[0].y[3]", "place in answer": "document.querySelector('.kdnb-bar').closest('.kdnb-scroll').parentElement.innerText"}

def sliders(v):
    "Seconds from a key on a slider until what it moves has moved, while SmolLM2 trains on all cores"
    v.lab.write("sliders.ipynb", HEAVY.format(imports=v.imports, show=v.show)); v.lab.open(v.page, "sliders.ipynb"); v.at, v.name = 0, "sliders.ipynb"; v.start(patient=bool(v.button))
    v.until("() => [...document.querySelectorAll('.js-plotly-plot')].some(g => (g.data||[]).some(t => t.x && t.x.length > 8))", 900_000)
    tab(v.page, "Next tokens"); v.page.locator(".kdnb-bar").first.wait_for(timeout=120_000)
    for name,changed in SLIDERS.items():
        took = []
        for i in range(v.a.times): took.append(pressed(v.page, name, ("ArrowRight","ArrowLeft")[i%2], changed)); v.page.wait_for_timeout(300+97*i)
        row(f"slider '{name}' while SmolLM2 trains", f"{statistics.median(took)*1000:.0f} ms", f"max {max(took)*1000:.0f} ms of {len(took)}")
    v.stop(); v.lab.shut_down(v.name)

@contextlib.contextmanager
def free_chromium(pw):
    "A Chromium that nobody is tied to: its process, and a function that looks at its page for a while. While Playwright is tied to it, a tab keeps 20 MB a minute more"
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as d:
        p = subprocess.Popen([chromium_path(), *CHROMIUM, f"--remote-debugging-port={port}", f"--user-data-dir={d}", "--window-size=1280,720", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        @contextlib.contextmanager
        def look():
            def tie():
                with contextlib.suppress(Exception): return pw.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
            b = wait_until(tie, why="Chromium did not answer")
            try: yield recorded(b.contexts[0].pages[0])
            finally: b.close()
        try: yield p, look
        finally: end(p)

def memory(v, pw):
    "Memory of the kernel and the tab while a run trains, from minute 1 on, after garbage was collected. The kernel's goes up and down by some MB as batches come and go, so it is the median of ten seconds"
    import psutil
    with free_chromium(pw) as (chrome, look):
        with look() as page: v = View(v.a, v.lab, page); v.open("memory.ipynb", 10_000_000); v.start(); v.until(LINE); began = time.time()
        kernel = psutil.Process(v.lab.pid(v.name)); tab = max((p for p in psutil.Process(chrome.pid).children(recursive=True) if "--type=renderer" in " ".join(p.cmdline())), key=lambda p: p.memory_info().rss)
        def resting():
            got = []
            for _ in range(40): got.append(kernel.memory_info().rss/1e6); time.sleep(.25)
            return statistics.median(got)
        def reading():
            rss = resting()
            with look() as page:
                cdp = page.context.new_cdp_session(page)
                for _ in range(2): cdp.send("HeapProfiler.collectGarbage"); time.sleep(1)
                cdp.send("Performance.enable"); m = {x["name"]: x["value"] for x in cdp.send("Performance.getMetrics")["metrics"]}
                return dict(kernel=rss, tab=tab.memory_info().rss/1e6, heap=(m["JSHeapUsedSize"]+cdp.send("Runtime.getHeapUsage").get("backingStorageSize", 0))/1e6, nodes=m["Nodes"],
                            points=page.evaluate("Math.max(...[...document.querySelectorAll('.js-plotly-plot')].map(g => g.data[0].x.length))"))
        got = {}
        for minute in sorted({1, *range(5, v.a.minutes, 5), max(2, v.a.minutes)}):
            time.sleep(max(0, began+60*minute-time.time())); x = got[minute] = reading()
            row(f"memory at minute {minute}: kernel", f"{x['kernel']:.1f} MB", f"tab {x['tab']:.0f} MB, of it heap and arrays {x['heap']:.1f} MB; {x['nodes']:.0f} nodes, {x['points']} points a line")
        a, b = got[1], got[minute]
        row(f"grew from minute 1 to {minute}: kernel", f"{b['kernel']-a['kernel']:+.1f} MB", f"tab {b['tab']-a['tab']:+.0f} MB, heap and arrays {b['heap']-a['heap']:+.1f} MB, nodes {b['nodes']-a['nodes']:+.0f}")
    v.lab.shut_down(v.name)

def in_kernel(v, *cells):
    "Run cells in one kernel that believes it is watched, but no browser looks; the JSON lines that they print, cell by cell"
    import nbclient, nbformat
    with tempfile.TemporaryDirectory() as d:
        write_notebook(Path(d)/"cost.ipynb", BEGIN.format(imports=v.imports), *cells); nb = nbformat.read(Path(d)/"cost.ipynb", 4)
        os.environ["KDNB_UI"] = "live"
        try: nbclient.NotebookClient(nb, timeout=3600, resources=dict(metadata=dict(path=d))).execute()
        finally: del os.environ["KDNB_UI"]
    return [[json.loads(l) for o in c.outputs if o.output_type=="stream" for l in o.text.splitlines() if l.startswith("{")] for c in nb.cells[1:]]

def percent(xs): xs = sorted(xs); n = len(xs); return f"{statistics.median(xs):+.1%}", f"median of {n} pairs, middle half {xs[n//4]:+.1%} to {xs[-1-n//4]:+.1%}"

def bare_cost(v):
    "The same recipe with and without a view, in one kernel that no browser looks at; seconds of training without one"
    got, turns = in_kernel(v, COST.format(pairs=v.a.pairs, steps=v.a.steps, bare=v.bare), TURNS.format(seg=100, pairs=v.a.turns, bare=v.bare))
    assert all(x["state"]=="done" for x in got+turns) and len(got)==2*v.a.pairs, got
    bare, seen = ([x["seconds"] for x in got if x["watched"]==w] for w in (False, True))
    rate = lambda s: v.a.steps/statistics.median(s)
    row("steps/s, nobody watches", f"{rate(bare):.1f}", spread(bare)+f" s for {v.a.steps} steps")
    row("steps/s with a view, no browser", f"{rate(seen):.1f}", spread(seen)+" s")
    row("time that being watched adds, run by run in turns", *percent([b/a-1 for a,b in zip(bare, seen)]))
    row("the same, a view taken off and on within one run", *percent(turns[0]["wall"]))
    row("CPU that it adds in the kernel, the same way", *percent(turns[0]["cpu"]))
    return bare

def drawn_cost(v, bare):
    "The same recipe while the browser draws"
    v.open("drawn.ipynb", v.a.steps); v.start(); v.until(POINT); v.page.evaluate("window.drawn = 0; document.querySelector('.js-plotly-plot').on('plotly_afterplot', () => window.drawn++)")
    v.lab.run_cell(v.page, v.at+1); at = v.lab.root/"ended0.json"; wait_until(at.exists, 600, "the run did not end")
    s = json.loads(at.read_text())["training"]
    row("steps/s with a browser drawing on the same cores", f"{v.a.steps/s:.1f}", f"{s/statistics.median(bare)-1:+.1%} time; {v.page.evaluate('window.drawn')} draws")
    v.lab.shut_down(v.name)

PARTS = ("first","stop","sliders","memory","cost")

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--view", choices=VIEWS, default="panel", help="what is measured")
    p.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    p.add_argument("--minutes", type=int, default=3, help="of training, for memory"); p.add_argument("--times", type=int, default=10, help="that Stop or a slider is pressed")
    p.add_argument("--pairs", type=int, default=4, help="of runs, without and with a view"); p.add_argument("--steps", type=int, default=600, help="of each of these runs")
    p.add_argument("--turns", type=int, default=20, help="pairs of 100 steps within one run, without and with a view")
    a = p.parse_args()
    from playwright.sync_api import sync_playwright
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))    # who is ended ends the server, or its kernel would train on
    with tempfile.TemporaryDirectory() as d, sync_playwright() as pw:
        os.environ["TMPDIR"] = tempfile.tempdir = d    # the runs go there too
        home, root = Path(d)/"jupyter", Path(d)/"lab"; proc, url, port = start_lab(home, root)
        print(f"view: {a.view}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start", flush=True)
        try:
            browser = chromium(pw); v = View(a, Lab(url, port, root.resolve(), root.resolve(), home/"server.log"), new_page(browser))
            if "first" in a.only: first(v)
            if "stop" in a.only:
                for f in root.glob("ended*"): f.unlink()
                stop(v)
            if "sliders" in a.only: sliders(v)
            if "memory" in a.only: memory(v, pw)
            if "cost" in a.only:
                bare = bare_cost(v)
                for f in root.glob("ended*"): f.unlink()
                drawn_cost(v, bare)
            browser.close()
        finally: end(proc)

if __name__=="__main__": main()
