"Modes dragged with a mouse, students that follow"
import time
import pytest
from .lab import shot, wait_until
from .seen import newest_kernel, unfold
pytestmark = pytest.mark.browser

LINE = "() => { const g = document.querySelector('.kdnb .js-plotly-plot'); return g && g._fullData && g._fullData.length ? Array.from(g._fullData.at(-1).y).map(v => Math.round(1e6*v)).join() : '' }"
DRAWN = "() => [...document.querySelectorAll('.kdnb .js-plotly-plot .scatterlayer path.js-line')].map(p => p.getAttribute('d')).join()"
CLOCK = """([what, on, event]) => { const f = eval(what), was = f(); window.took = null;
    document.querySelector(on).addEventListener(event, () => { const t = performance.now(), look = () => f() === was ? requestAnimationFrame(look) : window.took = performance.now()-t; look(); }, { capture: true, once: true }); }"""

def answered(page, what, on, event, act):
    "Milliseconds from an event on an element until a JavaScript expression gives something else"
    page.evaluate(CLOCK, [what, on, event]); act(); page.wait_for_function("window.took !== null", timeout=30_000); page.wait_for_timeout(200); return page.evaluate("window.took")

def told(waits, what): w = sorted(waits); print(f"{what}: {w[len(w)//2]:.0f} ms, {w[-1]:.0f} at most of {len(w)}")

def dots(page): return page.locator(".kdnb-pad .dot")
def middle(thing): b = thing.bounding_box(); return b["x"]+b["width"]/2, b["y"]+b["height"]/2

NUMBERS = "() => [...document.querySelectorAll('.kdnb .js-plotly-plot .annotation')].map(a => a.textContent).join()"

TICK = "() => Math.max(...[...document.querySelectorAll('.kdnb .js-plotly-plot .ytick text')].map(t => +t.textContent))"

def drag(page, thing, by, steps=12, what=DRAWN, after=lambda: None):
    "Hold and move, and after each move wait for the answer: milliseconds. Numbers follow as well"
    was = page.evaluate(NUMBERS); x, y = middle(thing); page.mouse.move(x, y); page.mouse.down()
    waits = [answered(page, what, ".kdnb-pad", "pointermove", lambda: page.mouse.move(x+by*k/steps, y)) for k in range(1, steps+1)]
    assert page.evaluate(NUMBERS) != was; after(); shot(page, f"held-{page.locator('.kdnb').count()}-{steps}-{by}"); page.mouse.up(); return waits

def opened(lab, page, name, make, cell, drawn, kernel="python3", after=""):
    "A notebook whose first cell makes what is to be seen (and shows an empty figure, which brings plotly's code), and whose second shows it"
    lab.open(page, lab.write(name, make+"\nfrom kdnb.controls import figure_widget\nimport plotly.graph_objects as go\nfigure_widget(go.Figure())", cell, after, kernel=kernel)); lab.run_cell(page, 0); lab.ran(page, 0); page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=90_000)
    began = time.time(); lab.run_cell(page, 1); page.wait_for_function(f"({drawn})() !== ''", timeout=90_000); print(f"{name}, {kernel}: drawn {time.time()-began:.2f} s after its cell was run"); page.locator(".kdnb").first.scroll_into_view_if_needed()

