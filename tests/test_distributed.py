"Two processes over gloo, as torchrun and accelerate start them, learn what one learns"
import json, os, subprocess, sys
from pathlib import Path
import pytest
from conftest import KDNB, short_recipe
from kdnb.recipe import Recipe, Stage

TORCHRUN = [str(Path(sys.executable).parent/"torchrun"), "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
ACCELERATE = [str(Path(sys.executable).parent/"accelerate"), "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
STOPPED_ONCE = """from kdnb.cli import main; from kdnb.recipe import Recipe; from kdnb.train import Run
run = Run(Recipe.from_yaml("r.yaml"), "runs"); run.sinks.append(lambda e: e["kind"]=="step" and e["step"]==15 and run.stop()); run.train()
assert run.state=="stopped" and run.last_step==15
main(["distill", "r.yaml"])"""

def ran(folder, recipe, *words):
    folder.mkdir(); (folder/"r.yaml").write_text(recipe.to_yaml()); (folder/"stopped_once.py").write_text(STOPPED_ONCE)
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})

def test_two_are_one(tmp_path):
    "A warm start, a mixture, preferences, each batch of 5 in parts of 3 and 2, stopped once on the way: losses, terms, gradients and measures of one process"
    r = short_recipe(objective={"jsd": 1., "ce": .5, "tsld": .1}, batch=5, steps=12, seed=3)
    r = Recipe(**{**r.to_params(), "stages": [*r.stages, Stage(elicit=["feedback"], objective={"dpo": 1.}, prompts=12, samples=4, batch=5, steps=6, lr=3e-4)]})
    one, two = ran(tmp_path/"one", r, KDNB, "distill", "r.yaml"), ran(tmp_path/"two", r, *TORCHRUN, "stopped_once.py"); assert one.returncode==two.returncode==0, two.stderr[-3000:]
    a, b = (tmp_path/f"{k}/runs/{r.run_id}" for k in ("one", "two"))
    assert [json.loads((f/"environment.json").read_text())["processes"] for f in (a, b)]==[1, 2] and two.stdout.split()==[str(b.resolve())]    # one of the two speaks
    a, b = ([json.loads(l) for l in (f/"history.jsonl").read_text().splitlines()] for f in (a, b)); assert len(a)==len(b)==10+12+6+1
    for x,y in zip(a, b): assert x.keys()==y.keys() and all(y[k]==pytest.approx(x[k], rel=1e-5, abs=1e-6) for k in x), (x, y)

def test_own_answers(tmp_path):
    "What a student says itself is said in parts as well, by each process its own"
    r = short_recipe(objective="rkl", on_policy=1., batch=6, steps=6, warm=4); done = ran(tmp_path/"two", r, *ACCELERATE, KDNB, "distill", "r.yaml"); assert done.returncode==0, done.stderr[-3000:]
    steps = [json.loads(l) for l in (tmp_path/f"two/runs/{r.run_id}/history.jsonl").read_text().splitlines()][-6:]; assert all(s["rkl"] > 0 and s["tokens"] >= 6 for s in steps)

def test_what_two_cannot_do(tmp_path):
    "is refused before anything is loaded"
    done = ran(tmp_path/"two", short_recipe(objective="ted"), *TORCHRUN, KDNB, "distill", "r.yaml")
    assert done.returncode and "'ted' is not a mean over tokens or prompts, so 2 processes" in done.stderr and "loading" not in done.stderr and not (tmp_path/"two/runs").exists()
