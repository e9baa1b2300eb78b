"What a person sees of the panel: its figure, its buttons, its sections, for tests"
import re, time
import pytest
from .lab import said, wait_until

newest_kernel = pytest.mark.parametrize("kernel", ["ipykernel7"], indirect=True) # for what does not hang on how a kernel runs callbacks
PANEL = "from kdnb.recipe import Recipe\nfrom kdnb.panel import Panel, watch\n"
SHORT = "Recipe.simple(steps=60, warm=40, samples=4, evaluation=dict(every=20))"
POINTS = "() => { const g = document.querySelector('.kdnb .js-plotly-plot'); return g && g.data ? Math.max(0, ...g.data.map(d => d.x ? d.x.length : 0)) : 0 }"
LINES = "() => [...document.querySelectorAll('.js-plotly-plot')].map(g => (g.data || []).map(d => [d.x ? d.x.length : null, d.x && d.x.length ? d.x[d.x.length-1] : null]))"
LOCKED = "() => [...document.querySelectorAll('.kdnb input, .kdnb select, .kdnb textarea')].filter(e => e.labels.length && !['smoothing','at step','prompt','place in answer','YAML','file','sort by','runs','curve'].includes(e.labels[0].textContent)).map(e => e.disabled)"
OUTSIDE = """() => { const p = document.querySelector('.kdnb'), r = p.getBoundingClientRect().right; return [p.scrollWidth-p.clientWidth, [...p.querySelectorAll('*')]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.closest('.kdnb-scroll, svg, .modebar, .lm-TabBar') && e.getBoundingClientRect().right > r+1).map(e => e.outerHTML.slice(0, 120))] }"""    # what is cut off at the right; wide tables scroll by themselves

def button(page, name): return page.get_by_role("button", name=name, exact=True).first
def press(page, name): button(page, name).click()
def points(page): "Of the longest line of the panel's figure"; return page.evaluate(POINTS)
def grew(page, than, timeout=90):
    "Wait until the figure's longest line has more points than this; how many"
    try: page.wait_for_function(f"n => ({POINTS})() > n", arg=than, timeout=timeout*1000)
    except Exception as e: raise AssertionError(f"no line had more than {than} points within {timeout} s; the figures' lines: {page.evaluate(LINES)}, the line that counts: {told(page)!r}, errors: {page.errors[-5:]}") from e
    return points(page)
def told(page, text="step"): "The line that counts, once it has this text"; l = page.locator(".kdnb [role=timer]", has_text=text).first; l.wait_for(); return l.inner_text()
def tab(page, name): t = page.get_by_role("tab", name=name, exact=True); t.click(); t.scroll_into_view_if_needed(); return t
def head(page, name, says=""): "The heading of a section, once it says this"; h = page.locator(".kdnb-head", has_text=re.compile(f"{name}:.*{re.escape(says)}")).first; h.wait_for(); return h
def reads(page, text): "Wait until a text is in sight"; t = page.locator(".kdnb").get_by_text(text).locator("visible=true").first; t.wait_for(); t.scroll_into_view_if_needed(); return t
def unfold(page, name):
    "Open a section with the keyboard"
    h = head(page, name); h.focus()
    if h.get_attribute("aria-expanded")=="false": page.keyboard.press("Enter")
    wait_until(lambda: h.get_attribute("aria-expanded")=="true", 20, f"{name} did not open"); return h
def pick(page, label, text):
    "Choose in a list by typing into it: once more where a busy page read the letters more than a second apart, as words of their own"
    l = page.get_by_label(label, exact=True).first; l.wait_for(); was = l.input_value()
    for _ in range(3):
        l.focus(); assert l.evaluate("e => e===document.activeElement"); page.wait_for_timeout(1100); page.keyboard.type(text)    # what is not seen yet takes no focus
        if chosen(page, label).startswith(text): return l
        print(f"{label}: {text!r} was read as {chosen(page, label)!r}"); l.select_option(was); page.wait_for_timeout(1100)
    raise AssertionError(f"{text!r} does not choose in {label}")
def chosen(page, label): return page.get_by_label(label, exact=True).first.evaluate("e => e.selectedOptions[0].text")

def shown(lab, page, name, cell, kernel="python3"):
    "A notebook whose cell shows a panel, once it can be used"
    lab.open(page, lab.write(name, PANEL+cell, kernel=kernel)); began = time.time(); lab.run_all(page)
    button(page, "Start").wait_for(timeout=90_000); took = time.time()-began; wait_until(button(page, "Start").is_enabled, 90, "Start stayed off")
    print(f"{name}: shown after {took:.1f} s"); return name

def pressed(page, slider, key, changed):
    "Seconds from a key on a slider until a JavaScript expression gives something else"
    s = page.get_by_role("slider", name=slider, exact=True); s.focus(); was = page.evaluate(changed)
    page.evaluate("""c => { const f = eval('() => '+c), was = JSON.stringify(f()); window.took = null;
        document.addEventListener('keydown', e => { const t = performance.now(), look = () => JSON.stringify(f())==was ? requestAnimationFrame(look) : window.took = performance.now()-t; look(); }, {capture: true, once: true}) }""", changed)
    page.keyboard.press(key); page.wait_for_function("window.took !== null", timeout=30_000)
    took = page.evaluate("window.took")/1000; assert page.evaluate(changed)!=was; return took
