"Elicitation as a person runs it: a server as the teacher of a whole run, killed and resumed; sets of knowledge; what is wrong is said before anything loads."
import collections, json, os, random, re, signal, subprocess, time
from pathlib import Path
from types import SimpleNamespace
import datasets, pytest
from conftest import KDNB
from kdnb.recipe import Recipe
from kdnb.replies import Reply
from kdnb.skills import DataError, load_skill
from kdnb.tiny import WORLD
from test_api import serve    # a fixture

def world(n, ask):
    "An answer that is right in the tiny world"
    text = WORLD.answer(ask["messages"][-1]["content"], random.Random(ask.get("seed")))
    return dict(choices=[dict(index=0, finish_reason="stop", message=dict(role="assistant", content=text))])

def recipe(to, name, **stage):
    s = dict(elicit=["labeling", {"filter": {"right": True}}], objective={"ce": 1}, samples=4, steps=20, batch=16, lr=.01, max_new_tokens=24) | stage
    (to/"r.yaml").write_text(json.dumps(dict(teacher=name, student="tiny-s", stages=[s], evaluation=dict(samples=2, prompts=6, max_new_tokens=24, every=0), api=dict(concurrency=8))))
    return to/"r.yaml"

def asked(server): return collections.Counter((a["messages"][-1]["content"], a["seed"]) for a in server.asked)