def test_a_mode_is_dragged(lab, page, kernel):
    "The students follow the hand, the keyboard and what is typed; what cannot be is said"
    opened(lab, page, "bumps.ipynb", "from kdnb.drag import Bumps\nb = Bumps()", "b", DRAWN, kernel); shot(page, f"bumps-{kernel}")
    was = page.evaluate(LINE); told(drag(page, dots(page).nth(1), 60), f"{kernel}, the students follow the hand"); wait_until(lambda: page.evaluate(LINE) != was, 30, "plotly did not draw what the hand left")
    unfold(page, "Numbers"); place = page.get_by_label("places", exact=True); wait_until(lambda: float(place.input_value().strip("[]").split(",")[1]) > 3.1, 30, "the fields did not follow")
    spread = page.get_by_label("spreads", exact=True); page.locator(".kdnb-pad").scroll_into_view_if_needed(); drag(page, page.locator(".kdnb-pad .end").nth(0), 40, 3); wait_until(lambda: float(spread.input_value().strip("[]").split(",")[0]) > .8, 30, "the spread did not follow")
    high = page.evaluate(TICK); told(drag(page, page.locator(".kdnb-pad .end").nth(0), -75, 6, after=lambda: wait_until(lambda: page.evaluate(TICK) > 1.5*high, 30, "the axis does not say how high it is now")), f"{kernel}, thinner than the axis is high"); wait_until(lambda: float(spread.input_value().strip("[]").split(",")[0]) < .5, 30, "the spread did not follow")
    dots(page).nth(0).focus(); at = place.input_value(); page.keyboard.press("ArrowLeft"); wait_until(lambda: place.input_value() != at, 30, "the keyboard does not move it")
    place.fill("[2, 2]"); place.press("Enter"); page.locator(".kdnb [role=alert]", has_text="stand on one another").wait_for(); assert place.input_value()=="[2, 2]"
    place.fill("[-4, 0.5]"); place.press("Enter"); wait_until(lambda: page.locator(".kdnb [role=alert]").count()==0, 30, "the alert stays")
    wait_until(lambda: dots(page).nth(0).get_attribute("aria-valuetext").split("place ")[1].startswith("-4,"), 30, "the pad did not follow what was typed")
    page.get_by_role("button", name="Add a mode").click(); wait_until(lambda: dots(page).count()==3, 30, "no mode was added")
    s = page.get_by_role("slider", name="step", exact=True); s.focus(); before = page.evaluate(LINE); page.keyboard.press("Home"); wait_until(lambda: page.evaluate(LINE) != before, 30, "the step does nothing")
    shot(page, f"bumps-after-{kernel}"); assert not [e for e in page.errors if "kdnb" in e or "plotly" in e.lower()], page.errors

@pytest.mark.parametrize("losses, spread", [("fkl rkl jsd", .7), ("", .2)], ids=["three", "six, thin"])
def test_in_a_plane(lab, page, losses, spread):
    opened(lab, page, f"plane-{spread}.ipynb", f"from kdnb.drag import SIX, Bumps\nfrom kdnb.modes import Mixture\nb = Bumps(Mixture([.4, .3, .2, .1], [(-3, 3), (3, 3), (3, -3), (-3, -3)], [{spread}]*4), '{losses}' or SIX)", "b", DRAWN)
    was = page.evaluate(DRAWN); told(drag(page, dots(page).nth(1), 80), f"in a plane, spread {spread}"); assert page.evaluate(DRAWN) != was
    page.wait_for_timeout(300); shot(page, f"plane-{spread}")

BARS = "() => { const g = document.querySelector('.kdnb .js-plotly-plot'); return g && g._fullData && g._fullData.length ? g._fullData.map(d => Array.from(d.y).join()).join(';')+g._fullLayout.title.text : '' }"
WORDS = "() => [...document.querySelectorAll('.kdnb .js-plotly-plot .barlayer path')].map(p => p.getAttribute('d')).join()"

@newest_kernel
def test_along_a_text(lab, page, kernel):
    "A click on a word, the keyboard, another text, and a text that cannot be read"
    opened(lab, page, "along.ipynb", "from kdnb.along import Along\na = Along('tiny')", "a", WORDS, kernel); words = page.locator(".kdnb-strip[role=listbox] span"); shot(page, f"along-{kernel}")
    at = lambda: page.locator(".kdnb-strip [aria-selected=true]").inner_text(); waits = []
    for i in (1, 5, 2, 8, 0, 9):
        was = page.evaluate(BARS); waits.append(answered(page, WORDS, ".kdnb-strip[role=listbox]", "click", words.nth(i).click)); assert page.evaluate(BARS) != was and at()==words.nth(i).inner_text()
    told(waits, f"{kernel}, a word that is clicked is shown after")
    page.keyboard.press("ArrowLeft"); wait_until(lambda: at()==words.nth(8).inner_text(), 30, "the keyboard does not move")
    s = page.get_by_role("slider", name="place", exact=True); wait_until(lambda: float(s.get_attribute("aria-valuenow"))==8, 30, "the slider did not follow"); s.focus(); page.keyboard.press("Home"); wait_until(lambda: at()==words.nth(0).inner_text(), 30, "the slider does not move")
    page.locator(".kdnb-head", has_text="Read another text").click(); page.get_by_label("prompt", exact=True).fill(""); page.get_by_label("text", exact=True).fill(""); page.get_by_role("button", name="Read it").click(); page.locator(".kdnb [role=alert]", has_text="the text is empty").wait_for(); assert words.count()==11
    page.get_by_label("prompt", exact=True).fill("tell of hill"); page.get_by_label("text", exact=True).fill("<b>the</b> quiet"); page.get_by_role("button", name="Read it").click(); wait_until(lambda: words.count()==3, 30, "the new text was not read")
    page.locator(".kdnb-note", has_text="not in the vocabulary").wait_for(); assert page.locator(".kdnb-strip b").count()==0    # text of models and of people is text
    shot(page, f"along-after-{kernel}"); assert not [e for e in page.errors if "kdnb" in e or "plotly" in e.lower()], page.errors

