"The panel in a real Chromium: choose, train, come back; with keyboard, in grey, on a small screen"
import json, re, shutil, subprocess, sys, time
import pytest
from .a11y import check, colours, picture
from .lab import said, shot, wait_until
from .seen import *
pytestmark = pytest.mark.browser

def test_from_ready_to_reset(lab, page, kernel):
    "Each button does what it says, on both kernels"
    long = SHORT.replace("steps=60", "steps=200")
    shown(lab, page, "p.ipynb", f"panel = Panel({long}, 'runs')", kernel); shot(page, f"panel-ready-{kernel}")
    assert said(page, "^ready")=="ready" and points(page)==0 and button(page, "Pause").is_disabled() and button(page, "Stop").is_disabled()
    press(page, "Step"); assert said(page, "^paused")=="paused after step 1"
    told(page, "step 1 of 240"); assert button(page, "Start").is_disabled(); shot(page, f"panel-paused-{kernel}")
    press(page, "Step"); assert said(page, "^paused after step 2$")
    assert all(page.evaluate(LOCKED)) and page.get_by_text(re.compile("^Choices are locked while tiny-fkl-.* trains: press Stop")).is_visible()

    tab(page, "Next tokens"); page.locator(".kdnb-table th", has_text="next token").wait_for(timeout=30_000)
    press(page, "Resume"); at = grew(page, 4); shot(page, f"panel-training-{kernel}")
    place, smoothing = "document.querySelector('.kdnb-table th[scope=col]').closest('.kdnb-scroll').parentElement.innerText", "document.querySelector('.kdnb .js-plotly-plot').data[0].y[3]"
    took = [pressed(page, "place in answer", k, place) for k in ("ArrowRight", "ArrowLeft")]+[pressed(page, "smoothing", "ArrowRight", smoothing)]
    assert page.get_by_role("slider", name="smoothing").get_attribute("aria-valuetext")=="0.5"
    print(f"{kernel}: sliders answered after {', '.join(f'{t:.2f}' for t in took)} s while it trained at {told(page)}")
    press(page, "Pause"); text = said(page, "^paused after step"); at = points(page); page.wait_for_timeout(700); assert points(page)==at and said(page, "^paused")==text
    press(page, "Resume"); grew(page, at); assert all(page.evaluate(LOCKED))
    press(page, "Stop"); assert re.search("go on with: kdnb resume runs.tiny-fkl-", said(page, "^stopped;")); stopped = points(page)
    wait_until(lambda: not any(page.evaluate(LOCKED)), 20, "the choices stayed locked"); assert page.get_by_text("From top to bottom").is_visible(); shot(page, f"panel-stopped-{kernel}")
    press(page, "Start"); assert "press Stop, Reset, Start" in said(page, "^Goes on after step"); grew(page, stopped); assert said(page, "^(training|loading|labelling|done|the teacher)"); done = said(page, "^done: ", 120)
    assert re.search(r"% of what it says is right; .*KL.p‖q. [\d.]+, KL.q‖p. [\d.]+ nats a token$", done) and points(page)==240 and len(list((lab.root/"runs").glob("*/status.json")))==1
    told(page, "step 240 of 240"); shot(page, f"panel-done-{kernel}")
    assert page.get_by_text(re.compile(r"^cpu, fp32 .*; \d.* memory in this kernel$")).is_visible() and page.get_by_text("tiny → tiny-s, tiny-tell: 40 steps of forward KL, then 200 steps of forward KL").first.is_visible()

    tab(page, "Answers"); table = page.locator(".kdnb-table", has_text="student, step 240"); table.wait_for(); assert table.locator("tr").count()==9 and table.get_by_text("student, step 0").is_visible(); shot(page, f"panel-answers-{kernel}")
    took = pressed(page, "at step", "ArrowLeft", "document.querySelector('.kdnb-table caption').parentElement.innerText"); page.locator(".kdnb-table", has_text="student, step 220").wait_for(); print(f"at step: {took:.2f} s")
    tab(page, "Next tokens"); t = page.locator(".kdnb-table", has_text="next token"); assert t.locator("th").all_inner_texts()==["next token","teacher","student"] and t.locator("tr").count() > 5; shot(page, f"panel-tokens-{kernel}")
    tab(page, "Notes"); page.get_by_text(re.compile("teacher tiny .879,360 weights., student tiny-s")).wait_for()
    tab(page, "Runs"); runs = page.locator(".kdnb-table", has=page.locator("caption", has_text="1 run")); assert "done" in runs.inner_text() and "240" in runs.inner_text(); shot(page, f"panel-runs-{kernel}")
    press(page, "Reset"); assert said(page, "is then replaced. Until then it stays") and points(page)==0; shot(page, f"panel-reset-{kernel}")

