"What a person has who uses the keyboard, a screen reader, or sees colours otherwise"
import base64, os
from pathlib import Path

FOCUSED = """root => { const e = document.activeElement, r = document.querySelector(root); if (!r.contains(e) || e===document.body || e.dataset.reached) return null;    // outside, or round again
    const b = e.getBoundingClientRect(), s = getComputedStyle(e); e.dataset.reached = 1;
    return {tag: e.tagName.toLowerCase(), html: e.outerHTML.slice(0, 160), seen: b.width*b.height > 0 && s.visibility!='hidden'} }"""

# what a mouse can use: real controls, and whatever shows the hand
USABLE = """([root, but]) => [...document.querySelector(root).querySelectorAll('*')].filter(e => {
    if (but && e.closest(but) || e.closest('[disabled]') || !e.checkVisibility({visibilityProperty: true, opacityProperty: true})) return false;
    const control = e.matches('button, a[href], input, select, textarea, summary, [role=button], [role=tab], [role=slider], [role=checkbox], [onclick], [contenteditable=true]');
    const hand = getComputedStyle(e).cursor=='pointer' && (!e.parentElement || getComputedStyle(e.parentElement).cursor!='pointer');
    return control || hand })
  .filter(e => !e.dataset.reached && !e.closest('[data-reached]') && !e.querySelector('[data-reached]'))
  .filter(e => !(e.matches('[role=tab]') && e.closest('[role=tablist]').querySelector('[data-reached]')))           // arrow keys go on from there
  .filter(e => !(e.matches('label') && e.control && e.control.dataset.reached) && !(e.type=='radio' && e.name && document.querySelector(`input[name="${e.name}"][data-reached]`)))
  .map(e => e.outerHTML.slice(0, 160))"""

STATES = ("expanded","pressed","checked","selected","disabled","invalid","valuetext")

def name_of(cdp, js):
    "Role, name, description and states of an element as the browser tells a screen reader. `js`: an expression for the element"
    it = cdp.send("Runtime.evaluate", dict(expression=js))["result"].get("objectId")
    if not it: return {}
    n = cdp.send("Accessibility.getPartialAXTree", dict(objectId=it, fetchRelatives=False))["nodes"][0]
    have = {p["name"]: p["value"].get("value") for p in n.get("properties", ())}
    return dict(role=n.get("role",{}).get("value",""), name=n.get("name",{}).get("value",""), description=n.get("description",{}).get("value",""), **{k:have[k] for k in STATES if k in have})

def controls(
    page,       # of Playwright
    root="body",# CSS selector: the panel. Its Tab stops are listed
    most=300,   # stops, before it is said that Tab never leaves
):              # list of dicts: role, name, description, states, tag, html
    "What Tab reaches inside `root`, in its order, and what a screen reader says there"
    cdp, out = page.context.new_cdp_session(page), []
    cdp.send("Accessibility.enable")
    page.evaluate("r => { const e = document.querySelector(r), m = document.createElement('span'); document.querySelectorAll('[data-reached]').forEach(x => delete x.dataset.reached); m.tabIndex = -1; m.id = 'a11y-start'; e.prepend(m); m.focus(); }", root)
    try:
        for _ in range(most):
            page.keyboard.press("Tab")
            at = page.evaluate(FOCUSED, root)
            if at is None: return out
            out.append(at | name_of(cdp, "document.activeElement"))
        raise AssertionError(f"Tab does not leave {root} after {most} stops")
    finally:
        page.evaluate("document.getElementById('a11y-start')?.remove()"); cdp.detach()

PRIVATE = range(0xE000, 0xF900)    # an icon's glyph is no name
def nameless(stops): "Those that a screen reader cannot call by a word"; return [s for s in stops if not any(c.isalnum() and ord(c) not in PRIVATE for c in s["name"])]

def unreached(
    page,                    # after `controls`
    root="body",             # as there
    but=".js-plotly-plot",   # a selector of what need not be reached
):                           # list of HTML
    "What a mouse can use and Tab does not reach"
    return page.evaluate(USABLE, [root, but])

def check(page, root="body", but=".js-plotly-plot"):
    "All in one: Tab reaches what a mouse can use, all of it visible and with a name; the stops"
    stops = controls(page, root); bad = [f"no name: {s['html']}" for s in nameless(stops)]+[f"focus on what is not seen: {s['html']}" for s in stops if not s["seen"]]+[f"Tab does not reach {h}" for h in unreached(page, root, but)]
    assert stops and not bad, "\n".join(bad) or f"Tab reaches nothing in {root}"
    return stops

def picture(page, name=None, seen="none", full=False):
    "PNG bytes as somebody sees the page: none, achromatopsia (greyscale), deuteranopia, protanopia, tritanopia, blurredVision. Kept in $KDNB_SHOTS under a name"
    cdp = page.context.new_cdp_session(page)
    cdp.send("Emulation.setEmulatedVisionDeficiency", dict(type=seen))
    try: png = page.screenshot(full_page=full)
    finally: cdp.send("Emulation.setEmulatedVisionDeficiency", dict(type="none")); cdp.detach()
    if name and (d := os.environ.get("KDNB_SHOTS")): Path(d).mkdir(parents=True, exist_ok=True); (Path(d)/f"{name}.png").write_bytes(png)
    return png

COLOURS = """async png => { const i = new Image(); i.src = 'data:image/png;base64,'+png; await i.decode(); const c = document.createElement('canvas'); c.width = i.width; c.height = i.height;
    const g = c.getContext('2d'); g.drawImage(i, 0, 0); const d = g.getImageData(0, 0, c.width, c.height).data, n = {};
    for (let k = 0; k < d.length; k += 4) { const h = (d[k]<<16|d[k+1]<<8|d[k+2]).toString(16).padStart(6, '0'); n[h] = (n[h]||0)+1 } return n }"""

def colours(page, png):
    "How many pixels of a picture have which colour: {\"rrggbb\": n}. The page decodes it, no library is needed"
    return page.evaluate(COLOURS, base64.b64encode(png).decode())
