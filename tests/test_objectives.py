"Every objective of a recipe, from the teacher to the metrics; and stopped and resumed, where something besides the student is trained."
import math
import pandas as pd, pytest
from kdnb.recipe import OBJECTIVES, Lora, Recipe
from kdnb.train import Run, attach, distill

SMALL = dict(steps=4, batch=8, samples=4, prompts=6, max_new_tokens=8, evaluation=dict(every=0, prompts=2, samples=2, max_new_tokens=8))
def small(objective, warm=0, **kw): return Recipe.simple("tiny", "layers:2", objective=objective, warm=warm, **{**SMALL, **kw})

@pytest.mark.parametrize("objective", OBJECTIVES)
def test_end_to_end(objective, tmp_path):
    "A student is trained, each step has a finite loss, and the run ends with its measures"
    run = distill(small(objective), tmp_path)
    assert run.state=="done" and len(run.history)==5 and run.history["loss"].iloc[1:].map(math.isfinite).all()
    assert run.metrics["kl_pq"] > 0 and "coverage" in run.metrics and run.status["tokens"]==run.history["tokens"].sum() > 0
    column = "reward" if objective in ("reinforce","ppo") else objective
    assert column in run.history and run.history[column].iloc[1:].notna().all()

def chain(*stages, **kw):
    "A recipe of several stages: objectives, each with what differs"
    first, *rest = [small(o).stages[0].model_copy(update=d) for o,d in stages]
    return Recipe.from_params(**small(stages[0][0]).model_copy(update=dict(stages=[first, *rest], **kw)).to_params())

CHAINS = {
    "sft, dpo": chain(("ce", dict(elicit=["labeling"])), ("dpo", {})),
    "reward model, ppo": chain(("bt", {}), ("ppo", dict(judge="reward"))),
    "projections and filters": chain(("ted", dict(objective={"hidden_l2": .1, "ted": .1, "fkl": 1., "ce": .5}, options=dict(ted=dict(filter_steps=3)))), student="tiny-xs"),
    "on-policy, rounds": small("gkd", on_policy=.5, rounds=2),
    "preferences, rounds": small("rrhf", rounds=2, answers_by="both"),
    "preferences beside a divergence": small({"dpo": 1., "fkl": .5, "ce": .5}),
    "rewards beside text": small({"reinforce": 1., "ce": .5}),
    "a reference that stays": small("reinforce", steps=6, lr=1e-2, options=dict(kl_weight=5., group=4)),
    "schedules": small({"fkl": [1, 0], "rkl": [0, 1]}, temperature=[2, 1]),
    "sparse": small("fkl", keep="tail:4"),
    "adapters": chain(("fkl", {}), ("bt", {}), ("dpo", {}), ("reinforce", dict(judge="reward")), lora=Lora(rank=2)),
}

@pytest.mark.parametrize("name", CHAINS)
def test_stopped_and_resumed(name, tmp_path):
    "Stopped after a step in its middle and resumed in fresh objects, a run has the history of an unbroken one"
    recipe = CHAINS[name]; whole = distill(recipe, tmp_path/"whole"); at = whole.history["step"].max()-2
    broken = Run(recipe, tmp_path/"broken"); broken.sinks.append(lambda e: e["kind"]=="step" and e["step"]==at and broken.stop()); broken.train()
    assert broken.state=="stopped" and broken.last_step==at
    mended = attach(broken.folder).train()
    pd.testing.assert_frame_equal(mended.history, whole.history); assert mended.metrics==whole.metrics

def other_family(folder, tokenizer, vocab_size, width=24):
    "A small model of another family, as a person has it on disk"
    from transformers import LlamaForCausalLM
    from kdnb.tiny import tiny_config
    cfg = tiny_config(1, width, 2); cfg.vocab_size, cfg.eos_token_id, cfg.bos_token_id, cfg.initializer_range = vocab_size, tokenizer.eos_token_id, None, width**-.5
    model = LlamaForCausalLM(cfg); model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder); tokenizer.save_pretrained(folder)
    return str(folder)

@pytest.mark.parametrize("objective", ("uld", "span_kl"))
def test_across_tokenizers(objective, tmp_path):
    "A student with its own tokenizer learns from the packaged teacher; what needs one tokenizer is refused in words"
    import random
    from kdnb.align import piece_tokenizer
    from kdnb.teachers import load_tiny
    from kdnb.tiny import WORLD
    tokenizer = piece_tokenizer([" ".join(WORLD.sample("tell", random.Random(i))) for i in range(400)], 400, load_tiny().tokenizer)
    student = other_family(tmp_path/"other", tokenizer, len(tokenizer))
    recipe = Recipe.simple("tiny", student, objective={objective: 1., "ce": 1.}, warm=0, **{**SMALL, "steps": 30, "lr": 1e-2, "prompts": 20, "max_new_tokens": 16}); notes = []
    run = distill(recipe, tmp_path, sinks=[lambda e: notes.append(e.get("text", ""))]); h = run.history
    assert any("approximate" in n for n in notes) and "kl_pq" not in run.metrics and run.metrics["ce"] < .8*h["heldout_ce"].iloc[0]
    assert h[objective].iloc[-3:].mean() < .9*h[objective].iloc[1:4].mean()
    with pytest.raises(ValueError, match="another tokenizer.*span_kl"): distill(Recipe.simple("tiny", student, objective="fkl", warm=0, **SMALL), tmp_path)

def test_padded_heads(tmp_path):
    "Heads of one tokenizer that are padded to other lengths are trimmed, and the run says so"
    from kdnb.teachers import load_tiny
    student = other_family(tmp_path/"padded", load_tiny().tokenizer, 208); notes = []
    run = distill(Recipe.simple("tiny", student, objective={"rkl": 1., "hidden_l2": .1}, warm=0, on_policy=.5, **SMALL), tmp_path, sinks=[lambda e: notes.append(e.get("text", ""))])
    assert run.state=="done" and any("trimmed to 205" in n for n in notes) and run.student.head.shape[0]==208