def test_a_run_with_a_server_is_killed_and_resumed(serve, kdnb, tmp_path):
    s = serve(world, delay=.01); recipe(tmp_path, s.name)
    p = subprocess.Popen([KDNB, "distill", "r.yaml"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.time()+120
    while len(s.asked) < 150 and p.poll() is None and time.time() < end: time.sleep(.01)
    os.kill(p.pid, signal.SIGKILL); p.wait(); before = len(s.asked); folder = next((tmp_path/"runs").iterdir())
    kept = sum(1 for line in open(folder/"replies.jsonl") if line.endswith("\n"))
    assert 150 <= before < 486 and before-kept <= 8+1    # what was under way when it was killed, and nothing else, is asked again
    r = kdnb("resume", folder); assert r.returncode==0, r.stderr
    assert len(asked(s))==480+6 and len(s.asked)-486 <= 8+1 and max(asked(s).values()) <= 2
    rows = datasets.load_from_disk(str(folder/"knowledge"/"stage0-round0")); metrics = json.loads((folder/"metrics.json").read_text())
    assert len(rows)==480 and all(WORLD.says(x["prompt"], x["completion"]) for x in rows) and set(rows["teacher"])=={s.name} and {"precision","coverage"} <= metrics.keys()
    assert "480" in (folder/"knowledge"/"stage0-round0"/"README.md").read_text() and (folder/"knowledge"/"stage0-round0"/"drops.jsonl").read_text()==""
    n = len(s.asked); replayed = recipe(tmp_path, f"replay:{folder/'replies.jsonl'}")
    r = kdnb("elicit", replayed); assert r.returncode==0, r.stderr
    again = datasets.Dataset.from_parquet(r.stdout.strip()+"/data.parquet"); assert again["completion"][:]==rows["completion"][:] and len(s.asked)==n

def test_a_set_with_a_server_and_a_budget(serve, kdnb, tmp_path):
    s = serve(world); recipe(tmp_path, s.name, prompts=40, samples=2)
    price = ("-p", "api.price", "[1000, 1000]")
    r = kdnb("elicit", "r.yaml", *price, "--max-cost", "0.9"); assert r.returncode==2 and "$" in r.stderr and "max_cost" in r.stderr and "Traceback" not in r.stderr, r.stderr
    assert (s.charged_in+s.charged_out)/1000 <= .9; first = len(s.asked); assert 0 < first < 80
    r = kdnb("elicit", "r.yaml", *price, "--max-cost", "90"); assert r.returncode==0 and max(asked(s).values())==1 and len(s.asked)==80, r.stderr    # the rest alone is paid
    folder = Path(r.stdout.strip()); page = (folder/"samples.html").read_text()
    assert {"data.parquet","README.md","samples.html","drops.jsonl","replies.jsonl","recipe.yaml"}=={f.name for f in folder.iterdir()} and page.count("<article") > 10 and "sk-" not in page

def test_ctrl_c_says_what_is_kept(serve, kdnb, tmp_path):
    s = serve(world, delay=.08); recipe(tmp_path, s.name, prompts=60)
    p = subprocess.Popen([KDNB, "elicit", "r.yaml"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.time()+120
    while len(s.asked) < 40 and p.poll() is None and time.time() < end: time.sleep(.01)
    p.send_signal(signal.SIGINT); said = p.communicate()[1]; assert p.returncode==130 and "Traceback" not in said, said
    kept = int(re.search(r"([\d,]+) replies of", said)[1].replace(",", "")); assert kept >= 30 and "replies.jsonl" in said and "the same command goes on" in said and said.rstrip().endswith("interrupted"), said
    r = kdnb("elicit", "r.yaml"); assert r.returncode==0 and len(asked(s))==240 and len(s.asked)-240 <= 8+1, r.stderr
    told = (Path(r.stdout.strip())/"README.md").read_text(); assert "| labeling (plain) | 60 | 240 | 240 |  |" in told and "## What was left out" in told

def test_an_untrained_student_is_named(kdnb):
    r = kdnb("elicit", "-p", "elicit", "feedback", "-p", "objective", "dpo", "-p", "prompts", 4, "-p", "samples", 3); assert r.returncode==0, r.stderr
    assert "was never trained" in r.stderr and "answers_by teacher" in r.stderr
    r = kdnb("elicit", "-p", "elicit", "feedback", "-p", "objective", "dpo", "-p", "prompts", 4, "-p", "samples", 3, "-p", "answers_by", "teacher"); assert r.returncode==0 and "was never trained" not in r.stderr, r.stderr

def test_what_a_model_says_is_text(serve, kdnb, tmp_path):
    evil = "<img src=x onerror=alert(1)>\x00\x1b[31m & \u202e"
    s = serve(lambda n, ask: dict(choices=[dict(index=0, finish_reason="stop", message=dict(role="assistant", content=evil))])); recipe(tmp_path, s.name, elicit=["labeling"], prompts=3, samples=1)
    r = kdnb("elicit", "r.yaml"); assert "does not know" in r.stderr    # tiny-s cannot read it, and that is said
    assert "Traceback" not in r.stderr and r.returncode==2

REFUSED = {
    "a server gives no logits": (("-p", "teacher", "api:x", "-p", "objective", "rkl"), "needs the teacher's logits"),
    "no key": (("-p", "teacher", "api:x", "-p", "objective", "ce"), "OPENAI_API_KEY"),
    "a way that tiny does not understand": (("-p", "elicit", "{expansion: {how: evolve}}", "-p", "objective", "ce"), "does not understand"),
    "an option that is none": (("-p", "elicit", "{labeling: {shot: 3}}", "-p", "objective", "ce"), "Did you mean 'shots'"),
    "a filter that needs a check": (("-p", "teacher", "smollm2-135m", "-p", "elicit", "[labeling, {filter: {right: true}}]", "-p", "objective", "ce"), "verifier"),
    "a file that is not there": (("-p", "teacher", "smollm2-135m", "-p", "elicit", "{curation: {how: documents, documents: nowhere.txt}}", "-p", "objective", "ce"), "nowhere.txt"),
    "a file that is not there, and a teacher that could not read it": (("-p", "elicit", "{curation: {how: documents, documents: nowhere.txt}}", "-p", "objective", "ce"), "nowhere.txt: there is no such file"),
    "a teacher's kind without a name": (("-p", "teacher", "replay:", "-p", "objective", "ce"), "replay:FILE"),
    "a budget without prices": (("-p", "teacher", "api:x", "-p", "objective", "ce", "--max-cost", "1"), "api.price"),
    "a stage that is not there": (("--stage", "3"), "counted from 0"),
}
@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_anything_loads(kdnb, tmp_path, monkeypatch, what):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False); words, said = REFUSED[what]
    r = kdnb("elicit", *words); assert r.returncode==2 and said in r.stderr and "Traceback" not in r.stderr and "loading" not in r.stderr, r.stderr
    assert not (tmp_path/"knowledge").exists()

def test_methods_are_listed(kdnb):
    r = kdnb("methods"); assert r.returncode==0 and all(m in r.stdout for m in ("labeling","expansion","curation","feature","feedback","self_knowledge","filter"))
    assert "not with tiny: how program, contrast" in r.stdout and "no options" in kdnb("methods", "feature").stdout
    r = kdnb("methods", "labeling"); assert "BM25" in r.stdout and "plain | cot | program | contrast" in r.stdout

right = lambda r: WORLD.says(r["prompt"], r["completion"]) is not None
CHAINS = {  # steps, objective, what rows must show, and of which share
    "new prompts": ([{"expansion": dict(n=8, novel=1)}, "labeling", {"filter": dict(right=True)}], "ce", right, 1),
    "curated": ([{"curation": dict(n=12, novel=1)}], "ce", right, .75),
    "pairs in words": (["labeling", {"feedback": dict(how="pairwise")}], "dpo", lambda r: r["chosen"]==r["completion"] != r["rejected"] and r["judge"]=="tiny" and r["teacher"]=="tiny", 1),
    "corrections": ([{"feedback": dict(how="correction")}], "ce", right, .8),
    "its own right answers, and the teacher's distribution": ([{"self_knowledge": dict(samples=6)}, {"filter": dict(right=True, diverse=2)}, "feature"], "fkl", lambda r: right(r) and r["teacher"]=="layers:3", 1),
    "its own reward": ([{"self_knowledge": dict(how="reward", samples=6)}], "dpo", lambda r: r["judge"]==r["teacher"]=="layers:3" and r["scores"][r["candidates"].index(r["chosen"])]==max(r["scores"]), 1),
    "failed prompts": ([{"expansion": dict(how="targeted", n=4, novel=1)}, "feature"], "fkl", right, .75),
}
@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_trained_on(tmp_path, name):
    "Every method, from the first step to the metrics; the same recipe gives the same rows, another round others"
    from kdnb.elicit import elicit
    from kdnb.recipe import Recipe, Stage
    from kdnb.train import distill
    steps, objective, holds, least = CHAINS[name]; share = lambda rows: sum(map(bool, map(holds, rows)))/len(rows)
    s = Stage(elicit=steps, objective={objective: 1.}, samples=4, prompts=16, steps=3, batch=4, lr=1e-4, max_new_tokens=32, rounds=2)
    r = Recipe(student="layers:3", stages=[s], evaluation=dict(every=0, prompts=2, samples=2, max_new_tokens=24)); run = distill(r, tmp_path)
    first, second = (datasets.load_from_disk(str(run.folder/"knowledge"/f"stage0-round{i}")) for i in (0, 1))
    assert run.state=="done" and len(run.history)==7 and min(share(first), share(second)) >= least and first[:] != second[:], (share(first), share(second))
    assert first[:]==elicit(r)[:] and not {x["prompt"] for x in first} & {x["prompt"] for x in load_skill("tiny-tell").heldout}

def test_what_curation_turns_away():
    from kdnb.curation import _judge
    e = SimpleNamespace(skill=load_skill("instruct")); fault, x = _judge(e, dict(novel=0.)), lambda t: Reply(t)
    for text,why in (("The problem is:", "announces"), ("I'm sorry, but I cannot write that.", "declines"), ("How can I assist you today?", "assistant's talk"), ("...", "no word")): assert why in fault(text, text, x(text))[0]
    assert fault("Write a function that adds two numbers.", "", x("Write a function that adds two numbers.")) is None

def test_reasons_are_checked_behind_the_answer():
    from kdnb.self_knowledge import _reasons
    from kdnb.wordings import wordings_of
    e = SimpleNamespace(words=wordings_of(load_skill("maths")), skill=load_skill("maths"))
    assert "false sum" in _reasons("There are 2 and 2, so 2 + 2 = 4.\nThe answer is 4\nCheck: 3 + 1 = 5", e)[2] and _reasons("There are 2 and 2, so 2 + 2 = 4.\nThe answer is 4\nCheck: 3 + 1 = 4", e)[2] is None

def test_no_preference_says_why():
    "All candidates alike: the error shows some in words, and each row is counted"
    from kdnb.elicit import elicit
    r = Recipe(teacher="tiny", student="tiny-s", skill="tiny-tell", stages=[dict(elicit=[dict(feedback=dict(how="judge"))], judge="verifier", answers_by="teacher", objective={"dpo": 1.}, samples=2, prompts=3, max_new_tokens=24)])
    with pytest.raises(DataError, match="such as row 0 \\('the .* 1.0, ") as x: elicit(r)
    assert [d["reason"] for d in x.value.drops].count("no order among its candidates")==3

def test_messages_of_a_newcomer(tmp_path, kdnb):
    j = tmp_path/"j.jsonl"; j.write_text('{"spent": {"dollars": 0.0}}\n'); recipe(tmp_path, "tiny")
    for words,said in ((("elicit", "r.yaml", "-p", "promts", "4"), "Did you mean 'prompts'?"), (("elicit", "r.yaml", "-p", "teacher", "api:m@127.0.0.1:8123/v1"), "does not begin with http://"), (("elicit", "r.yaml", "-p", "teacher", f"replay:{j}"), "holds no reply yet")):
        r = kdnb(*words); assert r.returncode==2 and said in r.stderr and len(r.stderr.splitlines())==1, r.stderr

def test_replay_says_when_it_repeats(tmp_path):
    from kdnb.replies import Replay, Recorded
    from kdnb.teachers import load_tiny
    talk, notes = [[dict(role="user", content="tell of sea")]], []; Recorded(load_tiny(), tmp_path/"j.jsonl").say(talk*3, seed=1)
    got = Replay(f"replay:{tmp_path/'j.jsonl'}").say(talk*4, seed=1, on_event=lambda e: notes.append(e.get("text")))
    assert len(got)==4 and got[3].text==got[0].text and any("1 of 4 requests ask for more" in (n or "") for n in notes)
