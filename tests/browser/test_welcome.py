"The notebook of `kdnb lab` in a real JupyterLab"
import re
import pytest
from .lab import by_hand, loopback_only, shot
pytestmark = pytest.mark.browser

GREW = "n => document.querySelector('.jp-OutputArea-output .js-plotly-plot').data[0].x.length > n"

@by_hand
def test_welcome_distils_live(lab, page, kernel):
    "`kdnb lab` opens the notebook; under Run All the first cell trains, the plot grows, and Pause, Go on and Stop work"
    assert loopback_only(lab.port)
    lab.use("welcome.ipynb", kernel); lab.open(page, "welcome.ipynb"); lab.run_all(page)
    fig = page.locator(".jp-OutputArea-output .js-plotly-plot").first; fig.wait_for(timeout=60_000)
    points, button = lambda: fig.evaluate("d => d.data[0].x.length"), lambda name: page.get_by_role("button", name=name, exact=True).first
    page.wait_for_function(GREW, arg=3, timeout=60_000)
    a = points(); shot(page, "lab-running"); page.wait_for_function(GREW, arg=a, timeout=30_000)
    status = page.locator("p[role=status]").first
    assert re.search(r"step \d+ of 1200", status.text_content())
    button("Pause").click(); page.wait_for_function("document.querySelector('p[role=status]').textContent.startsWith('paused')")
    a = points(); page.wait_for_timeout(1000); assert points()==a
    button("Go on").click(); page.wait_for_function(GREW, arg=a, timeout=60_000)
    button("Stop").click(); page.wait_for_function("document.querySelector('p[role=status]').textContent.includes('kdnb resume')", timeout=30_000)
    assert button("Stop").is_disabled()

@by_hand
def test_welcome_to_the_end(lab, page):
    "Both runs, shortened here, end under one Run All; a second Run All shows them whole, and the comparison"
    text = (lab.root/"welcome.ipynb").read_text()
    for o in ("fkl","rkl"): assert f'objective=\\"{o}\\")' in text; text = text.replace(f'objective=\\"{o}\\")', f'objective=\\"{o}\\", steps=30, warm=30, samples=4)')
    (lab.root/"short.ipynb").write_text(text)
    lab.open(page, "short.ipynb"); lab.run_all(page)
    both = "n => [...document.querySelectorAll('p[role=status]')].filter(p => p.textContent.startsWith('done')).length == n"
    page.wait_for_function(both, arg=2, timeout=120_000)
    lab.scroll(page, "Still training")
    lab.run_all(page); page.wait_for_function(both, arg=2, timeout=60_000)
    for said in ("precision: share of samples that are right", "Right answers to"): lab.scroll(page, said)
    shot(page, "lab-end")
    assert page.locator(".jp-OutputArea-output", has_text="Still training").count()==0 and page.locator("[data-mime-type*=error]").count()==0
