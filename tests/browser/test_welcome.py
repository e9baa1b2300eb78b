"The notebook of `kdnb lab` in a real JupyterLab"
import json, re
import pytest
from conftest import short_recipe, short_welcome
from .lab import loopback_only, shot, wait_until
from .seen import newest_kernel
pytestmark = pytest.mark.browser

def states(lab): return sorted(json.loads(p.read_text())["state"] for p in (lab.root/"runs").glob("*/status.json"))

def test_welcome_distils_live(lab, page, kernel):
    "`kdnb lab` opens the notebook; under Run All the panel stands ready, the cell below it trains, its plot grows, and Pause, Resume and Stop work"
    assert loopback_only(lab.port)
    lab.use("welcome.ipynb", kernel); lab.open(page, "welcome.ipynb"); lab.run_all(page)
    lab.scroll(page, page.get_by_text("From top to bottom")); shot(page, f"welcome-panel-{kernel}")
    button = lambda name: watched.get_by_role("button", name=name, exact=True)
    watched = page.locator(".kdnb", has=page.locator("[role=timer]", has_text="step")).last; lab.scroll(page, watched.locator("[role=timer]", has_text=re.compile("step [0-9]+ of 1,200")))
    points = lambda: watched.locator(".js-plotly-plot").first.evaluate("d => Math.max(...d.data.map(t => t.x.length))")
    grew = lambda than: wait_until(lambda: points() > than, 60, "the plot did not grow")
    grew(3); a = points(); shot(page, f"welcome-running-{kernel}"); grew(a)
    said = lambda text: watched.locator("[role=status]", has_text=text).wait_for(timeout=30_000)
    button("Pause").click(); said("paused after step"); page.wait_for_timeout(600); a = points(); page.wait_for_timeout(900); assert points()==a
    button("Resume").click(); grew(a)
    button("Stop").click(); said("kdnb resume"); assert button("Stop").is_disabled() and states(lab)==["stopped"]

@newest_kernel
def test_welcome_to_the_end(lab, page, kernel):
    "Both runs, shortened here, one by Start and one by its cell; then the cells below compare them, and the student answers"
    (lab.root/"short.ipynb").write_text(short_welcome().replace('recipe = \\"\\"', 'recipe = \\"short.yaml\\"')); (lab.root/"short.yaml").write_text(short_recipe().to_yaml())
    lab.use("short.ipynb", kernel); lab.open(page, "short.ipynb"); lab.run_all(page)
    wait_until(lambda: states(lab)==["done"], 120, "the watched cell did not end")
    lab.scroll(page, "Not done yet: fkl"); lab.scroll(page, page.get_by_text("From top to bottom")); start = page.get_by_role("button", name="Start", exact=True).first; wait_until(start.is_enabled, 60, "Start stayed off"); start.click()
    wait_until(lambda: states(lab)==["done","done"], 120, "the panel's run did not end")
    for i,c in enumerate(lab.read("short.ipynb")["cells"]):
        if "ready()" in "".join(c["source"]): lab.run_cell(page, i); lab.ran(page, i)
    lab.scroll(page, "precision: share of samples that are right"); shot(page, "welcome-compared"); lab.scroll(page, "Right answers to"); shot(page, "welcome-modes")
    lab.save(page, "short.ipynb"); kept = [o for c in lab.outputs("short.ipynb") for o in c]
    assert not [o for o in kept if o["output_type"]=="error"] and not [o for o in kept if "Not done yet" in str(o.get("text"))]
    said = [o["text"] for o in kept if o["output_type"]=="stream"][-1]; assert len("".join(said).strip().splitlines())==5    # the student was asked five times
