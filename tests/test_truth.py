"Students taught side by side are those that `distill` trains"
import torch
from kdnb.train import distill
from kdnb.truth import branches, side_by_side

def test_the_same_students_as_distill(tmp_path):
    recipes = branches(dict(rkl={}, gkd=dict(on_policy=.5), wide=dict(objective="gjsd", options=dict(gjsd=dict(beta=.1, normalize=True))), other=dict(objective="rkl", samples=3)), steps=6, warm=10, student="tiny-xs", samples=2)
    together = {}
    for n,together[n],row in side_by_side(recipes, every=3, prompts=2): assert row["name"]==n and 0 <= row["precision"] <= 1
    assert row["step"]==6
    for n,r in recipes.items():
        alone = distill(r, tmp_path).student.model.state_dict(); mine = together[n].model.state_dict()
        assert alone.keys()==mine.keys() and all(torch.equal(alone[k], mine[k]) for k in alone), n
    assert not torch.equal(together["rkl"].model.get_input_embeddings().weight, together["gkd"].model.get_input_embeddings().weight)

def test_measuring_changes_nothing():
    recipes = branches(dict(fkl={}), steps=4, warm=4, student="tiny-xs", samples=2); ends = []
    for every in (1, 4):
        for _,lm,_ in side_by_side(recipes, every=every, prompts=1): pass
        ends.append(lm.model.state_dict())
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])

def test_seeds_at_the_same_time():
    "Each in a process of its own, and the very same rows, in order"
    from kdnb.frontier import beta_path, frontier
    short = dict(paths=dict(beta=beta_path((0, 1))), seeds=(3, 0), steps=4, warm=4, samples=2, prompts=2, student="tiny-xs")
    rows = list(frontier(**short, workers=2)); assert rows==list(frontier(**short, workers=1)) and [r["seed"] for r in rows]==[3, 3, 0, 0] and rows[0]["kl_pq"] != rows[2]["kl_pq"]