MAKE = """from kdnb.recipe import Recipe
from kdnb.train import Run
few = dict(steps=30, warm=20, samples=4, evaluation=dict(every=10))
done = Run(Recipe.simple(**few), "runs").train()
part = Run(Recipe.simple(objective="rkl", seed=1, **few), "runs"); part.sinks.append(lambda e: part.stop() if e["kind"]=="step" and e["step"]==30 else None); part.train()
print(done.folder.name, done.state, part.folder.name, part.state)"""

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A folder with two short runs, one done and one stopped after step 30 of 50: its path and their names"
    at = tmp_path_factory.mktemp("made")
    done, state, part, how = subprocess.run([sys.executable, "-c", MAKE], cwd=at, capture_output=True, text=True, check=True).stdout.split()
    assert (state, how)==("done", "stopped"); return at/"runs", done, part

@newest_kernel
def test_choosing(lab, page, made, kernel):
    "By keyboard: what a choice changes, what is hidden and why, what is off and why; the recipe's text; runs on disk"
    runs, done, part = made; shutil.copytree(runs, lab.root/"runs"); shown(lab, page, "c.ipynb", f"panel = Panel({SHORT}, 'runs')", kernel)
    pick(page, "objective", "dpo"); assert "elicitation is now feedback: dpo learns from scored candidates" in said(page, "^Changed with it"); head(page, "Objective", "DPO"); assert chosen(page, "objective").startswith("dpo"); shot(page, "panel-changed")
    unfold(page, "Teacher"); pick(page, "teacher", "smollm2"); assert "skill is now instruct: only tiny speaks tiny-tell" in said(page, "skill is now instruct"); reads(page, re.compile("134,515,008 weights|about 135 million weights")); assert chosen(page, "teacher")=="smollm2-135m"
    unfold(page, "Student"); why = page.locator(".kdnb summary", has_text="3 hidden: why?").first; why.wait_for(); why.focus(); page.keyboard.press("Enter")
    reads(page, "which reads only the words of tiny; the teacher is smollm2-135m"); shot(page, "panel-hidden")
    assert not {"tiny-xs","tiny-s","tiny-m"} & set(page.get_by_label("student", exact=True).first.evaluate("e => [...e.options].map(o => o.value)")) and button(page, "Start").is_enabled()
    pick(page, "teacher", "hf"); assert "type the rest of the name, such as hf:" in said(page, "^Start is off"); assert button(page, "Start").is_disabled() and button(page, "Step").is_disabled(); shot(page, "panel-half-typed")
    pick(page, "teacher", "tiny"); said(page, "skill is now tiny-tell"); wait_until(button(page, "Start").is_enabled, 20, "Start stayed off"); assert page.get_by_text("Start is off").count()==0
    assert "from kdnb.train import distill" in page.locator(".kdnb-code").inner_text() and reads(page, "Recipe.simple('tiny'")

    tab(page, "Recipe"); text = page.get_by_label("YAML", exact=True); good = text.input_value()
    text.fill(bad := good.replace("objective:", "objektive:", 1)); assert "press Apply or Undo edits" in said(page, "^Start is off"); press(page, "Apply"); assert "Did you mean 'objective'" in said(page, "objektive")
    reads(page, "Did you mean 'objective'"); assert text.input_value()==bad and button(page, "Start").is_disabled(); shot(page, "panel-bad-yaml")
    text.fill(good.replace("seed: 0", "seed: 7", 1)); said(page, "edited, not yet applied"); press(page, "Apply"); said(page, "^applied$"); head(page, "Training", "seed 7"); reads(page, "seed=7")
    page.get_by_label("file", exact=True).fill("mine.yaml"); page.keyboard.press("Tab"); press(page, "Save"); said(page, "^saved as .*mine.yaml"); assert "seed: 7" in (lab.root/"mine.yaml").read_text()
    text.fill(good); press(page, "Apply"); head(page, "Training", "seed 0")
    press(page, "Load"); said(page, "^loaded mine.yaml"); head(page, "Training", "seed 7"); assert text.input_value()==(lab.root/"mine.yaml").read_text()

    tab(page, "Runs"); listed = page.get_by_label("runs", exact=True)
    press(page, "Overlay"); reads(page, "no run is marked")
    listed.select_option(index=[0, 1]); press(page, "Overlay")
    page.wait_for_function("document.querySelectorAll('.kdnb .js-plotly-plot').length==2"); over = page.locator(".kdnb .js-plotly-plot").nth(1); over.scroll_into_view_if_needed(); assert over.evaluate("g => g.data.length")==2; page.wait_for_timeout(500); shot(page, "panel-overlay")
    listed.select_option(label=next(t for t in listed.locator("option").all_inner_texts() if t.startswith(part))); press(page, "Resume")
    assert re.search("KL.q‖p. [0-9.]+ nats a token", said(page, "^done: ", 120)) and head(page, "Objective", "reverse KL") and json.loads((lab.root/"runs"/part/"status.json").read_text())["state"]=="done"
    steps = [json.loads(l)["step"] for l in (lab.root/"runs"/part/"history.jsonl").read_text().splitlines()]; assert steps==list(range(51)) and points(page) >= 30; shot(page, "panel-resumed")

