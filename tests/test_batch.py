"The welcome notebook where nobody watches: papermill and nbclient make no widgets, train the same recipe, and leave figures that stay"
import json
import pytest
from kdnb.report import PLOTLY, WIDGET
from conftest import by_papermill, short_recipe, short_welcome

def outputs(nb): return [o for c in nb.cells if c.cell_type=="code" for o in c.outputs]
def points(fig): return max(len(t["x"]["bdata"] if isinstance(t["x"], dict) else t["x"]) for t in fig["data"] if t.get("x") is not None)

def check(nb, runs, recipe):
    "What must hold of the notebook, whoever ran it"
    assert not [o for o in outputs(nb) if o.output_type=="error"]
    assert not [o for o in outputs(nb) if WIDGET in o.get("data", {})] and not nb.metadata.get("widgets")
    panel, other = [[o.data[PLOTLY] for o in c.outputs if PLOTLY in o.get("data", {})] for c in nb.cells if c.cell_type=="code" and ("Panel(" in c.source or "watch(" in c.source)]
    assert len(panel)==len(other)==1 and points(panel[0]) > 20 and points(other[0]) > 20
    made = {p.parent.name: json.loads(p.read_text())["state"] for p in runs.glob("*/status.json")}
    assert made=={recipe.run_id: "done", short_recipe(objective="rkl").run_id: "done"}
    text = "".join(o.get("text", "") for o in outputs(nb))
    assert "Not done yet" not in text and len(text.strip().splitlines())==5    # the student was asked five times

def test_papermill_trains_the_recipe_it_is_given(welcome_batch):
    "The recipe comes as a parameter, of another objective than the notebook's own"
    check(welcome_batch.notebook, welcome_batch.folder/"runs", welcome_batch.recipe)
    assert welcome_batch.recipe.run_id != short_recipe().run_id

def test_nbclient_runs_it_as_it_is_opened(tmp_path, monkeypatch):
    "A cell that is edited in place of a parameter; the recipe lies in a file"
    import nbformat
    from nbclient import NotebookClient
    monkeypatch.delenv("KDNB_UI", raising=False); monkeypatch.delenv("PLOTLY_RENDERER", raising=False)
    recipe = short_recipe(seed=3); (tmp_path/"short.yaml").write_text(recipe.to_yaml())
    nb = nbformat.reads(short_welcome(), 4); cell = next(c for c in nb.cells if "parameters" in c.metadata.get("tags", [])); cell.source = 'recipe = "short.yaml"'
    NotebookClient(nb, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    check(nb, tmp_path/"runs", recipe)

def test_a_slip_in_the_recipe_is_said(tmp_path):
    "papermill ends with the words a person needs, before anything is trained"
    import papermill as pm
    with pytest.raises(pm.PapermillExecutionError, match="Did you mean 'teacher'"): by_papermill(tmp_path, "teachr: tiny\nstudent: tiny-s\n")
    assert not (tmp_path/"runs").exists()
