"The command line as a user meets it: results on stdout, talk on stderr, errors in a sentence."
import json
from pathlib import Path
import pytest

@pytest.mark.parametrize("words,said", [
    (["report","-p","objectve","rkl"], "Did you mean 'objective'"),
    (["report","-p","teacher","tyni"], "Did you mean 'tiny'"),
    (["report","-p","objective","rlk"], "Did you mean 'rkl'"),
    (["report","-p","steps","x"], "whole number"),
    (["distill","-p","teacher","replay:a.jsonl","-p","objective","rkl","-p","student","smollm2-135m"], "needs the teacher's logits"),
    (["distill","nothing.jsonl"], "no such file"),
    (["resume","runs/none"], "no run there"),
    (["distill","-p","student","layers:99"], "the teacher has 4 layers"),
    (["distill","-p","student","config:width=17,heads=2"], "must be a multiple"),
    (["distill","-p","device","cuda:7"], "not on this machine"),
    (["distill","-p","student","smollm2-135m"], "does not share"),
    (["report","-p","teacher","replay:missing.jsonl"], "no such file"),
    (["distill","-p","cls","1"], "no field of a recipe"),
    (["distill","-p","data","x"], "'data' is 'x'"),
])
def test_wrong_input(kdnb, tmp_path, words, said):
    r = kdnb(*words)
    assert r.returncode==2 and said in r.stderr and "Traceback" not in r.stderr and r.stdout=="", r.stderr
    assert not list(tmp_path.iterdir()), "a refused command left files behind"

def test_recipe_file(kdnb, tmp_path):
    from kdnb.recipe import Recipe
    (tmp_path/"r.yaml").write_text(Recipe.simple(steps=40, warm=3, samples=2).to_yaml())
    r = kdnb("distill", "r.yaml", "-p", "steps", 4, "-p", "objective", "rkl+ce", "-p", "elicit", "feature", "-p", "evaluation.samples", 2); assert r.returncode==0, r.stderr
    d = Recipe.from_yaml(Path(r.stdout.strip())/"recipe.yaml")
    assert [s.steps for s in d.stages]==[3, 4] and d.stages[-1].objective=={"rkl": 1., "ce": 1.} and d.evaluation.samples==2 and d.evaluation.prompts==24
    made = (Path(r.stdout.strip())/"metrics.json").stat().st_mtime_ns
    again = kdnb("distill", Path(r.stdout.strip())/"recipe.yaml"); assert "was run before" in again.stderr and again.stdout==r.stdout
    fresh = kdnb("distill", Path(r.stdout.strip())/"recipe.yaml", "--fresh"); assert fresh.returncode==0 and (Path(r.stdout.strip())/"metrics.json").stat().st_mtime_ns > made
    clash = kdnb("report", "-f", "r.yaml", "-p", "steps", 9); assert clash.returncode==2 and "not beside a recipe" in clash.stderr

def test_unknown_command(kdnb):
    r = kdnb("reprot"); assert r.returncode==2 and "report" in r.stderr

BAD = {"empty.jsonl": (b"", "is empty"), "line.jsonl": (b'{"prompt":"a","completion":"b"}\n'*16+b"{oops\n", "line 17"), "column.jsonl": (b'{"q":"a"}\n{"q":"b"}\n', "no column 'prompt'"),
       "binary.jsonl": (b"\x89PNG\r\n\x1a\n\x00\x00", "not text"), "fake.parquet": (b"hello", "not a parquet file"), "ragged.csv": (b"prompt,completion\na,b\nc\n", "line 3")}
@pytest.mark.parametrize("name", BAD)
def test_bad_data(kdnb, tmp_path, name):
    (tmp_path/name).write_bytes(BAD[name][0])
    r = kdnb("distill", name); assert r.returncode==2 and name in r.stderr and BAD[name][1] in r.stderr and "Traceback" not in r.stderr, r.stderr

def test_own_rows_in_parquet(kdnb, tmp_path):
    import pandas as pd
    pd.DataFrame(dict(ask=[f"{a} of {p}" for p in ("sea","inn","hill") for a in ("tell","sing","write","dream")])).to_parquet(tmp_path/"mine.parquet")
    r = kdnb("distill", "mine.parquet", "--prompt", "ask", "--completion", "", "-p", "teacher", "tiny", "-p", "skill", "tiny-tell", "-p", "steps", 5, "-p", "warm", 0)
    assert r.returncode==0, r.stderr
    folder = Path(r.stdout.strip()); assert json.loads((folder/"environment.json").read_text())["files"]["mine.parquet"] and (folder/"student/model.safetensors").is_file()