def test_a_slow_page(lab, page):
    "A page that reads the widgets' code too late for anywidget: figure, headings and buttons live all the same"
    page.add_init_script("const wait = AbortSignal.timeout.bind(AbortSignal); AbortSignal.timeout = ms => wait(ms===2000 ? 0 : ms)")
    shown(lab, page, "s.ipynb", f"panel = Panel({SHORT}, 'runs')"); pick(page, "objective", "rkl"); head(page, "Objective", "reverse KL")
    press(page, "Start"); grew(page, 5); said(page, "^done: ", 120); assert points(page)==60; shot(page, "panel-slow-page")

END_SUBSHELLS = """m = get_ipython().kernel.shell_channel_thread.manager
for i in m.list_subshell(): m.control_to_shell_channel.from_socket.send_json(dict(type="delete", subshell_id=i)); print("ended", m.control_to_shell_channel.from_socket.recv_json()["status"])"""

def test_a_dead_line(lab, page):
    "What a widget last said in a subshell that has ended since, as one does with an older page, does not make it deaf"
    lab.open(page, lab.write("d.ipynb", PANEL+f"panel = Panel({SHORT}, 'runs')", END_SUBSHELLS)); lab.run_cell(page, 0); button(page, "Start").wait_for(timeout=90_000); wait_until(button(page, "Start").is_enabled, 90, "Start stayed off")
    press(page, "Step"); said(page, "^paused after step 1$"); lab.run_cell(page, 1); page.get_by_text("ended ok").wait_for(); press(page, "Resume"); said(page, "^done: ", 120); shot(page, "panel-dead-line")

FIGURES = "() => [...document.querySelectorAll('.jp-OutputArea .js-plotly-plot')].filter(g => !g.closest('.kdnb')).map(g => (g.data || []).map(d => d.name))"

