"The panel by its callbacks, as a person's clicks reach it: orders of buttons, two panels, other processes, damaged runs"
import json, shutil, subprocess, sys, time
import pytest
from kdnb.live import LiveView
from kdnb.panel import Panel, watch
from kdnb.recipe import Recipe, RecipeError
from kdnb.train import Run, attach

@pytest.fixture(autouse=True)
def live(monkeypatch, tmp_path):
    "As in a notebook that a person looks at; nothing is displayed, and what would be kept below the panel is noted"
    kept = []
    monkeypatch.setenv("KDNB_UI", "live"); monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdnb.panel._display", lambda *a, **k: None); monkeypatch.setattr("kdnb.live._display", lambda *a, **k: None)
    monkeypatch.setattr("kdnb.panel.keep_snapshot", lambda: kept.append); monkeypatch.setattr("kdnb.live.keep_snapshot", lambda: kept.append)
    return kept

def few(**kw): return Recipe.simple(**{**dict(steps=12, warm=0, samples=2, evaluation=dict(every=6)), **kw})
def long(**kw): return few(steps=20_000, evaluation=dict(every=500), **kw)
def until(f, seconds=60):
    for _ in range(seconds*20):
        if f(): return
        time.sleep(.05)
    raise AssertionError("it did not happen")
def click(p, name): p.buttons.buttons[name].click()
def is_(p, state): until(lambda: p.view.state==state); return p
def off(p, name="start"): return p.buttons.buttons[name].disabled
def steps(run): return [json.loads(l)["step"] for l in (run.folder/"history.jsonl").read_text().splitlines()]
def trains(p, n=20): click(p, "start"); until(lambda: p.view.step > n); return p
def stops(p): click(p, "stop"); is_(p, "stopped"); p.run.wait(20); return p

def test_a_start_never_forgets_what_it_promised_to_go_on_with(live):
    "Reset, then a look at the run that another panel trains: the Start after that goes on"
    a = trains(Panel(long())); b = Panel(); assert b.run is a.run and a.view.state=="stopped" and "newer panel" in a.view.text and a.view not in a.run.sinks
    click(a, "reset"); click(a, "start"); assert a.run is b.run and a.view.state=="running"
    until(lambda: a.view.step > 60); stops(a); had = a.run.last_step; assert had > 20
    click(a, "start"); assert "Goes on after step" in a.changed.value; until(lambda: a.view.step > had+5); stops(a)
    assert steps(a.run)==list(range(len(steps(a.run)))) and len(steps(a.run)) > had
    click(a, "reset"); click(a, "start"); until(lambda: a.view.state=="running" and a.view.step); stops(a); assert a.run.last_step < had    # and Reset, then Start, begins anew
    live.clear(); click(a, "start"); assert live[:1]==[None]; stops(is_(a, "running"))    # what stood below the panel goes when another run begins

def test_a_name_that_is_refused_does_not_leave_start_off():
    p = Panel(few()); p.form.teacher.list.value = "hf:"; assert off(p); p.form.teacher.rest.value = "Qwen/Qwen3-0.6B/x y"
    assert p.alert.text and p.form.teacher.list.value==p.recipe.teacher=="tiny" and not off(p) and not p.why.value and p.form.notes["Teacher"].value and not p.form.notes["Student"].value

def test_a_choice_that_fails_midway_is_not_taken(monkeypatch):
    "Neither the recipe nor the form is left half changed, whatever goes wrong"
    p = Panel(few()); r = p.recipe; p.form.data.controls["data.source"].input.value = "x"*5000; assert p.alert.text and p.recipe==r and p.recipe.to_yaml()==p.text.shown
    shown = p.text.show; monkeypatch.setattr(p.text, "show", lambda r: 1/0 if r.seed==9 else shown(r))
    p.form.main.controls["seed"].input.value = "9"; assert "ZeroDivisionError" in p.alert.text and p.recipe.seed==0 and p.form.main.controls["seed"].input.value=="0"
    p.form.main.controls["seed"].input.value = "8"; assert p.recipe.seed==8 and not p.alert.text

def test_a_run_that_was_moved_goes_on_where_it_is(tmp_path):
    p = stops(trains(Panel(long()))); n = p.run.last_step; to = tmp_path/"else"/"my best run"; to.parent.mkdir(); shutil.move(p.run.folder, to)
    q = Panel(str(to)); assert "Start goes on after step" in q.view.text; click(q, "start"); until(lambda: q.view.step > n+5); stops(q)
    assert q.run.folder==to and q.run.last_step > n and len(steps(q.run))==q.run.last_step+1 and sum(isinstance(s, LiveView) for s in q.run.sinks)==1

