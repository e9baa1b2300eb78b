"""Take the README's picture of the panel: the real thing in JupyterLab and Chromium.

    python tools/picture.py [nbs/images/panel.png]
"""
import sys, tempfile
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent.parent/"tests"))
from browser.lab import Lab, chromium, end, new_page, start_lab

def main(to="nbs/images/panel.png", at=900):
    from playwright.sync_api import sync_playwright
    with tempfile.TemporaryDirectory() as d, sync_playwright() as pw:
        home, root = Path(d)/"jupyter", Path(d)/"lab"; proc, url, port = start_lab(home, root); lab = Lab(url, port, root, root, home/"server.log")
        try:
            page = new_page(chromium(pw), 1280, 1180); lab.write("panel.ipynb", "from kdnb.panel import Panel\nPanel()")
            lab.open(page, "panel.ipynb"); lab.run_all(page); start = page.get_by_role("button", name="Start", exact=True); start.wait_for(timeout=60_000)
            page.wait_for_function("[...document.querySelectorAll('button')].some(b => b.textContent.trim()=='Start' && !b.disabled)", timeout=60_000); start.click()
            page.wait_for_function(f"document.querySelector('.js-plotly-plot')?.data?.[0]?.x.slice(-1)[0] > {at}", timeout=300_000)
            page.get_by_role("button", name="Pause", exact=True).click(); page.wait_for_timeout(2500)
            box = page.locator(".kdnb").first.bounding_box(); bottom = page.locator("#jp-main-statusbar").bounding_box()["y"]-8
            page.screenshot(path=to, clip=dict(x=box["x"]-8, y=box["y"]-8, width=box["width"]+16, height=bottom-box["y"]))
        finally: end(proc)
    print(to)

if __name__=="__main__": main(*sys.argv[1:2])
