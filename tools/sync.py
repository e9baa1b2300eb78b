"""The sync gate: notebooks, modules and README say the same, and notebooks are committed clean.

`python tools/sync.py` checks the files that git tracks or would track, in a copy, and changes nothing.
"""
import json, re, shutil, subprocess, sys, tempfile
from pathlib import Path
from readme import readme

MB = 1_000_000
ALLOWED = {"kdnb/data/tiny/model.safetensors": 5*MB}

def files(root):
    "What git tracks, and what it neither tracks nor ignores"
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [f for f in out.splitlines() if (root/f).is_file()]

def dirty(nb):
    "What a committed notebook must not hold"
    if "widgets" in nb["metadata"]: yield "holds widget state"
    for c in nb["cells"]:
        if c.get("outputs"): yield f"cell {c['id']} has outputs"
        if c.get("execution_count"): yield f"cell {c['id']} has an execution count"

def problems(root):
    names = files(root)
    for f in names:
        size = (root/f).stat().st_size
        if size > ALLOWED.get(f, MB): yield f"{f}: {size/MB:.1f} MB; at most {ALLOWED.get(f, MB)/MB:.0f} MB"
        if f.endswith(".ipynb"): yield from (f"{f}: {p}. Run nbdev-clean" for p in dict.fromkeys(dirty(json.loads((root/f).read_text(encoding="utf-8")))))
    for f in names:
        if not re.fullmatch(r"kdnb/\w+\.py", f) or f in ("kdnb/__init__.py", "kdnb/_modidx.py"): continue
        m = re.search(r"File to edit: \.\./(\S+?\.ipynb)", (root/f).read_text(encoding="utf-8"))
        if not m: yield f"{f}: no notebook makes it"
        elif not (root/m[1]).is_file(): yield f"{f}: made from {m[1]}, which is gone. Delete the module"
    with tempfile.TemporaryDirectory() as t:
        copy = Path(t)/"copy"
        for f in names:
            (copy/f).parent.mkdir(parents=True, exist_ok=True); shutil.copy(root/f, copy/f)
        subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
        for cmd in ("nbdev-clean", "nbdev-export"):
            r = subprocess.run([str(Path(sys.executable).parent/cmd)], cwd=copy, capture_output=True, text=True)
            if r.returncode: yield f"{cmd} failed: {r.stderr.strip()[-500:]}"; return
        here = {f for f in names if f.startswith(("nbs/", "kdnb/"))}
        there = {str(p.relative_to(copy)) for d in ("nbs", "kdnb") for p in (copy/d).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        for f in sorted(here | there):
            if f not in here: yield f"{f}: made by nbdev-export and not committed"
            elif f in there and (root/f).read_bytes() != (copy/f).read_bytes(): yield f"{f}: differs from what nbdev-clean and nbdev-export make. Run both"
    if (root/"README.md").read_text(encoding="utf-8") != readme(json.loads((root/"nbs/index.ipynb").read_text(encoding="utf-8"))):
        yield "README.md differs from nbs/index.ipynb: run python tools/readme.py"

if __name__=="__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    found = list(problems(root))
    for p in found: print(p)
    print(f"sync gate: {len(found)} problems")
    sys.exit(bool(found))