def test_a_cell_that_is_run_again_finds_what_its_panel_trains():
    "Also when the form was changed in between"
    p = Panel(few()); p.want("objective", "rkl"); p.form.main.controls["steps"].input.value = 10_000; trains(p); q = Panel(few())
    assert q.run is p.run and q.recipe.stages[-1].terms==["rkl"] and q.busy; other = Panel(few(seed=5)); assert other.run is not p.run and other.view.state=="ready"; stops(q)

def test_what_is_refused_while_a_run_trains(tmp_path):
    done = Run(few(seed=3), "runs").train(); p = trains(Panel(long())); name = done.folder.name; r = p.recipe
    for f in (lambda: p.look(name), lambda: p.take(few()), p.reset, p.start):
        with pytest.raises(RecipeError, match="Press Stop|press Stop"): f()
    p.want("seed", 4); assert "not taken" in p.alert.text and p.recipe==r and p.view.state=="running"
    p.runs.show(); p.runs.list.value = [name]; p.runs.buttons["Load recipe"].click(); assert "Press Stop" in p.runs.alert.text and p.recipe==r
    stops(p); p.runs.buttons["Resume"].click(); assert "nothing to go on with" in p.runs.alert.text and p.run.folder.name==name
    p.runs.list.value = [n for _,n in p.runs.list.options]; p.runs.buttons["Show"].click(); assert "mark one" in p.runs.alert.text
    p.runs.buttons["Report of these"].click(); assert "reports shows" not in p.runs.alert.text and "that are done" in p.runs.alert.text
    p.runs.sort.value = "precision"; assert [n for _,n in p.runs.list.options][0]==name; p.runs.sort.value = ""; assert [n for _,n in p.runs.list.options][0] != name    # the newest first

TRAIN = "from kdnb.recipe import Recipe\nfrom kdnb.train import Run\nimport sys\nRun(Recipe.from_yaml(sys.argv[1]+'\\n'), 'runs').train()"

def test_a_run_of_another_process_is_looked_at_and_left():
    "Its curves come; it cannot be stopped from here, and nothing else is locked"
    r = long(seed=1); other = subprocess.Popen([sys.executable, "-c", TRAIN, r.to_yaml()]); old = Run(few(seed=2), "runs").train()
    try:
        until(lambda: (Run(r, "runs").folder/"history.jsonl").is_file() and Run(r, "runs").state=="running", 90); p = Panel(r.run_id); until(lambda: p.view.step > 5)
        assert not p.busy and off(p, "stop") and off(p, "pause") and not off(p); p._steer(lambda run, v: None); at = p.view.step; until(lambda: p.view.step > at)
        p.want("seed", 7); assert p.recipe.seed==7 and not p.alert.text; p.look(old.folder.name); assert p.view.state=="done" and not p.following
    finally: other.kill(); other.wait()
    p.look(r.run_id); assert p.view.state=="stopped" and "killed; Start goes on after step" in p.view.text and p.view.lines["fkl"].x

def test_an_empty_figure_is_empty():
    "Reset, or a choice after a failure: nothing of the old run is seen"
    p = Panel(few(device="cuda:7")); p.start(); is_(p, "failed"); p.run.wait(10); p.want("device", "cpu"); assert p.view.state=="ready" and not p.view.alert.text
    p.want("samples", 40); gathers = lambda e: p.run.stop() if e["kind"]=="phase" and "gathering" in (e.get("text") or "") else None
    p.start(paused=True); p.run.sinks.append(gathers); is_(p, "stopped"); p.run.wait(20); assert p.view.first
    click(p, "reset"); assert not p.view.first and not any(t.x is not None and len(t.x) for t in p.view.figure.data)
    def breaks(e):
        if e["kind"]=="step" and e["step"]==2: raise MemoryError
    q = Panel(few(seed=6)); q.start(paused=True); q.run.sinks.insert(0, breaks); q.run.go_on(); is_(q, "failed"); q.run.wait(10); assert "batch 32" in q.view.alert.text
    q.want("seed", 5); assert q.view.state=="ready" and not q.view.alert.text and not q.view.step

def test_out_of_memory_names_the_batch_of_its_stage():
    d = few().to_params(); s = d["stages"][0]; r = Recipe(**{**d, "stages": [{**s, "batch": 64}, {**s, "batch": 4}]}); seen = []
    def breaks(e):
        seen.append(e)
        if e["kind"]=="step" and e["step"]==3: raise MemoryError
    with pytest.raises(Exception, match="with batch 64. Try batch 32"): Run(r, "runs", [breaks]).train()

