"The panel in a real Chromium: choose, train, come back; with keyboard, in grey, on a small screen"
import json, re, shutil, subprocess, sys, time
import pytest
from .a11y import check, colours, picture
from .lab import said, shot, wait_until
from .seen import *
pytestmark = pytest.mark.browser

def test_from_ready_to_reset(lab, page, kernel):
    "Each button does what it says, on both kernels"
    long = SHORT.replace("steps=60", "steps=200")
    shown(lab, page, "p.ipynb", f"panel = Panel({long}, 'runs')", kernel); shot(page, f"panel-ready-{kernel}")
    assert said(page, "^ready")=="ready" and points(page)==0 and button(page, "Pause").is_disabled() and button(page, "Stop").is_disabled()
    press(page, "Step"); assert said(page, "^paused")=="paused after step 1"
    told(page, "step 1 of 240"); assert button(page, "Start").is_disabled(); shot(page, f"panel-paused-{kernel}")
    press(page, "Step"); assert said(page, "^paused after step 2$")
    assert all(page.evaluate(LOCKED)) and page.get_by_text(re.compile("^Choices are locked while tiny-fkl-.* trains: press Stop")).is_visible()

    tab(page, "Next tokens"); page.locator(".kdnb-table th", has_text="next token").wait_for(timeout=30_000)
    press(page, "Resume"); at = grew(page, 4); shot(page, f"panel-training-{kernel}")
    place, smoothing = "document.querySelector('.kdnb-table th[scope=col]').closest('.kdnb-scroll').parentElement.innerText", "document.querySelector('.kdnb .js-plotly-plot').data[0].y[3]"
    took = [pressed(page, "place in answer", k, place) for k in ("ArrowRight", "ArrowLeft")]+[pressed(page, "smoothing", "ArrowRight", smoothing)]
    assert page.get_by_role("slider", name="smoothing").get_attribute("aria-valuetext")=="0.5"
    print(f"{kernel}: sliders answered after {', '.join(f'{t:.2f}' for t in took)} s while it trained at {told(page)}")
    press(page, "Pause"); text = said(page, "^paused after step"); at = points(page); page.wait_for_timeout(700); assert points(page)==at and said(page, "^paused")==text
    press(page, "Resume"); grew(page, at); assert all(page.evaluate(LOCKED))
    press(page, "Stop"); assert re.search("go on with: kdnb resume runs.tiny-fkl-", said(page, "^stopped;")); stopped = points(page)
    wait_until(lambda: not any(page.evaluate(LOCKED)), 20, "the choices stayed locked"); assert page.get_by_text("From top to bottom").is_visible(); shot(page, f"panel-stopped-{kernel}")
    press(page, "Start"); grew(page, stopped); assert said(page, "^(training|loading|labelling|done|the teacher)"); done = said(page, "^done: ", 120)
    assert re.search(r"kl_pq \d", done) and points(page)==240 and len(list((lab.root/"runs").glob("*/status.json")))==1
    told(page, "step 240 of 240"); shot(page, f"panel-done-{kernel}")

    tab(page, "Answers"); table = page.locator(".kdnb-table", has_text="student, step 240"); table.wait_for(); assert table.locator("tr").count()==9 and table.get_by_text("student, step 0").is_visible(); shot(page, f"panel-answers-{kernel}")
    took = pressed(page, "at step", "ArrowLeft", "document.querySelector('.kdnb-table caption').parentElement.innerText"); page.locator(".kdnb-table", has_text="student, step 220").wait_for(); print(f"at step: {took:.2f} s")
    tab(page, "Next tokens"); t = page.locator(".kdnb-table", has_text="next token"); assert t.locator("th").all_inner_texts()==["next token","teacher","student"] and t.locator("tr").count() > 5; shot(page, f"panel-tokens-{kernel}")
    tab(page, "Notes"); page.get_by_text(re.compile("teacher tiny .879,360 weights., student tiny-s")).wait_for()
    tab(page, "Runs"); runs = page.locator(".kdnb-table", has=page.locator("caption", has_text="1 runs" )); assert "done" in runs.inner_text() and "240" in runs.inner_text(); shot(page, f"panel-runs-{kernel}")
    press(page, "Reset"); assert "is then replaced. Until then it stays" in said(page, "^ready") and points(page)==0; shot(page, f"panel-reset-{kernel}")
