"Two processes over gloo, as torchrun and accelerate start them, learn what one learns"
import json, os, signal, subprocess, sys
from pathlib import Path
import pytest
from browser.lab import wait_until
from conftest import KDNB, short_recipe
from kdnb.recipe import Recipe, Stage

TORCHRUN = [str(Path(sys.executable).parent/"torchrun"), "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
ACCELERATE = [str(Path(sys.executable).parent/"accelerate"), "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
STOPPED_ONCE = """import os; from kdnb.cli import main; from kdnb.recipe import Recipe; from kdnb.train import Run
run = Run(Recipe.from_yaml("r.yaml"), "runs"); run.sinks.append(lambda e: e["kind"]=="step" and e["step"]==15 and run.stop()); run.train()
assert os.environ["RANK"]=="1" or run.state=="stopped" and run.last_step==15    # the first may be going on while the second reads
main(["distill", "r.yaml"])"""

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}

def begun(folder, recipe): folder.mkdir(); (folder/"r.yaml").write_text(recipe.to_yaml()); (folder/"stopped_once.py").write_text(STOPPED_ONCE); return folder
def ran(folder, recipe, *words, **env): return subprocess.run(words, cwd=begun(folder, recipe), capture_output=True, text=True, timeout=300, env=ENV | env)

FSDP = dict(ACCELERATE_USE_FSDP="true", FSDP_VERSION="2")    # what `accelerate launch --use_fsdp` sets; on CPUs it starts one process

ADAPTERS = dict(student="layers:2", lora=dict(rank=2), lr=1e-3)    # thin differences enlarge rounding: by DDP the gradient's norm differs by 1.9e-5 of itself once, in parts by 1.6e-5

@pytest.mark.parametrize("how, env, more, near", [(ACCELERATE, {}, {}, 1e-5), (TORCHRUN, FSDP, {}, 1e-5), (TORCHRUN, FSDP, ADAPTERS, 5e-5)], ids=["whole", "in parts", "adapters in parts"])
def test_two_are_one(tmp_path, how, env, more, near):
    "A warm start, a mixture, preferences, each batch of 5 in parts of 3 and 2, stopped once on the way: losses, terms, gradients and measures of one process"
    r = short_recipe(**more, objective={"jsd": 1., "ce": .5, "tsld": .1}, batch=5, steps=12, seed=3)
    r = Recipe(**{**r.to_params(), "stages": [*r.stages, Stage(elicit=["feedback"], objective={"dpo": 1.}, prompts=12, samples=4, batch=5, steps=6, lr=3e-4)]})
    one, two = ran(tmp_path/"one", r, KDNB, "distill", "r.yaml"), ran(tmp_path/"two", r, *how, "stopped_once.py", **env); assert one.returncode==two.returncode==0, two.stderr[-3000:]
    a, b = (tmp_path/f"{k}/runs/{r.run_id}" for k in ("one", "two"))
    assert [json.loads((f/"environment.json").read_text())["processes"] for f in (a, b)]==[1, 2] and two.stdout.split()==[str(b.resolve())]    # one of the two speaks
    assert ("of the student (FSDP)" in two.stderr)==bool(env), two.stderr[-2000:]
    a, b = ([json.loads(l) for l in (f/"history.jsonl").read_text().splitlines()] for f in (a, b)); assert len(a)==len(b)==10+12+6+1
    for x,y in zip(a, b): assert x.keys()==y.keys() and all(y[k]==pytest.approx(x[k], rel=near, abs=1e-6) for k in x), (x, y)

def test_own_answers_and_ctrl_c(tmp_path):
    "What a student says itself is said in parts as well; Ctrl-C, which every process hears, ends the run after a step with a checkpoint of it"
    r = short_recipe(objective="rkl", on_policy=1., batch=6, steps=3000, warm=4); at, log = tmp_path/"two", tmp_path/f"two/runs/{r.run_id}/history.jsonl"
    with subprocess.Popen([*TORCHRUN, KDNB, "distill", "r.yaml"], cwd=begun(at, r), stderr=subprocess.PIPE, text=True, env=ENV) as p:
        wait_until(lambda: p.poll() is not None or log.exists() and log.read_text().count("\n") > 8, 120, "no step was made"); p.send_signal(signal.SIGINT); said = p.communicate(timeout=60)[1]
    status = json.loads((log.parent/"status.json").read_text()); assert (status["state"], "kdnb resume" in said)==("stopped", True), said[-3000:]
    steps = [json.loads(l) for l in log.read_text().splitlines()]; assert steps[-1]["step"]==status["step"] and (log.parent/f"checkpoint-{status['step']}").is_dir() and all(s["rkl"] > 0 and s["tokens"] >= 6 for s in steps[5:])
    assert json.loads((log.parent/"environment.json").read_text())["processes"]==2

ONE_FAILS = """import kdnb.loop as loop; from kdnb.cli import main; from kdnb.distributed import processes
update, calls = loop._update, []
def failing(*a, **kw):
    calls.append(1)
    if len(calls)==3 and processes()[0]==WHO: raise MemoryError
    return update(*a, **kw)
loop._update = failing; raise SystemExit(main(["distill", "r.yaml"]))"""

@pytest.mark.parametrize("who", [0, 1], ids=["first", "second"])
def test_one_fails(tmp_path, who):
    "One process runs out of memory in a step: nobody waits for it, and where it is the first the run says what happened"
    r = short_recipe(); at = begun(tmp_path/"two", r); (at/"fails.py").write_text(ONE_FAILS.replace("WHO", str(who)))
    done = subprocess.run([*TORCHRUN, "fails.py"], cwd=at, capture_output=True, text=True, timeout=120, env=ENV); status = json.loads((at/f"runs/{r.run_id}/status.json").read_text())
    assert done.returncode and (status["state"] in ("failed", "running") if who else status["state"]=="failed" and "out of memory while training" in status["error"]), (status, done.stderr[-2000:])
    assert "error: out of memory" in done.stderr or "MemoryError" in done.stderr

def test_what_two_cannot_do(tmp_path):
    "is refused before anything is loaded, once"
    done = ran(tmp_path/"two", short_recipe(objective="ted"), *TORCHRUN, KDNB, "distill", "r.yaml"); why = "'ted' is not known to be a mean over tokens or prompts, so 2 processes"
    assert done.returncode and done.stderr.count(why)==1 and "loading" not in done.stderr and not (tmp_path/"two/runs").exists()

NOT_FINITE = """import os, torch, kdnb.fsdp as fsdp, kdnb.loop as loop; from kdnb.cli import main
finite, calls, gather = loop._finite, [], fsdp.Parts.gather
def sixth(e, again): calls.append(1); return finite({**e, "loss": float("nan")} if len(calls)==6 else e, again)
def told(self):
    mine = [(p.to_local().numel(), *(t.to_local().numel() for k,t in self.opt.state[p].items() if k != "step")) for p in self.own.values()]
    os.write(1, f"MINE {[sum(x)/sum(w.numel() for w in self.named.values()) for x in zip(*mine)]}\\n".encode()); gather(self)    # a line at once: two processes speak
loop._finite, fsdp.Parts.gather = sixth, told; raise SystemExit(main(["distill", "r.yaml"]))"""

def test_not_finite_in_parts(tmp_path):
    "A loss that is no number ends a run whose student lies in parts; the steps before it are kept as one process keeps them, and each process held half of weights and averages"
    from safetensors.torch import load_file
    r = short_recipe(warm=0, student="layers:2", lr=1e-3); kept = {}
    for name,words,env in (("one", [sys.executable], {}), ("two", TORCHRUN, FSDP)):
        at = begun(tmp_path/name, r); (at/"fails.py").write_text(NOT_FINITE); run = at/f"runs/{r.run_id}"
        done = subprocess.run([*words, "fails.py"], cwd=at, capture_output=True, text=True, timeout=120, env=ENV | env)
        assert done.returncode and "The weights before that step are kept" in done.stderr and json.loads((run/"status.json").read_text())["state"]=="failed", done.stderr[-2000:]
        kept[name] = [load_file(run/"checkpoint-5"/f"{f}.safetensors") for f in ("model", "optimizer")]
    for a,b in zip(kept["one"], kept["two"]): assert a.keys()==b.keys() and max((a[k].float()-b[k].float()).abs().max().item() for k in a) < 2e-4
    shares = [x for l in done.stdout.splitlines() if l.startswith("MINE") for x in json.loads(l[5:])]; assert len(shares)==6 and all(abs(x-.5) < .05 for x in shares), done.stdout

GATHER_FAILS = """import kdnb.fsdp as fsdp; from kdnb.cli import main; from kdnb.distributed import processes
gather, calls = fsdp.Parts.gather, []
def failing(self):
    calls.append(1)
    if len(calls)==2 and processes()[0]==0: raise MemoryError
    gather(self)
fsdp.Parts.gather = failing; raise SystemExit(main(["distill", "r.yaml"]))"""

def test_gathering_fails(tmp_path):
    "The first process runs out of memory while it puts the student together: said in words, and nobody waits for it"
    r = short_recipe(); at = begun(tmp_path/"two", r); (at/"fails.py").write_text(GATHER_FAILS)
    done = subprocess.run([*TORCHRUN, "fails.py"], cwd=at, capture_output=True, text=True, timeout=120, env=ENV | FSDP); status = json.loads((at/f"runs/{r.run_id}/status.json").read_text())
    assert done.returncode and status["state"]=="failed" and "out of memory" in status["error"], (status, done.stderr[-2000:])

def test_no_layer_is_cut(tmp_path):
    r = short_recipe(); done = ran(tmp_path/"two", r, *TORCHRUN, KDNB, "distill", "r.yaml", **FSDP, FSDP_TRANSFORMER_CLS_TO_WRAP="LlamaDecoderLayer, LlamaLayer")
    assert done.returncode and "is called LlamaLayer" in done.stderr and "LlamaDecoderLayer" in done.stderr, done.stderr[-2000:]
