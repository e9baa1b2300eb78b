"Real files, as people have them."
from kdnb.recipe import Data
from kdnb.skills import load_data, load_skill

def test_gsm8k(data):
    train, held = load_data(Data(source=str(data/"gsm8k_train_1500.jsonl"), prompt="question", completion="answer"))
    assert len(train)+len(held)==1500 and 100 < len(held) < 200 and not {r["prompt"] for r in train} & {r["prompt"] for r in held}
    assert all("####" in r["completion"] for r in train)

def test_sst2(data):
    d = Data(source=str(data/"sst2_dev.tsv"), columns=["text","label"], prompt="Review: {text}\nGood (1) or bad (0)?", completion="label")
    train, held = load_data(d); rows = train+held
    assert len(rows)==872 and {r["completion"] for r in rows}=={"0","1"}
    s = load_skill("instruct", d); assert len(s.seeds)==len(train)

def test_instruct_seeds_are_our_own(data):
    import json
    theirs = [json.loads(l)["instruction"].lower().split() for l in open(data/"self_instruct_seed_tasks.jsonl")]
    grams = {tuple(w[i:i+4]) for w in theirs for i in range(len(w)-3)}
    s = load_skill("instruct")
    for r in s.seeds+s.heldout:
        w = r["prompt"].lower().split(); mine = [tuple(w[i:i+4]) for i in range(len(w)-3)]
        assert not mine or sum(g in grams for g in mine)/len(mine) < .5, r["prompt"]

def test_no_person_talks_like_an_assistant(data):
    "What expansion turns away as an assistant's talk is no task of Self-Instruct's authors, and no problem of GSM8K"
    import json
    from kdnb.expansion import _TALK
    tasks = [json.loads(l)["instruction"] for l in open(data/"self_instruct_seed_tasks.jsonl")]; sums = [json.loads(l)["question"] for l in open(data/"gsm8k_train_1500.jsonl")]
    assert len(tasks)==175 and not [p for p in tasks+sums if _TALK.search(p.replace("’", "'"))]