def test_coming_back(lab, page, kernel):
    "A page that is loaded again finds its run; after a restart of the kernel the run is found by its name"
    name = lab.write("b.ipynb", PANEL+"panel = Panel(Recipe.simple(steps=50_000, warm=0, samples=4, evaluation=dict(every=1000)), 'runs')", "from pathlib import Path\nfrom kdnb.train import attach\nattach(next(Path('runs').iterdir()).name)", PANEL+"from pathlib import Path\nagain = Panel(next(Path('runs').iterdir()).name)", kernel=kernel)
    runs = lab.root/"runs"; lab.open(page, name); lab.run_cell(page, 0); button(page, "Start").wait_for(timeout=90_000); wait_until(button(page, "Start").is_enabled, 90, "Start stayed off"); press(page, "Start"); at = grew(page, 5)
    step = lambda: int(re.match(r"step ([\d,]+) of 50,000", told(page))[1].replace(",", "")); at = step(); lab.save(page, name); lab.reload(page, name)
    came = page.locator(".kdnb [role=timer]").first.or_(page.get_by_text("model not found")); came.wait_for(timeout=60_000); print(f"after a reload: {'the panel came back by itself' if page.locator('.kdnb').count() else 'its cell had to be run again'}")
    if not page.locator(".kdnb").count(): lab.run_cell(page, 0); lab.ran(page, 0)
    wait_until(lambda: step() > at, 60, "the panel stood still after the page was loaded again"); at = step(); n = points(page); grew(page, n); shot(page, "panel-reloaded")
    press(page, "Pause"); said(page, "^paused after step"); press(page, "Resume"); wait_until(lambda: step() > at, 60, "the run stood still"); assert len(list(runs.glob("*/status.json")))==1

    lab.run_cell(page, 0); lab.ran(page, 0); wait_until(lambda: page.locator(".kdnb").count()==1, 60, "the old panel stayed"); button(page, "Stop").wait_for(); at = step()    # the same cell once more: the same run
    wait_until(lambda: step() > at, 60, "the second panel stood still"); assert len(list(runs.glob("*/status.json")))==1 and button(page, "Start").is_disabled()
    wait_until(lambda: list(runs.glob("*/checkpoint-*/model.safetensors")), 60, "no checkpoint was written"); lab.restart(page, name)
    lab.run_cell(page, 1); page.wait_for_function(f"({FIGURES})().some(n => n.length)", timeout=90_000); lab.ran(page, 1); shot(page, "panel-attached")
    lab.run_cell(page, 2); lab.ran(page, 2); last = page.locator(".kdnb").last; last.scroll_into_view_if_needed(); last.get_by_role("button", name="Start", exact=True).wait_for()
    wait_until(last.get_by_role("button", name="Start", exact=True).is_enabled, 90, "Start stayed off"); text = last.locator("[role=status]").all_inner_texts(); assert any("stopped" in t or "killed" in t for t in text), text
    assert last.locator(".js-plotly-plot").first.evaluate("g => g.data[0].x.length") > 5; shot(page, "panel-after-restart")
    last.get_by_role("button", name="Start", exact=True).click(); last.locator("[role=timer]", has_text=re.compile(r"step [\d,]+ of 50,000")).wait_for(timeout=90_000)
    last.get_by_role("button", name="Stop", exact=True).click(); wait_until(lambda: json.loads(next(runs.glob("*/status.json")).read_text())["state"]=="stopped", 60, "the run did not stop")
    rows = [json.loads(l)["step"] for l in next(runs.glob("*/history.jsonl")).read_text().splitlines()]; assert rows==list(range(len(rows))) and len(list(runs.glob("*/status.json")))==1

def test_the_last_figure_stays(lab, page, kernel):
    "Two runs in one panel: what stands below it is the second, also in a notebook that is opened again without a kernel"
    few = "Recipe.simple(steps=20, warm=0, samples=2, evaluation=dict(every=10))"; name = shown(lab, page, "f.ipynb", f"panel = Panel({few}, 'runs')", kernel)
    press(page, "Start"); said(page, "^done: ", 120); page.wait_for_function(f"({FIGURES})().some(n => n.includes('training forward KL'))", timeout=30_000)
    pick(page, "objective", "rkl"); head(page, "Objective", "reverse KL"); press(page, "Start"); wait_until(lambda: len(list((lab.root/"runs").glob("tiny-rkl-*/metrics.json")))==1, 120, "the second run did not end")
    page.wait_for_function(f"({FIGURES})().some(n => n.includes('training reverse KL'))", timeout=30_000); assert not [n for n in page.evaluate(FIGURES) if "training forward KL" in n]
    lab.save(page, name); kept = [o["data"] for o in lab.outputs(name)[0] if "application/vnd.plotly.v1+json" in o.get("data", {})]
    assert len(kept)==1 and "training reverse KL" in [t["name"] for t in kept[0]["application/vnd.plotly.v1+json"]["data"]]
    lab.shut_down(name); lab.reload(page, name); page.locator(".jp-OutputArea img, .jp-OutputArea .js-plotly-plot").first.wait_for(timeout=60_000)
    picture_ = page.locator(".jp-OutputArea img, .jp-OutputArea .js-plotly-plot").first; picture_.scroll_into_view_if_needed(); assert picture_.bounding_box()["height"] > 200; shot(page, "panel-reopened")

