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
    press(page, "Start"); grew(page, stopped); assert said(page, "^(training|loading|labelling|done|the teacher)"); done = said(page, "^done: ", 120)
    assert re.search(r"kl_pq \d", done) and points(page)==240 and len(list((lab.root/"runs").glob("*/status.json")))==1
    told(page, "step 240 of 240"); shot(page, f"panel-done-{kernel}")

    tab(page, "Answers"); table = page.locator(".kdnb-table", has_text="student, step 240"); table.wait_for(); assert table.locator("tr").count()==9 and table.get_by_text("student, step 0").is_visible(); shot(page, f"panel-answers-{kernel}")
    took = pressed(page, "at step", "ArrowLeft", "document.querySelector('.kdnb-table caption').parentElement.innerText"); page.locator(".kdnb-table", has_text="student, step 220").wait_for(); print(f"at step: {took:.2f} s")
    tab(page, "Next tokens"); t = page.locator(".kdnb-table", has_text="next token"); assert t.locator("th").all_inner_texts()==["next token","teacher","student"] and t.locator("tr").count() > 5; shot(page, f"panel-tokens-{kernel}")
    tab(page, "Notes"); page.get_by_text(re.compile("teacher tiny .879,360 weights., student tiny-s")).wait_for()
    tab(page, "Runs"); runs = page.locator(".kdnb-table", has=page.locator("caption", has_text="1 runs" )); assert "done" in runs.inner_text() and "240" in runs.inner_text(); shot(page, f"panel-runs-{kernel}")
    press(page, "Reset"); assert "is then replaced. Until then it stays" in said(page, "^ready") and points(page)==0; shot(page, f"panel-reset-{kernel}")

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

def test_choosing(lab, page, made):
    "By keyboard: what a choice changes, what is hidden and why, what is off and why; the recipe's text; runs on disk"
    runs, done, part = made; shutil.copytree(runs, lab.root/"runs"); shown(lab, page, "c.ipynb", f"panel = Panel({SHORT}, 'runs')")
    pick(page, "objective", "dpo"); assert "elicitation is now feedback: dpo learns from scored candidates" in said(page, "^Changed with it"); head(page, "Objective", "DPO"); assert chosen(page, "objective").startswith("dpo"); shot(page, "panel-changed")
    unfold(page, "Teacher"); pick(page, "teacher", "smollm2"); assert "skill is now instruct: only tiny speaks tiny-tell" in said(page, "skill is now instruct"); reads(page, "134,515,008 weights"); assert chosen(page, "teacher")=="smollm2-135m"
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
    assert re.search("kl_qp", said(page, "^done: ", 120)) and head(page, "Objective", "reverse KL") and json.loads((lab.root/"runs"/part/"status.json").read_text())["state"]=="done"
    steps = [json.loads(l)["step"] for l in (lab.root/"runs"/part/"history.jsonl").read_text().splitlines()]; assert steps==list(range(51)) and points(page) >= 30; shot(page, "panel-resumed")
