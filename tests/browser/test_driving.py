"That the tools of these tests do what they say: kernels, saving, coming back, Voila"
import re
import pytest
from .lab import loopback_only, said, shot
pytestmark = pytest.mark.browser

SAYS = "import ipykernel, ipywidgets as w\nfrom IPython.display import display\ns = w.HTML('<p role=status>runs on '+ipykernel.__version__+'</p>'); b = w.Button(description='More')\nb.on_click(lambda _: setattr(s, 'value', s.value.replace('runs', 'still runs')))\ndisplay(w.VBox([s, b]))"

def test_each_kernel_is_what_it_says(lab, page, kernel):
    lab.open(page, lab.write("v.ipynb", SAYS, kernel=kernel)); lab.run_all(page)
    assert said(page, "^runs on").startswith("runs on "+dict(python3="7.4", ipykernel6="6.31")[kernel])
    page.get_by_role("button", name="More").click(); said(page, "^still runs on")

def test_save_reload_restart_shut_down(lab, page):
    name = lab.write("s.ipynb", SAYS, "x = globals().get('x', 0)+1; print('x is', x)")
    lab.open(page, name); lab.run_all(page); said(page, "^runs on"); lab.scroll(page, "x is 1")
    lab.run_cell(page, 1); lab.scroll(page, "x is 2"); lab.save(page, name)
    widget, text = lab.outputs(name)
    assert "application/vnd.jupyter.widget-view+json" in widget[0]["data"] and text[0]["text"]==["x is 2\n"]
    page.get_by_role("button", name="More").click(); said(page, "^still runs")
    lab.reload(page, name); said(page, "^still runs"); lab.scroll(page, "x is 2")    # the kernel kept the widget
    pid = lab.pid(name); lab.restart(page, name); assert lab.pid(name)!=pid
    lab.run_cell(page, 1); assert lab.ran(page, 1)==1; lab.scroll(page, "x is 1")
    lab.shut_down(name); assert lab.session(name) is None

def test_what_does_not_come_is_said(lab, page):
    lab.open(page, lab.write("n.ipynb", SAYS)); lab.run_all(page); said(page, "^runs on")
    with pytest.raises(AssertionError, match="no status matched.*runs on"): said(page, "never", timeout=1)

def test_voila_shows_a_run_on_this_machine_alone(lab, page, voila):
    url = voila(lab.root/lab.write("w.ipynb", "from kdnb.recipe import Recipe\nfrom kdnb.panel import watch\nrun = watch(Recipe.simple(teacher='tiny', student='tiny-s', objective='fkl', warm=0, steps=2000))"))
    assert loopback_only(voila.port)
    page.goto(url); page.locator("[role=timer]", has_text=re.compile(r"step \d+ of 2,000")).wait_for(timeout=90_000); shot(page, "voila-running")
    page.get_by_role("button", name="Stop").click(); said(page, "kdnb resume", timeout=30)