def test_modes_page(tmp_path, page):
    "`kdnb report modes` with little training: the page asks nobody for anything, every figure is drawn, and sliders and Play move what they should"
    from kdnb.report import make_report
    f = make_report("modes", dict(seeds=2, steps=10, warm=60, betas=[0, 1], shares=[0, 1], student="tiny-xs"), tmp_path)
    page.context.set_offline(True); page.goto(f.as_uri()); page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length == document.querySelectorAll('.fig').length && document.querySelectorAll('.fig').length >= 13", timeout=60_000)
    assert page.urls==[f.as_uri()] and page.errors==[] and page.locator(".output_error").count()==0
    fig = page.locator(".js-plotly-plot").first; fig.scroll_into_view_if_needed(); shot(page, "modes-page"); last = "() => Array.from(document.querySelector('.js-plotly-plot')._fullData.at(-1).y).map(v => v.toFixed(5)).join()"
    end = page.evaluate(last); fig.locator(".slider-rail-touch-rect").click(position=dict(x=5, y=5)); wait_until(lambda: page.evaluate(last) != end, 20, "the slider moves nothing")
    fig.locator(".updatemenu-button").click(); wait_until(lambda: page.evaluate(last)==end, 30, "Play does not come to the end")
    text = page.inner_text("body"); assert "undecided" in text and "nan" not in text.lower().split() and "None" not in text.split()
    page.set_viewport_size(dict(width=400, height=800)); page.wait_for_timeout(500); assert page.evaluate("document.documentElement.scrollWidth") <= 400

def test_losses_unfold(lab, page):
    "Lines of two losses grow while the cell below can be run; Stop stops, Start begins again"
    opened(lab, page, "unfold.ipynb", "from kdnb.unfold import Unfold\nu = Unfold('fkl rkl', steps=2000, warm=40, every=5, prompts=2, samples=2, student='tiny-xs')", "u", "() => document.querySelector('.kdnb .js-plotly-plot .main-svg') ? 'drawn' : ''", after="print(6*7)"); lab.run_cell(page, 2)
    longest = "() => { const g = document.querySelector('.kdnb .js-plotly-plot'); return g && g.data ? Math.max(0, ...g.data.map(d => d.x ? d.x.length : 0)) : 0 }"
    wait_until(lambda: page.evaluate(longest) > 2, 120, "no line grew"); now = page.evaluate(longest); wait_until(lambda: page.evaluate(longest) > now, 60, "the lines stopped growing"); lab.scroll(page, "42"); shot(page, "unfold")
    lab.scroll(page, page.get_by_role("button", name="Stop", exact=True)).click(); page.locator("[role=status]", has_text="stopped after").wait_for(timeout=30_000)
    kept = page.evaluate(longest); page.wait_for_timeout(1000); assert page.evaluate(longest)==kept > 2
    page.get_by_role("button", name="Start", exact=True).click(); page.locator("[role=status]", has_text="measurements").filter(has_text="step").wait_for(timeout=60_000); page.get_by_role("button", name="Stop", exact=True).click(); page.locator("[role=status]", has_text="stopped after").wait_for(timeout=30_000)
