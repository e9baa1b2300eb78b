"""What each way to elicit yields on real input: `python tools/yields.py FOLDER_OF_DATA [NAME ...] [--seeds 0 1 2] [-o OUT]` prints a table.

The ways are recipes in yields.yaml. Their files lie in the folder of data, or are made of it in OUT: tasks, documents and snippets of the Self-Instruct seed tasks.
"""
import argparse, collections, contextlib, functools, json, re, sys, time
from pathlib import Path

COLUMNS = ["way", "seed", "asked", "kept", "share", "left out", "seconds", "samples"] # asked: replies, step by step; share: kept of what the first step asked for

def derived(data):
    "Files made of the Self-Instruct seed tasks: name -> rows"
    from kdnb.skills import read_rows
    tasks = [r for _,r in read_rows(data/"self_instruct_seed_tasks.jsonl")]; parts = [(t["instruction"], i["input"], i["output"]) for t in tasks for i in t["instances"]]
    return {"tasks.jsonl": [dict(instruction=t["instruction"], output=t["instances"][0]["output"]) for t in tasks if not any(i["input"] for i in t["instances"])],    # those that can be done as they stand
            "documents.jsonl": [dict(text=x) for _,x,_ in parts if 300 < len(x) < 1200 and "\n" not in x],
            "snippets.jsonl": [dict(text=y) for *_,y in parts if "def " in y and len(y) < 600]}

def recipes(
    data, out,                                 # folders: of data, and of files made of it
    file=Path(__file__).with_suffix(".yaml"),  # way -> recipe
):                                             # the same, with whole paths
    "Write what is made of the data, and read the ways"
    import yaml
    if (data/"self_instruct_seed_tasks.jsonl").is_file():
        out.mkdir(parents=True, exist_ok=True)
        for name,rows in derived(data).items(): (out/name).write_text("".join(json.dumps(r)+"\n" for r in rows), encoding="utf-8")
    whole = lambda name: str((out if (out/name).is_file() else data).resolve()/name)
    def placed(x):
        if isinstance(x, list): return [placed(v) for v in x]
        return {k: whole(v) if k in ("source", "documents") else placed(v) for k,v in x.items()} if isinstance(x, dict) else x
    return placed(yaml.safe_load(Path(file).read_text(encoding="utf-8")))

@functools.lru_cache(1)
def teacher(name):
    from kdnb.teachers import load_teacher
    return load_teacher(name)

def most(drops, n=3):
    "The most frequent reasons in words"
    short = lambda reason: re.split("(?<!program)(?<!user's side): ", re.sub(r": line \d+", "", reason))[0]
    return ", ".join(f"{k} {r}" for r,k in collections.Counter(short(d["reason"]) for d in drops).most_common(n)) or "nothing"

def run(
    recipe,    # mapping
    to, seed,  # folder; seed
):             # what the table says of it
    "One way, once; an error is a result"
    from kdnb.elicit import collect
    from kdnb.recipe import Recipe
    from kdnb.train import check
    notes, asked, got, drops, start = [], [0], dict(kept=0, samples=""), [], time.time()
    def heard(event):
        if event["kind"]=="note": notes.append(event["text"])
        elif re.search(r", from \d+ rows$", event.get("text", "")): asked.append(0)    # a step begins
        elif event.get("done", 0)==event.get("total"): asked[-1] += event["total"]
    try:
        r = Recipe(**{**recipe, "seed": seed}); check(r); t = teacher(r.teacher); start = time.time()
        folder = collect(r, to, len(r.stages)-1, heard, teacher=t)
        got = dict(kept=int(re.match(r"[\d,]+", notes[-1])[0].replace(",", "")), samples=folder/"samples.html"); drops = [json.loads(l) for l in (folder/"drops.jsonl").read_text(encoding="utf-8").splitlines()]
    except Exception as x: notes.append(f"{type(x).__name__}: {x}"); got |= dict(samples=f"error: {str(x).splitlines()[0][:200]}"); drops = getattr(x, "drops", ())
    to.mkdir(parents=True, exist_ok=True); (to/f"notes-{seed}.txt").write_text("\n".join(notes)+"\n", encoding="utf-8"); n = [k for k in asked if k] or [0]
    return got | {"asked": " + ".join(map(str, n)), "share": f"{got['kept']/max(1, n[0]):.0%}", "left out": most(drops), "seconds": f"{time.time()-start:.0f}"}

def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0].replace("%", "%%"))
    a.add_argument("data", type=Path); a.add_argument("names", nargs="*", metavar="NAME", help="ways, or words of their names; all by default")
    a.add_argument("--seeds", type=int, nargs="+", default=[0]); a.add_argument("-o", type=Path, default=Path("yields"), metavar="OUT"); a.add_argument("--ways", type=Path, default=Path(__file__).with_suffix(".yaml"), help="a file of ways")
    a = a.parse_intermixed_args(); ways = recipes(a.data, a.o, a.ways)
    for n in a.names: any(n in w for w in ways) or sys.exit(f"no way's name holds '{n}'. Choose from: {'; '.join(ways)}")
    print("| "+" | ".join(COLUMNS)+" |\n|"+"---|"*len(COLUMNS), flush=True)
    for way in [w for w in ways if not a.names or any(n in w for n in a.names)]:
        for seed in a.seeds:
            with contextlib.redirect_stdout(sys.stderr): got = run(ways[way], a.o/re.sub(r"\W+", "-", way).strip("-"), seed)
            print("| "+" | ".join(str((dict(way=way, seed=seed) | got)[c]).replace("|", "\\|") for c in COLUMNS)+" |", flush=True)

if __name__=="__main__": main()
