"Modes dragged with a mouse, students that follow"
import pytest
from .lab import shot, wait_until
from .seen import unfold
pytestmark = pytest.mark.browser

LINE = "() => { const g = document.querySelector('.kdnb .js-plotly-plot'); return g && g._fullData && g._fullData.length ? Array.from(g._fullData.at(-1).y).map(v => Math.round(1e6*v)).join() : '' }"
DRAWN = "() => [...document.querySelectorAll('.kdnb .js-plotly-plot .scatterlayer path.js-line')].map(p => p.getAttribute('d')).join()"
CLOCK = """c => { const f = eval(c); window.waits = []; let was = f(), at = null;
    document.querySelector('.kdnb-pad').addEventListener('pointermove', e => { if (e.buttons && at === null) at = performance.now(); }, true);
    const look = () => { const now = f(); if (now !== was) { was = now; if (at !== null) { window.waits.push(performance.now()-at); at = null; } } requestAnimationFrame(look); }; look(); }"""

def dots(page): return page.locator(".kdnb-pad .dot")
def middle(thing): b = thing.bounding_box(); return b["x"]+b["width"]/2, b["y"]+b["height"]/2

def drag(page, thing, by, steps=10):
    "Hold and move, as a hand does, some pixels every thirtieth of a second"
    x, y = middle(thing); page.mouse.move(x, y); page.mouse.down()
    for k in range(1, steps+1): page.mouse.move(x+by*k/steps, y); page.wait_for_timeout(33)
    page.mouse.up()

def opened(lab, page, name, cell, kernel="python3"):
    lab.open(page, lab.write(name, "from kdnb.drag import Bumps\nfrom kdnb.modes import Mixture", cell, kernel=kernel)); lab.run_all(page)
    dots(page).first.wait_for(timeout=90_000); wait_until(lambda: page.evaluate(DRAWN), 60, "the figure was not drawn")

def test_a_mode_is_dragged(lab, page, kernel):
    "The students follow the hand, the keyboard and what is typed; what cannot be is said"
    opened(lab, page, "bumps.ipynb", "b = Bumps(); b", kernel); shot(page, f"bumps-{kernel}")
    was = page.evaluate(LINE); page.evaluate(CLOCK, DRAWN); drag(page, dots(page).nth(1), 60, 40)
    wait_until(lambda: page.evaluate(LINE) != was, 30, "no student followed")
    waits = sorted(page.evaluate("window.waits")); print(f"{kernel}: {len(waits)} answers to the hand, median {waits[len(waits)//2]:.0f} ms, at most {waits[-1]:.0f}")
    unfold(page, "Numbers"); place = page.get_by_label("places", exact=True); wait_until(lambda: float(place.input_value().strip("[]").split(",")[1]) > 3.1, 30, "the fields did not follow")
    spread = page.get_by_label("spreads", exact=True); page.locator(".kdnb-pad").scroll_into_view_if_needed(); drag(page, page.locator(".kdnb-pad .end").nth(0), 40); wait_until(lambda: float(spread.input_value().strip("[]").split(",")[0]) > .8, 30, "the spread did not follow")
    dots(page).nth(0).focus(); at = place.input_value(); page.keyboard.press("ArrowLeft"); wait_until(lambda: place.input_value() != at, 30, "the keyboard does not move it")
    place.fill("[2, 2]"); place.press("Enter"); page.locator(".kdnb [role=alert]", has_text="stand on one another").wait_for(); assert place.input_value()=="[2, 2]"
    place.fill("[-4, 0.5]"); place.press("Enter"); wait_until(lambda: page.locator(".kdnb [role=alert]").count()==0, 30, "the alert stays")
    wait_until(lambda: dots(page).nth(0).get_attribute("aria-valuetext").split("place ")[1].startswith("-4,"), 30, "the pad did not follow what was typed")
    page.get_by_role("button", name="Add a mode").click(); wait_until(lambda: dots(page).count()==3, 30, "no mode was added")
    s = page.get_by_role("slider", name="step", exact=True); s.focus(); before = page.evaluate(LINE); page.keyboard.press("Home"); wait_until(lambda: page.evaluate(LINE) != before, 30, "the step does nothing")
    shot(page, f"bumps-after-{kernel}"); assert not [e for e in page.errors if "kdnb" in e or "plotly" in e.lower()], page.errors

def test_in_a_plane(lab, page):
    opened(lab, page, "plane.ipynb", "Bumps(Mixture([.4, .3, .2, .1], [(-3, 3), (3, 3), (3, -3), (-3, -3)], [.7]*4), dict(fkl={}, rkl={}, jsd={}))")
    was = page.evaluate(DRAWN); page.evaluate(CLOCK, DRAWN); drag(page, dots(page).nth(3), 80, 40); wait_until(lambda: page.evaluate(DRAWN) != was, 30, "no student followed")
    waits = sorted(page.evaluate("window.waits")); print(f"plane: {len(waits)} answers, median {waits[len(waits)//2]:.0f} ms, at most {waits[-1]:.0f}"); page.wait_for_timeout(300); shot(page, "plane")
