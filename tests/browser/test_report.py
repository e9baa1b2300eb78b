"The report as a command, and its page in a real Chromium"
import pytest
from .lab import shot
pytestmark = pytest.mark.browser

def test_report_prints_its_path_last(report):
    assert report.returncode==0, report.stderr
    assert report.stdout.splitlines()==[str(report.page)] and report.page.is_file() and report.page.is_absolute()
    for said in ("starting a kernel", "run 1 of 2: forward KL", "run 2 of 2: reverse KL", "training by rkl", "coverage"): assert said in report.stderr, report.stderr
    assert "Traceback" not in report.stderr and "Warning" not in report.stderr, report.stderr

def test_report_offline(report, page):
    page.context.set_offline(True)
    page.goto(report.page.as_uri()); page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length == document.querySelectorAll('.fig').length")
    shot(page, "report-1280", full=True)
    assert page.urls==[report.page.as_uri()] and page.errors==[]
    assert page.locator(".js-plotly-plot").count() >= 6
    first = page.locator(".js-plotly-plot").first
    first.scroll_into_view_if_needed(); box = first.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"]+box["width"]/2, box["y"]+box["height"]/2); page.locator(".hoverlayer .hovertext").first.wait_for()
    first.locator(".legendtoggle").first.click(); page.wait_for_function("document.querySelector('.js-plotly-plot').data[0].visible == 'legendonly'")
    assert page.locator(".output_error").count()==0 and "nan" not in page.locator("table").first.inner_text().lower()

def test_report_narrow(report, page):
    page.set_viewport_size(dict(width=400, height=800)); page.goto(report.page.as_uri()); page.locator(".js-plotly-plot .main-svg").first.wait_for()
    shot(page, "report-400", full=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400

def test_model_text_cannot_act(tmp_path, page):
    import nbformat
    from kdnb.report import export
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data={"text/html": "<p id=x>hi</p><img src=x onerror=\"document.title='bad'\"><script>document.title='bad'</script>"})])])
    page.goto(export(nb, tmp_path/"x.html").as_uri()); page.wait_for_timeout(300)
    assert page.title()=="notebook" and all(u.startswith("file:") for u in page.urls)