EVIL = "<img src=x onerror=window.evil=1>"

@newest_kernel
def test_model_text_is_text(lab, page, made, kernel):
    "What a model says, and what a folder is called, is shown as it is and never acts: panel, watch, report"
    runs, done, part = made; shutil.copytree(runs, lab.root/"runs"); at = lab.root/"runs"/done
    for f in ("glimpses.jsonl", "samples.jsonl", "answers.jsonl"):
        rows = [json.loads(l) for l in (at/f).read_text().splitlines()]
        (at/f).write_text("".join(json.dumps({k: EVIL if k in ("teacher","student","text") else v for k,v in r.items()})+"\n" for r in rows))
    worse = lab.root/"runs"/EVIL; shutil.copytree(lab.root/"runs"/part, worse); s = json.loads((worse/"status.json").read_text()); (worse/"status.json").write_text(json.dumps({**s, "state": "failed", "error": EVIL}))
    lab.open(page, lab.write("e.ipynb", PANEL+f"panel = Panel({done!r})", PANEL+f"run = watch({done!r})", PANEL+f"panel = Panel({EVIL!r})", kernel=kernel))
    for i in (0, 1, 2):
        lab.run_cell(page, i); lab.ran(page, i); panel = page.locator(".kdnb").last; panel.scroll_into_view_if_needed()
        if i < 2: panel.locator("td", has_text=EVIL).first.wait_for(); assert panel.locator("td", has_text=EVIL).count() >= 16; shot(page, f"panel-evil-{i}")
        for t in ("Next tokens", "Runs", "Notes"):
            if (x := panel.get_by_role("tab", name=t, exact=True)).count(): x.click(); page.wait_for_timeout(300)
        if i==0:
            panel.get_by_role("tab", name="Runs").click(); assert panel.locator("td", has_text=EVIL).locator("visible=true").count()
            panel.get_by_role("tab", name="Next tokens").click(); panel.get_by_role("button", name="Read both models").click(); panel.locator("code", has_text="<unk>").locator("visible=true").first.wait_for(timeout=60_000); shot(page, "panel-evil-tokens")
            panel.get_by_role("tab", name="Recipe").click(); panel.get_by_role("button", name="Make report").click(); link = panel.get_by_role("link", name="open it"); link.wait_for(timeout=120_000); report = re.search(r"report: (\S+html)", said(page, "^report: .*html"))[1]
            with page.context.expect_page() as opened: link.click()
            opened.value.locator(".js-plotly-plot .main-svg").first.wait_for(); assert opened.value.locator("td", has_text=EVIL).count() and opened.value.evaluate("typeof window.evil")=="undefined"; opened.value.close()
    panel.get_by_text(EVIL).first.wait_for(); assert page.evaluate("typeof window.evil")=="undefined" and page.locator(".kdnb img").count()==0
    page.goto(f"file://{report}"); page.locator(".js-plotly-plot .main-svg").first.wait_for(); assert page.locator("td", has_text=EVIL).count() and page.evaluate("typeof window.evil")=="undefined" and page.locator("img[onerror]").count()==0; shot(page, "panel-evil-report", full=True)

