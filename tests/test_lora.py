"A run that trains adapters: what it writes, what it says, what it refuses"
import importlib.util
import pytest, torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode
from conftest import short_recipe
from kdnb.fused import fused
from kdnb.recipe import Recipe, RecipeError
from kdnb.students import load_student
from kdnb.teachers import load_lm, load_tiny
from kdnb.train import Run, attach, distill

def recipe(**kw): return short_recipe(**{**dict(student="layers:2", lora=dict(rank=4)), **kw})

def test_what_a_run_writes(tmp_path):
    "Checkpoints hold adapters alone; at the end stand the adapters, as peft reads them, and one plain model, which says the same"
    from peft import PeftModel
    r, said = recipe(objective="gkd"), []; run = Run(r, tmp_path); run.sinks.append(lambda e: said.append(e.get("text", "")) or e["kind"]=="step" and e["step"]==15 and run.stop()); run.train()
    kept = load_file(run.folder/f"checkpoint-{run.last_step}"/"model.safetensors"); assert run.last_step==15 and kept and all("lora_" in n for n in kept) and any("LoRA of rank 4 on 14 maps" in s for s in said), said
    run = attach(run.folder).train(); assert run.state=="done" and run.metrics["kl_pq"] < run.history["heldout_kl_pq"].iloc[0]
    tiny = load_tiny(); base = load_student("layers:2", tiny); ids = torch.arange(1, 21)[None]; mask = torch.ones_like(ids)
    whole = load_lm(run.folder/"student", "whole", {}, local_files_only=True); ours, before = (lm.hidden(ids, mask) for lm in (whole, base))
    assert not any("lora" in n for n,_ in whole.model.named_parameters()) and whole.size==base.size and not torch.allclose(ours, before, atol=1e-2)
    assert sorted(p.name for p in (run.folder/"adapters").iterdir())==["adapter_config.json", "adapter_model.safetensors"]
    assert '"base_model_name_or_path": "layers:2 of tiny"' in (run.folder/"adapters"/"adapter_config.json").read_text()    # which nobody takes for the teacher
    base.model = PeftModel.from_pretrained(base.model, run.folder/"adapters"); assert torch.allclose(base.model.get_base_model().base_model(input_ids=ids, attention_mask=mask).last_hidden_state, ours, atol=1e-5)
    assert torch.equal(whole.head, tiny.head)    # the head is no map that learns

def test_nothing_without_a_rank(tmp_path):
    run = distill(short_recipe(steps=2, warm=2), tmp_path); assert run.state=="done" and not (run.folder/"adapters").exists()

def test_what_is_refused(tmp_path, monkeypatch):
    "Without peft, and for maps that are not there: in words, before the teacher answers"
    with pytest.raises(RecipeError, match="no linear map of layers:2 but the head ends so. Did you mean 'q_proj'"): distill(recipe(lora=dict(rank=2, targets=["q_prj"])), tmp_path/"a")
    assert not list((tmp_path/"a").glob("*/knowledge/*"))
    find = importlib.util.find_spec; monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n=="peft" else find(n, *a))
    with pytest.raises(RecipeError, match=r"pip install 'kdnb\[lora\]'"): distill(recipe(), tmp_path/"b")
    assert not (tmp_path/"b").exists()

@pytest.mark.parametrize("frozen", [False, True])
def test_a_head_that_stays_costs_less(frozen):
    "Operations a kept token: 6 of student width times words, 4 where the head is not trained; and 2 of the teacher's"
    n, d, dt, V = 64, 16, 24, 300; h, w = torch.randn(n, d, requires_grad=True), torch.randn(V, d, requires_grad=not frozen)
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: lambda into, a, b, **kw: 2*a[0]*a[1]*b[1]}) as c: fused(h, w, {"fkl": 1.}, torch.zeros(n, dtype=torch.long), torch.randn(n, dt), torch.randn(V, dt))[0].backward()
    assert c.get_total_flops()==n*V*((4 if frozen else 6)*d+2*dt) and (w.grad is None)==frozen and h.grad.abs().sum() > 0

def test_command_line(kdnb):
    done = kdnb("distill", "-p", "student", "layers:2", "-p", "lora.rank", "2", "-p", "steps", "2", "-p", "warm", "0", "-p", "prompts", "4", "-p", "evaluation.prompts", "2", "-p", "evaluation.samples", "2"); assert done.returncode==0 and "LoRA of rank 2" in done.stderr, done.stderr
    assert "lora:\n  rank: 2" in attach(done.stdout.strip()).recipe.to_yaml()
    bad = kdnb("distill", "-p", "lora.alpha", "2"); assert bad.returncode and "Set lora.rank" in bad.stderr and "Traceback" not in bad.stderr

def test_how_it_may_be_written():
    "Targets as a text too; what stands in the wrong place is told where it belongs"
    assert Recipe.simple("tiny", "layers:2", lora=dict(rank=2, targets="q_proj, v_proj")).lora.targets==["q_proj", "v_proj"]
    with pytest.raises(RecipeError, match="beside 'stages', not in one of them"): Recipe.from_params(**{**recipe().to_params(), "stages": [dict(lora=dict(rank=2))]})

def test_shown_without_peft(tmp_path, monkeypatch):
    "A run that is done is shown, and its student loads, where peft is not installed; its size is that of the plain model"
    from kdnb.report import make_report
    r = recipe(steps=2, warm=2, evaluation=dict(every=0, prompts=2, samples=2)); run = distill(r, tmp_path); size = run.student.size
    find = importlib.util.find_spec; monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n=="peft" else find(n, *a))
    assert make_report("compare", dict(recipe=r.to_yaml(), runs=str(tmp_path)), tmp_path/"page").is_file() and run._json("environment.json", {})["student_size"]==size

def test_choices():
    "A student with random weights is chosen without adapters, and that is said; adapters for such a student are refused, and so is what means nothing without a rank"
    from kdnb.choices import choose
    r = Recipe.simple("smollm2-135m", lora=dict(rank=4, alpha=32)); whole = r.model_copy(update=dict(lora=Recipe().lora))
    for part,value in (("student", "config:layers=1,width=16"), ("teacher", "tiny")): new, told = choose(r, part, value); assert new.lora==whole.lora and any("begins with random weights" in t for t in told)
    assert choose(r, "lora.rank", 0)==(whole, []) and choose(whole, "lora", dict(rank=4, alpha=32))==(r, [])
    for part,value,why in (("lora.rank", 2, "random weights"), ("lora.alpha", 3., "Set lora.rank")):
        with pytest.raises(RecipeError, match=why): choose(Recipe.simple("tiny"), part, value)
