"The tool behind the table of yields: every recipe can be run, and what a way yields or dies of stands in the table."
import json, subprocess, sys
from pathlib import Path
import pytest
from conftest import ROOT
from kdnb.catalogue import STEPS
from kdnb.recipe import Recipe
from kdnb.train import check

@pytest.fixture
def yields(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT/"tools"))
    import yields
    return yields

@pytest.fixture
def small(tmp_path):
    "A folder of data in the form of the real one"
    to = tmp_path/"data"; to.mkdir(); lines = lambda rows: "".join(json.dumps(r)+"\n" for r in rows)
    tasks = [dict(instruction=f"Name {n} things.", instances=[dict(input="" if n % 2 else "a word "*(50+n), output=f"def things(): return {n}")]) for n in range(40)]
    (to/"self_instruct_seed_tasks.jsonl").write_text(lines(tasks)); (to/"sst2_dev.tsv").write_text("".join(f"a film of {n} parts\t{n % 2}\n" for n in range(40)))
    (to/"gsm8k_train_1500.jsonl").write_text(lines(dict(question=f"What is {n} plus 1?", answer=f"{n}+1 = {n+1}\n#### {n+1}") for n in range(40)))
    return to

def test_every_way_can_be_run_and_none_is_missing(yields, small, tmp_path):
    ways = {name: Recipe(**r) for name,r in yields.recipes(small, tmp_path/"out").items()}; there = set()
    for r in ways.values(): check(r); there |= {(m, o.get("how")) for m,o in r.stages[-1].chain}; assert r.teacher=="smollm2-135m" and len(r.stages)==1
    every = {(m, h) for m in ("curation", "expansion", "feedback", "self_knowledge") for h in STEPS[m]["how"][0]} | {("labeling", h) for h in ("cot", "program", "contrast")} | {("feature", None)}
    assert every <= there

def test_what_is_made_of_the_data(yields, small, tmp_path):
    yields.recipes(small, tmp_path/"out"); read = lambda name: [json.loads(l) for l in (tmp_path/"out"/name).read_text().splitlines()]
    assert len(read("tasks.jsonl"))==20 and all("1"<=r["output"][-1]<="9" for r in read("tasks.jsonl")) and len(read("documents.jsonl"))==20 and len(read("snippets.jsonl"))==40

def test_the_table(small, tmp_path):
    stage = lambda **kw: dict(teacher="tiny", student="tiny-s", stages=[dict(objective={"ce": 1}, prompts=4, max_new_tokens=24) | kw])
    ways = {"labels | plainly": stage(elicit=["labeling", {"filter": {"right": True}}], samples=8), "asks too much": stage(elicit=[{"expansion": {"how": "evolve"}}])}
    (tmp_path/"ways.yaml").write_text(json.dumps(ways))
    r = subprocess.run([sys.executable, ROOT/"tools/yields.py", small, "--ways", tmp_path/"ways.yaml", "--seeds", "0", "1", "-o", tmp_path/"out"], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert r.returncode==0, r.stderr
    head, rule, *rows = [[c.strip() for c in line.replace("\\|", "/")[1:-1].split("|")] for line in r.stdout.splitlines()]
    assert len(rows)==4 and all(len(x)==len(head)==len(rule)==8 for x in rows)
    for seed,x in enumerate(rows[:2]):
        x = dict(zip(head, x)); wrong = len((Path(x["samples"]).parent/"drops.jsonl").read_text().splitlines())
        assert x["way"]=="labels / plainly" and x["seed"]==str(seed) and x["asked"]=="32" and int(x["kept"])==32-wrong and Path(x["samples"]).is_file()
        assert x["share"]==f"{1-wrong/32:.0%}" and x["left out"]==(f"{wrong} wrong" if wrong else "nothing")
    assert all("does not understand" in x[-1] and x[2:4]==["0", "0"] for x in rows[2:])
    assert subprocess.run([sys.executable, ROOT/"tools/yields.py", small, "nonesuch", "-o", tmp_path/"out"], capture_output=True, text=True, timeout=60).returncode==1