@newest_kernel
def test_for_everybody(lab, page, made, kernel):
    "Keyboard and screen reader; grey, and without red and green; a projector and a narrow window"
    runs, done, part = made; shutil.copytree(runs, lab.root/"runs"); shown(lab, page, "a.ipynb", f"panel = Panel({done!r})", kernel); said(page, "^done: .* nats a token")
    names = [s["name"] for s in check(page, ".kdnb")]; order = [next(i for i,n in enumerate(names) if x in n) for x in ("Skill and seed knowledge:", "Teacher:", "Student:", "Elicitation:", "Objective:", "Training:", "Copy as Python", "Start", "smoothing", "Answers")]; assert order==sorted(order), names
    for n in ("Skill and seed knowledge", "Teacher", "Student", "Elicitation", "Training"): unfold(page, n)
    for h in page.locator(".kdnb-head[aria-expanded=false]").locator("visible=true").element_handles(): h.focus(); page.keyboard.press("Enter")    # those that are closed now: opening one changes the list
    page.get_by_label("source", exact=False).first.wait_for(); page.wait_for_timeout(1000); stops = check(page, ".kdnb"); print(f"{len(stops)} stops of Tab with all sections open"); shot(page, "panel-all-open", full=True)
    assert {s["role"] for s in stops} >= {"button","combobox","slider","textbox","tab"} and all(s["expanded"] in (True, False) for s in stops if s["name"][:1] in "▸▾")
    for t in ("Next tokens", "Recipe", "Runs", "Notes", "Answers"): page.get_by_role("tab", name=t, exact=True).focus(); page.keyboard.press("Enter"); check(page, ".kdnb")
    f = page.locator(".kdnb .js-plotly-plot").first; assert f.get_attribute("role")=="img" and "curves" in f.get_attribute("aria-label")
    h = head(page, "Teacher"); h.focus(); page.keyboard.press("Enter"); wait_until(lambda: h.get_attribute("aria-expanded")=="false" and not page.get_by_label("teacher", exact=True).first.is_visible(), 20, "Teacher did not close")
    for n in ("Skill and seed knowledge", "Student", "Elicitation", "Training"): head(page, n).click()
    button(page, "Start").scroll_into_view_if_needed(); page.wait_for_timeout(500)
    wide = lambda: f.locator(".main-svg").first.bounding_box()["width"]; narrow = wide(); press(page, "Hide the form"); wait_until(lambda: wide() > narrow+300, 20, "the figure stayed narrow"); assert not page.locator(".kdnb-head").first.is_visible(); shot(page, "panel-lecture")
    press(page, "Show the form"); wait_until(lambda: abs(wide()-narrow) < 2, 20, "the form did not come back")
    looks = f.evaluate("g => g.data.map(d => (d.line.dash || 'solid')+' '+(d.mode.includes('markers') ? d.marker.symbol : '')+' '+d.line.width)"); assert len(set(looks))==len(looks), looks    # told apart without any colour
    grey = colours(page, picture(page, "panel-grey", "achromatopsia")); assert all(c[:2]==c[2:4]==c[4:] for c in grey); picture(page, "panel-deuteranopia", "deuteranopia")
    for w,h in ((1280, 720), (400, 800)):
        page.set_viewport_size(dict(width=w, height=h)); page.wait_for_timeout(1500)
        for t in ("Answers", "Next tokens", "Recipe", "Runs", "Notes"): page.get_by_role("tab", name=t, exact=True).click(); page.wait_for_timeout(200); assert page.evaluate(OUTSIDE)==[0, []], (w, t)
        page.get_by_role("tab", name="Answers", exact=True).click(); button(page, "Start").scroll_into_view_if_needed(); shot(page, f"panel-{w}x{h}"); f.scroll_into_view_if_needed(); shot(page, f"panel-{w}x{h}-figure")
        page.get_by_role("tab", name="Answers", exact=True).scroll_into_view_if_needed(); page.mouse.wheel(0, 300); page.wait_for_timeout(300); shot(page, f"panel-{w}x{h}-answers")

def test_voila(lab, page, voila, kernel):
    "As an application without cells: it starts, plots, stops"
    page.goto(voila(lab.root/lab.write("v.ipynb", PANEL+"panel = Panel(Recipe.simple(steps=2000, warm=0, samples=4), 'runs')", kernel=kernel)), wait_until="commit"); button(page, "Start").wait_for(timeout=90_000)
    wait_until(button(page, "Start").is_enabled, 90, "Start stayed off"); press(page, "Start"); began = time.time(); grew(page, 0); first = time.time()-began; grew(page, 5); shot(page, "panel-voila")
    status = lambda: json.loads(next((lab.root/"runs").glob("*/status.json")).read_text())["state"]; press(page, "Stop"); began = time.time(); wait_until(lambda: status()=="stopped"); print(f"Voila: first point {first:.1f} s after Start, stopped and written {time.time()-began:.2f} s after Stop"); said(page, "kdnb resume", 30)
