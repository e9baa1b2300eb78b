"The report and the welcome notebook in a real Chromium. Screenshots go to $KDNB_SHOTS, if set."
import os, re, time
from pathlib import Path
import pytest
pytestmark = pytest.mark.browser

def shot(page, name):
    if (d := os.environ.get("KDNB_SHOTS")): page.screenshot(path=f"{d}/{name}.png", full_page=name.startswith("report"))

def test_report_offline(report, page):
    page.context.set_offline(True)
    page.goto(report.page.as_uri()); page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length == document.querySelectorAll('.fig').length")
    shot(page, "report-1280")
    assert page.urls==[report.page.as_uri()] and page.errors==[]
    assert page.locator(".js-plotly-plot").count() >= 6
    first = page.locator(".js-plotly-plot").first
    first.scroll_into_view_if_needed(); box = first.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"]+box["width"]/2, box["y"]+box["height"]/2); page.locator(".hoverlayer .hovertext").first.wait_for()
    first.locator(".legendtoggle").first.click(); page.wait_for_function("document.querySelector('.js-plotly-plot').data[0].visible == 'legendonly'")
    assert page.locator(".output_error").count()==0 and "nan" not in page.locator("table").first.inner_text().lower()

def test_report_narrow(report, page):
    page.set_viewport_size(dict(width=400, height=800)); page.goto(report.page.as_uri()); page.locator(".js-plotly-plot .main-svg").first.wait_for()
    shot(page, "report-400")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400

def test_model_text_cannot_act(tmp_path, page):
    import nbformat
    from kdnb.report import export
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data={"text/html": "<p id=x>hi</p><img src=x onerror=\"document.title='bad'\"><script>document.title='bad'</script>"})])])
    page.goto(export(nb, tmp_path/"x.html").as_uri()); page.wait_for_timeout(300)
    assert page.title()=="notebook" and all(u.startswith("file:") for u in page.urls)

def loopback_only(port):
    "Whether what listens on a port does so on 127.0.0.1 alone (Linux: /proc/net/tcp)"
    rows = [l.split()[1].split(":") for l in open("/proc/net/tcp").readlines()[1:] if l.split()[3]=="0A"]
    return {a for a,p in rows if int(p, 16)==port}=={"0100007F"}

GREW = "n => document.querySelector('.jp-OutputArea-output .js-plotly-plot').data[0].x.length > n"

def test_welcome_distils_live(lab, page):
    "`kdnb lab` opens the notebook; under Run All the first cell trains, the plot grows, and Pause, Go on and Stop work"
    assert loopback_only(lab.port)
    lab.open(page, "welcome.ipynb"); lab.run_all(page)
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

def scroll_to(page, text):
    "Turn the wheel until an output with a text is seen: JupyterLab draws only what is near"
    page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").hover()
    for _ in range(60):
        if page.locator(".jp-OutputArea-output", has_text=text).first.is_visible(): return
        page.mouse.wheel(0, 300); page.wait_for_timeout(250)
    pytest.fail(f"{text!r} was not seen")

def test_welcome_to_the_end(lab, page):
    "Both runs, shortened here, end under one Run All; a second Run All shows them whole, and the comparison"
    text = (lab.root/"welcome.ipynb").read_text()
    for o in ("fkl","rkl"): assert f'objective=\\"{o}\\")' in text; text = text.replace(f'objective=\\"{o}\\")', f'objective=\\"{o}\\", steps=30, warm=30, samples=4)')
    (lab.root/"short.ipynb").write_text(text)
    lab.open(page, "short.ipynb"); lab.run_all(page)
    both = "n => [...document.querySelectorAll('p[role=status]')].filter(p => p.textContent.startsWith('done')).length == n"
    page.wait_for_function(both, arg=2, timeout=120_000)
    scroll_to(page, "Still training")
    lab.run_all(page); page.wait_for_function(both, arg=2, timeout=60_000)
    for said in ("precision: share of samples that are right", "Right answers to"): scroll_to(page, said)
    shot(page, "lab-end")
    assert page.locator(".jp-OutputArea-output", has_text="Still training").count()==0 and page.locator("[data-mime-type*=error]").count()==0
