"What a run says when the machine fails it, and that nothing is lost: memory, disk, a folder that goes"
import os, shutil, subprocess, sys, textwrap
from pathlib import Path
import pandas as pd, pytest
from conftest import lacking
from kdnb.recipe import Recipe
from kdnb.train import Run, attach, distill

SHORT = dict(warm=0, steps=40, samples=2, evaluation=dict(every=10))

def test_out_of_memory_names_the_batch():
    "A process that may take little more than it has: the allocator itself refuses"
    code = """
        import resource, sys, tempfile
        from kdnb.recipe import Recipe
        from kdnb.train import Run, distill
        distill(Recipe.simple(warm=0, steps=2, samples=2), tempfile.mkdtemp())    # everything is loaded
        def tight(e):
            if e["kind"]=="phase" and e.get("text", "").startswith("training"):
                size = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1])*1024
                resource.setrlimit(resource.RLIMIT_AS, (size+60_000_000,)*2)
        said = []; run = Run(Recipe.simple(warm=0, steps=5, samples=2, batch=20_000), tempfile.mkdtemp(), [tight, said.append]).start().wait()
        print(run.state, "|", said[-1]["text"], "|", "Traceback" in said[-1]["trace"])
    """
    if not Path("/proc/self/status").is_file(): pytest.skip("only Linux tells how much memory is mapped")
    r = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    state, said, trace = r.stdout.strip().splitlines()[-1].split(" | ")
    assert state=="failed" and "out of memory while training, with batch 20000. Try batch 10000" in said and trace=="True", (r.stdout, r.stderr[-2000:])

@pytest.fixture
def small_disk(tmp_path):
    "A disk of 3 MB"
    at = tmp_path/"disk"; at.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(at)], capture_output=True).returncode: lacking("this user may not mount a small disk")
    yield at
    subprocess.run(["umount", "-l", str(at)])

def test_a_full_disk_is_said_and_the_run_goes_on_later(small_disk, tmp_path):
    "The disk fills in the middle of a run; once there is room, the same run goes on to the same end"
    r = Recipe.simple(**SHORT); whole = distill(r, tmp_path/"whole"); said = []
    run = Run(r, small_disk); full = small_disk/"full"
    def fill(e):
        if e["kind"]=="step" and e["step"]==15:
            with open(full, "wb") as f:
                try:
                    while True: f.write(b"x"*4096); f.flush()
                except OSError: pass
    run.sinks += [fill, said.append]; run.start().wait(60)
    assert said[-1]["kind"]=="failed" and "is full" in said[-1]["text"] and "kdnb resume" in said[-1]["text"], said[-1]
    assert run.state in ("failed","killed")
    full.unlink(); again = attach(run.folder).train()
    assert again.state=="done" and again.metrics==whole.metrics; pd.testing.assert_frame_equal(again.history, whole.history)

def test_a_folder_that_goes_is_said(tmp_path):
    said = []; run = Run(Recipe.simple(**SHORT), tmp_path, [said.append])
    run.sinks.append(lambda e: e["kind"]=="step" and e["step"]==12 and shutil.rmtree(run.folder))
    run.start().wait(60)
    assert said[-1]["kind"]=="failed" and "has gone while it trained" in said[-1]["text"] and "start again" in said[-1]["text"], said[-1]
    assert distill(run.recipe, tmp_path).state=="done"    # and it can

@pytest.mark.parametrize("stops", [lambda e: e["kind"]=="step" and e["step"]==12, lambda e: e["kind"]=="eval"], ids=["in the midst", "before a step"])
def test_precision_stays_as_the_run_began(tmp_path, monkeypatch, stops):
    "Whether bf16 gains is measured once a run: what goes on with it does not ask again, also where it was stopped before its first checkpoint"
    import kdnb.train as train
    monkeypatch.setattr(train, "pick_precision", lambda *a: ("bf16", "this once")); r = Recipe.simple(**SHORT); run = train.Run(r, tmp_path); run.sinks.append(lambda e: stops(e) and run.stop()); run.train(); assert run.state=="stopped"
    monkeypatch.setattr(train, "pick_precision", lambda *a: pytest.fail("asked again")); done = train.attach(run.folder).train(); env = done._json("environment.json", {})
    assert done.state=="done" and (env["precision"], env["precision_because"])==("bf16", "this once")
