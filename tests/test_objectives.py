"Every objective of a recipe, from the teacher to the metrics; and stopped and resumed, where something besides the student is trained."
import math
import pandas as pd, pytest
from kdnb.recipe import OBJECTIVES, Recipe
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
    "schedules": small({"fkl": [1, 0], "rkl": [0, 1]}, temperature=[2, 1]),
    "sparse": small("fkl", keep="tail:4"),
}

@pytest.mark.parametrize("name", CHAINS)
def test_stopped_and_resumed(name, tmp_path):
    "Stopped after a step in its middle and resumed in fresh objects, a run has the history of an unbroken one"
    recipe = CHAINS[name]; whole = distill(recipe, tmp_path/"whole"); at = whole.history["step"].max()-2
    broken = Run(recipe, tmp_path/"broken"); broken.sinks.append(lambda e: e["kind"]=="step" and e["step"]==at and broken.stop()); broken.train()
    assert broken.state=="stopped" and broken.last_step==at
    mended = attach(broken.folder).train()
    pd.testing.assert_frame_equal(mended.history, whole.history); assert mended.metrics==whole.metrics