@pytest.mark.parametrize("name, text", [("status.json", ""), ("status.json", "[]"), ("status.json", "{}"), ("metrics.json", "null"), ("metrics.json", "{\"kl_pq\": "), ("history.jsonl", "{\"fkl\": 1}\n"), ("glimpses.jsonl", "{\"student\": null}\n"), ("metrics.json", "{\"kl_pq\": Infinity}"), ("metrics.json", "{\"kl_pq\": null}"), ("recipe.yaml", "["*5000)])
def test_a_damaged_run(name, text):
    "It is said which file and what to do; the panel opens, other runs are listed, and Reset, then Start, makes the run anew"
    r = few(); done = Run(r, "runs").train(); good = Run(few(seed=1), "runs").train(); (done.folder/name).write_text(text)
    p = Panel(r); assert len(p.runs.list.options)==2 and any(n==good.folder.name for _,n in p.runs.list.options)
    if "Infinity" not in text and "kl_pq\": null" not in text:
        p.runs.list.value = [done.folder.name]; p.runs.buttons["Show"].click(); said = p.runs.alert.text; assert name in said and "foresaw" not in said, said
    p.form.forget(); p.take(r); click(p, "reset"); click(p, "start"); is_(p, "done"); p.run.wait(20); assert attach(done.folder).state=="done" and steps(done)==list(range(13))

def test_remove_takes_the_step_whose_button_it_is():
    p = Panel(few()); p.want("objective", {"fkl": 1., "rkl": 1., "ce": 1.}); p.form.objective.rows[1].off.click(); assert list(p.recipe.stages[-1].objective)==["fkl","ce"]
    p.form.objective.rows[1].off.click(); assert list(p.recipe.stages[-1].objective)==["fkl"] and p.form.objective.rows[0].off.disabled

def test_next_tokens_after_a_stop():
    "What was asked of who trains, and came too late, does not silence the tab"
    p = trains(Panel(long())); until(lambda: p.view.models); p.run.pause(); until(lambda: p.view.state=="paused"); p.view.asking = True; p.run.asked.clear(); stops(p)
    other = p.view.prompt.options[1]; p.view.prompt.value = other; assert other in p.view.tokens_html.value

def test_watch_goes_on(live):
    "Start does what its last line says, and Step makes one step"
    r = watch(long(), "runs"); v = next(s for s in r.sinks if isinstance(s, LiveView)); until(lambda: v.step > 5); r.stop(); until(lambda: v.state=="stopped"); r.wait(20); n = r.last_step
    from kdnb.live import one_step
    one_step(r); until(lambda: r.state=="paused"); assert v.step==n+1; one_step(r); until(lambda: v.step==n+2 and r.state=="paused"); r.stop(); r.wait(20); r.start(); until(lambda: v.step > n+10); assert "here, Start does it" in v.text or v.state=="running"; r.stop(); r.wait(20)

def test_nothing_is_lost_while_a_view_catches_up(monkeypatch):
    "A run that trains on while its folder is read"
    from kdnb.folder import RunFolder
    r = Run(few(steps=600, evaluation=dict(every=10)), "runs").start(); until(lambda: len(r.history) > 50); read = RunFolder.glimpses.fget
    def slowly(self): x = read(self); time.sleep(1); return x
    with monkeypatch.context() as m: m.setattr(RunFolder, "glimpses", property(slowly)); v = LiveView(r).catch_up()
    r.wait(60)
    h = r.history; assert v.state=="done" and v.lines["fkl"].n==h["fkl"].notna().sum()==600 and v.lines["heldout_kl_pq"].n==h["heldout_kl_pq"].notna().sum()==61 and sum(s==v for s in r.sinks)==1

def test_drawing_is_rationed(monkeypatch):
    "Four times a second at most, however fast the steps are"
    from kdnb.live import HZ, View
    n, draw = [], View.draw; monkeypatch.setattr(View, "draw", lambda self: n.append(time.monotonic()) or draw(self))
    p = Panel(few(steps=400)); click(p, "start"); is_(p, "done"); assert 3 <= len(n) <= 6+HZ*(n[-1]-n[0]) < 400, len(n)

def test_looking_at_runs_leaves_no_widgets_behind():
    from ipywidgets.widgets.widget import _instances
    a, b = (Run(few(seed=i), "runs").train().folder.name for i in (0, 1)); p = Panel(few(seed=2)); p.look(a); p.look(b); n = len(_instances)
    for x in (a, b, a, b): p.look(x)
    assert len(_instances) <= n+8, (n, len(_instances))

def test_what_is_hidden_says_why():
    p = Panel(few()); p.want("teacher", "api:some@http://127.0.0.1:9/v1"); assert "hidden: why?" in p.form.objective.hidden.value and "uld" in p.form.objective.hidden.value
