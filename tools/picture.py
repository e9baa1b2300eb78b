"""Take a picture of the README: the real thing in JupyterLab and Chromium.

    python tools/picture.py panel [nbs/images/panel.png]
    python tools/picture.py drag [nbs/images/drag.png]
"""
import sys, tempfile
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent.parent/"tests"))
from browser.lab import Lab, chromium, end, new_page, start_lab

def panel(page, at=900):
    "A run of the packaged teacher, paused after some steps"
    start = page.get_by_role("button", name="Start", exact=True); start.wait_for(timeout=60_000)
    page.wait_for_function("[...document.querySelectorAll('button')].some(b => b.textContent.trim()=='Start' && !b.disabled)", timeout=60_000); start.click()
    page.wait_for_function(f"document.querySelector('.js-plotly-plot')?.data?.[0]?.x.slice(-1)[0] > {at}", timeout=300_000)
    page.get_by_role("button", name="Pause", exact=True).click(); page.wait_for_timeout(2500)

def drag(page):
    "Two modes, one of them just moved by hand"
    page.wait_for_function("document.querySelectorAll('.kdnb .js-plotly-plot .scatterlayer path.js-line').length > 11", timeout=90_000)
    b = page.locator(".kdnb-pad .dot").nth(1).bounding_box(); x, y = b["x"]+b["width"]/2, b["y"]+b["height"]/2
    page.mouse.move(x, y); page.mouse.down(); page.mouse.move(x+20, y-10, steps=5); page.mouse.up(); page.mouse.move(10, 10); page.wait_for_timeout(1500)

PICTURES = dict(panel=(panel, "from kdnb.panel import Panel\nPanel()", 1180), drag=(drag, "from kdnb.drag import Bumps\nBumps()", 860))

def main(which, to=None):
    from playwright.sync_api import sync_playwright
    f, cell, height = PICTURES[which]; to = to or f"nbs/images/{which}.png"
    with tempfile.TemporaryDirectory() as d, sync_playwright() as pw:
        home, root = Path(d)/"jupyter", Path(d)/"lab"; proc, url, port = start_lab(home, root); lab = Lab(url, port, root, root, home/"server.log")
        try:
            page = new_page(chromium(pw), 1280, height); lab.write("picture.ipynb", cell); lab.open(page, "picture.ipynb"); lab.run_all(page); f(page)
            box = page.locator(".kdnb").first.bounding_box(); bottom = min(page.locator("#jp-main-statusbar").bounding_box()["y"]-8, box["y"]+box["height"]+8)
            page.screenshot(path=to, clip=dict(x=box["x"]-8, y=box["y"]-8, width=box["width"]+16, height=bottom-box["y"]+8))
        finally: end(proc)
    print(to)

if __name__=="__main__": main(*sys.argv[1:3])
