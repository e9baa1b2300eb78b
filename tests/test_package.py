"What the package promises as a package."
import json, re, shutil, subprocess, sys
from pathlib import Path
import pytest
from conftest import ROOT
sys.path.insert(0, str(ROOT/"tools"))
import sync

def test_import_is_light():
    heavy = ("torch","transformers","datasets","plotly","pandas","IPython","nbdev","fastcore")
    code = f"import sys, kdnb, kdnb.cli; kdnb.cli.parser(); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()=="[]"

def test_no_development_imports():
    for f in (ROOT/"kdnb").glob("*.py"): assert not re.search(r"^\s*(from|import) (fastcore|nbdev|pytest|hypothesis)", f.read_text(), re.M), f

def test_modules_import_from_lower_rooms():
    number = {re.search(r"default_exp (\w+)", p.read_text())[1]: i for i,p in enumerate(sorted((ROOT/"nbs").glob("[0-9]*.ipynb")))}
    for name,n in number.items():
        text = (ROOT/f"kdnb/{name}.py").read_text()
        for used in re.findall(r"from (?:\.|kdnb\.)(\w+) import", text)+re.findall(r"(?:import |import_module\([\"'])kdnb\.(\w+)", text):
            assert number[used] < n or (name, used) in (("skills", "tiny"), ("teachers", "ensemble"), ("folder", "plots")), f"{name} ({n}) imports from {used} ({number[used]})"

def test_no_name_is_undefined():
    "A notebook's hidden cells may import what its module forgot"
    import ast, builtins
    for f in (ROOT/"kdnb").glob("*.py"):
        tree = ast.parse(f.read_text()); known = set(dir(builtins)) | {"__file__", "__name__", "get_ipython"}
        for n in ast.walk(tree):
            if isinstance(n, (ast.Import, ast.ImportFrom)): known |= {(a.asname or a.name).split(".")[0] for a in n.names}
            elif isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)): known.add(n.name)
            elif isinstance(n, ast.arg): known.add(n.arg)
            elif isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load): known.add(n.id)
            elif isinstance(n, ast.ExceptHandler) and n.name: known.add(n.name)
        lost = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id not in known}
        assert not lost, f"{f.name} uses names that nothing in it defines: {lost}"

@pytest.fixture
def copy(tmp_path):
    "The project's files in a repository of their own"
    for f in sync.files(ROOT):
        (tmp_path/f).parent.mkdir(parents=True, exist_ok=True); shutil.copy(ROOT/f, tmp_path/f)
    subprocess.run("git init -q && git add -A", shell=True, cwd=tmp_path, check=True)
    return tmp_path

def change(path, f):
    nb = json.loads(path.read_text()); f(nb); path.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True)+"\n")

def _code(nb): return next(c for c in nb["cells"] if c["cell_type"]=="code" and "#| export" in "".join(c["source"]))
FAULTS = {
    "module changed":    (lambda d: (d/"kdnb/plots.py").write_text((d/"kdnb/plots.py").read_text()+"\nx = 1\n"), "kdnb/plots.py: differs"),
    "notebook changed":  (lambda d: change(d/"nbs/12_plots.ipynb", lambda nb: _code(nb)["source"].append("\nextra = 1")), "kdnb/plots.py: differs"),
    "orphan":            (lambda d: (d/"nbs/12_plots.ipynb").unlink(), "kdnb/plots.py: made from nbs/12_plots.ipynb, which is gone"),
    "module by hand":    (lambda d: (d/"kdnb/mine.py").write_text("x = 1\n"), "kdnb/mine.py: no notebook makes it"),
    "outputs":           (lambda d: change(d/"nbs/12_plots.ipynb", lambda nb: _code(nb).update(outputs=[dict(output_type="stream", name="stdout", text=["x"])])), "has outputs"),
    "widget state":      (lambda d: change(d/"nbs/14_panel.ipynb", lambda nb: nb["metadata"].update(widgets={})), "holds widget state"),
    "large file":        (lambda d: (d/"nbs/big.bin").write_bytes(b"x"*1_200_000), "1.2 MB"),
    "readme":            (lambda d: (d/"README.md").write_text("old"), "README.md differs"),
}
@pytest.mark.parametrize("fault", FAULTS)
def test_sync_gate_finds(copy, fault):
    FAULTS[fault][0](copy)
    assert any(FAULTS[fault][1] in p for p in sync.problems(copy)), list(sync.problems(copy))
