"A form's logic, held by what must be true of any choice: hypothesis looks for one that breaks it, the same ones every time."
import json, random, re, subprocess, sys
import pytest
from hypothesis import given, settings, strategies as st
from kdnb.catalogue import METHODS, OBJECTIVES, OPTIONS, STEPS, TEACHERS
from kdnb.choices import PARTS, SECTIONS, STUDENTS, SUGGEST, WANTS, added, choose, offers
from kdnb.describe import FIELDS_SAY, python_of, says, seed_card, student_card, teacher_card, title
from kdnb.choices import _all, _called, _fine, _flat, _is_warm, _left, _presets
from kdnb.recipe import Data, Evaluation, Recipe, RecipeError, Stage, step

TEACH = ("tiny", "smollm2-135m", "hf:Qwen/Qwen3-0.6B", "api:gpt-x", "replay:none.jsonl", "ensemble:tiny,tiny", "ensemble:smollm2-135m,api:gpt-x")
STARTS = [*(Recipe.simple(t) for t in TEACH), *(Recipe.simple(objective=o) for o in ("dpo", "ce", "minillm", "hidden_l2", "gjsd", "bt")), Recipe.simple(objective={"fkl": [1, 0], "ce": .5}, temperature=2., options={}),
    Recipe.simple(elicit=["expansion", {"labeling": {"how": "cot"}}, "feature"], keep="tail:8", warm=0), Recipe.simple("smollm2-135m", skill="maths", objective="reinforce", judge="verifier"),
    Recipe(stages=[dict(elicit=["labeling"], objective={"ce": 1}, samples=4), dict(elicit=["feedback"], objective={"bt": 1}, samples=4), dict(elicit=["feedback"], objective={"reinforce": 1}, judge="reward")]),
    Recipe.simple("api:gpt-x", objective="fkl", keep="tail:5", api=dict(top=5), data=dict(source="a.csv", prompt="{q}", columns=["q", "a"], completion="a"))]
examples = lambda n: settings(max_examples=n, derandomize=True, deadline=None)
run = lambda r: exec((code := python_of(r)).rsplit("run = ", 1)[0], space := {}) or (space["recipe"], code)

def stages(f): ss = _all(f); return ss[_is_warm(ss):], ss[:_is_warm(ss)]
def held(old, new, asked, told):
    "Every change is told, and what is told has changed; `asked` are the flat fields that were chosen"
    a, b = _flat(old), _flat(new)
    if len(stages(a)[0]) != len(stages(b)[0]): raise AssertionError("a stage is lost")
    changed = {k for k in b if k not in asked and k not in ("before", "after") and a[k] != b[k]}
    if "options" in changed and b["options"]==_left(a["options"], a["objective"], b["objective"]): changed -= {"options"}    # of an objective that is gone
    was, now = _presets(old.teacher, a["objective"]), _presets(new.teacher, b["objective"])
    for k in changed-{"elicit", "objective", "skill", "teacher", "options"}: assert (k in now and b[k]==now[k] != was[k]) or not _fine({**b, k: a[k]}), (k, a[k], b[k])    # it had to change, or the presets say so
    heads = [t.split(": ")[0] for t in told]
    words = [w for h in heads if not h.startswith(("stage ", "the warm", "a warm")) for w in h.removeprefix("now ").split(", ")]
    for k in changed: assert any(h.removeprefix("now ").startswith(_called(k)+" ") or f", {_called(k)} " in h for h in heads), (k, a[k], b[k], told)
    for h in heads: assert h.startswith(("stage ", "the warm", "a warm")) or any(h.removeprefix("now ").startswith(_called(k)+" ") for k in changed), (h, changed)
    assert ("before" in asked or stages(a)[1]==stages(b)[1]) or any("warm start" in t for t in told), told
    own = len(b["before"])-_is_warm([*b["before"], b])
    for i,(x,y) in enumerate(zip(stages(a)[0], stages(b)[0])): assert i==own or x==y or any(t.startswith(f"stage {i+len(stages(b)[1])} is now ") for t in told), told
    assert not any(re.search(r"stages\.\d|elicit=\[|\bNone\b", t) or len(t) > 300 for t in told), told

@pytest.mark.parametrize("i", range(len(STARTS)))
def test_offered_can_be_chosen_and_hidden_is_refused(i):
    r = STARTS[i]
    for part in (*PARTS, "mixture", *("how:"+m for m in STEPS if "how" in STEPS[m])):
        good, hidden = offers(r, part)
        names = {"teacher": TEACHERS, "student": STUDENTS, "elicit": METHODS, "objective": OBJECTIVES, "mixture": OBJECTIVES, "skill": good}.get(part) or STEPS[part[4:]]["how"][0]
        assert [n for n in names if n in good]==good and set(good)|hidden.keys()==set(names) and not set(good) & hidden.keys()
        for n in [*good, *hidden]:
            if n=="replay:": continue    # a file has no suggestion
            p, v = ("elicit", r.stages[-1].elicit if n in r.stages[-1].methods else added(r.stages[-1].elicit, n)) if part=="elicit" else ("objective", {**r.stages[-1].objective, n: 1.}) if part=="mixture" else (part, n)
            if n in hidden:
                assert hidden[n] and len(hidden[n]) < 400 and not re.search(r"elicit=\[|\(-p|stages\.\d", hidden[n])
                with pytest.raises(RecipeError): choose(r, p, v)
                continue
            new, told = choose(r, p, v); s = new.stages[-1]
            got = {"skill": new.skill==n, "teacher": new.teacher.startswith(n), "student": new.student.startswith(n), "elicit": n in s.methods, "objective": s.terms==[n], "mixture": n in s.terms}
            assert got[part] if part in got else n in s.how(part[4:]), (part, n)
            if part in ("elicit", "objective", "mixture", "student") or part.startswith("how:"): assert (new.teacher, new.skill, new.data)==(r.teacher, r.skill, r.data)    # what is above stays
            if part in ("elicit", "objective", "mixture"): assert new.student==r.student
            held(r, new, {"elicit"} if part.startswith("how:") else {p}, told)

def moves(rng, r):
    "A choice at random, good or bad, and the flat fields that it is about"
    s = r.stages[-1]; kind = rng.choice(("skill", "teacher", "student", "elicit", "less", "objective", "sum", "how", "field", "field", "field", "top", "warm", "data"))
    if kind in ("skill", "student", "objective"): return kind, rng.choice(offers(r, kind)[0])
    if kind=="teacher": return kind, rng.choice(TEACH)
    if kind=="elicit": return kind, added(s.elicit, rng.choice([*METHODS]))
    if kind=="less": return "elicit", s.elicit[:-1]
    if kind=="sum": return "objective", {o: rng.choice((1., .5, [1., 0.])) for o in rng.sample([*OBJECTIVES], 2)}
    if kind=="how": m = rng.choice([m for m in STEPS if "how" in STEPS[m]]); return f"how:{m}", rng.choice(STEPS[m]["how"][0])
    if kind=="warm": return kind, rng.choice((0, 50))
    if kind=="data": return rng.choice((("data", None), ("data.source", "b.jsonl"), ("data.prompt", "q"), ("data.source", ""), ("data.limit", 3)))
    if kind=="top": return rng.choice((("seed", 3), ("device", "cpu"), ("precision", "bf16"), ("evaluation.every", 7), ("api.top", 5), ("api.top", 0), ("api.key", "KEY"), ("evaluation", {"samples": 2})))
    return rng.choice((("steps", 9), ("batch", 2), ("batch", 64), ("lr", .5), ("temperature", 2.), ("temperature", [2., 1.]), ("keep", "tail:4"), ("keep", "all"), ("on_policy", .5), ("on_policy", None), ("judge", "verifier"), ("judge", "teacher"), ("samples", 1), ("samples", 6),
        ("sampling_temperature", 0.), ("answers_by", "both"), ("rounds", 2), ("options", {"beta": .2}), ("options", {}), ("schedule", "constant"), ("steps", 0), ("keep", "some"), ("judge", "reward"), ("t_squared", True)))

@examples(25)
@given(st.integers(0, 2**31), st.sampled_from(range(len(STARTS))))
def test_a_walk(seed, i):
    "Thirty choices: a valid recipe each time, with what was chosen in it; nothing changes silently; a refusal is in words; the code gives the recipe"
    rng, r = random.Random(seed), STARTS[i]
    for n in range(30):
        part, value = moves(rng, r); before = r.to_params()
        try: new, told = choose(r, part, value)
        except RecipeError as e: assert str(e).strip() and not str(e).startswith("stages."); assert r.to_params()==before; continue
        asked = {"how": {"elicit"}, "warm": {"before"}, "evaluation": {k for k in _flat(r) if k.startswith("evaluation.")} if part=="evaluation" else {part}}.get(part.split(":")[0].split(".")[0], {part.split(".")[0] if part.startswith("data") else part})
        f = _flat(new)
        if part in f and part not in ("elicit", "objective", "teacher", "student"): assert f[part]==(json.loads(json.dumps(value)))
        if part=="objective": assert set(new.stages[-1].objective)=={*(value if isinstance(value, dict) else [value])}
        assert Recipe.from_params(**new.to_params())==new and choose(new, "seed", new.seed)==(new, [])
        held(r, new, asked, told); r = new
        if n % 6==5: assert run(r)[0]==r and run(r)[0].run_id==r.run_id
        for s in SECTIONS: assert len(title(r, s)) <= 60 and "\n" not in title(r, s)

@pytest.mark.parametrize("i", range(len(STARTS)))
def test_choosing_what_is_there_changes_nothing(i):
    r = STARTS[i]; f = _flat(r)
    for k in f:
        if k not in ("before", "after"): assert choose(r, k, f[k])==(r, []), k

def test_any_stage_is_edited():
    "The first, a warm start or not; and a teacher that changes takes all of them along"
    r = Recipe.simple(objective="dpo")
    for part,v in (("steps", 5), ("objective", "rkl"), ("elicit", ["labeling", "feature"]), ("objective", "ce")):
        new, told = choose(r, part, v, at=0); assert new.stages[1]==r.stages[1] and new.stages[0] != r.stages[0] and told==[], (part, told)
    p = STARTS[-2]
    for at in (0, 1, 2, -1, -2, -3):
        new, told = choose(p, "steps", 9, at); assert told==[] and [s.steps for s in new.stages]==[9 if i==at % 3 else 300 for i in range(3)]
        new, told = choose(p, "teacher", "smollm2-135m", at); assert len(new.stages)==3 and [s.lr for s in new.stages]==[2e-3, .0006, .0006] and [s.terms for s in new.stages]==[s.terms for s in p.stages] and sum(t.startswith("stage ") for t in told)==2, told
    with pytest.raises(RecipeError, match="no stage before has trained a reward model"): choose(p, "objective", "dpo", at=1)
    assert choose(r, "teacher", "smollm2-135m", at=0)[0]==choose(r, "teacher", "smollm2-135m")[0] and len(choose(r, "warm", 0)[0].stages)==1 and choose(choose(r, "warm", 0)[0], "warm", 800)[0]==r

def test_bad_values_are_refused_in_words():
    bad = (None, 3, -1, 1.5, "", "x", "no such", [], [3], {}, {3: 3}, {"x": "y"}, {"fkl": "a"}, {"labeling": None}, [{"labeling": {"how": "x"}}], object(), True, float("nan"), "layers:0", "config:width=7", "ensemble:tiny", "hf:", "replay:", "\0", {"source": 3})
    for r in (STARTS[0], STARTS[3], STARTS[-2]):
        for part in [*_flat(r), "warm", "stages", "how:labeling", "how:feature", "evaluation", "api", "data.prompt", "api.nothing", "nonsense", "how:"]:
            for v in bad:
                try: new, told = choose(r, part, v)
                except RecipeError as e: assert str(e).strip(); continue
                assert isinstance(new, Recipe) and Recipe.from_params(**new.to_params())==new

@examples(60)
@given(st.data())
def test_python_gives_the_recipe(data):
    "Any objective with any option, weight, schedule, chain of steps and data"
    d, pick = data.draw, lambda *xs: data.draw(st.sampled_from(xs))
    o = pick(*OBJECTIVES); legal = OPTIONS.get(o, {})
    opts = {k: d(st.floats(float(v[1]), float(v[2]))) if isinstance(v[0], float) else d(st.integers(v[1], min(v[2], 16))) if type(v[0]) is int else pick(*v) for k,v in legal.items() if not isinstance(v, str) and d(st.booleans())}
    kw = dict(options=pick({}, opts, {o: opts} if opts else {}), seed=d(st.integers(0, 9)), steps=d(st.integers(1, 999)), lr=d(st.floats(1e-7, 1)), objective=pick(o, {o: 1.}, {o: d(st.floats(.01, 3))}, {o: [1., 0.]}, {o: 1., "ce": .5}),
              data=pick(None, dict(source="it's.csv", prompt="{a} \"b\"\n", columns=["a", "b"])), evaluation=pick(None, dict(every=3), dict(every=50)), warm=pick(None, 0, 7), device=pick("auto", "cpu"))
    try: r = Recipe.simple(pick("tiny", "smollm2-135m"), elicit=pick(None, None, ["labeling", "feature"], [{"expansion": {"how": "evolve", "n": 3}}, {"labeling": {"system": ["say 'x'"]}}, "feature", "feedback"]), **kw)
    except RecipeError: return
    got, code = run(r); assert got==r and got.run_id==r.run_id and max(map(len, code.splitlines())) < 250, code

def test_nothing_is_loaded():
    code = """if 1:
        import sys; from kdnb.choices import *; from kdnb.describe import *; from kdnb.recipe import Recipe
        r = Recipe.simple()
        for p in PARTS: offers(r, p)
        r, _ = choose(r, "objective", "dpo"); choose(r, "teacher", "smollm2-135m"); [title(r, s) for s in SECTIONS]; teacher_card("tiny"); student_card("layers:1/2", "tiny"); seed_card(r); python_of(r)
        print([m for m in ("torch", "transformers", "datasets", "plotly", "pandas", "numpy", "openai", "IPython") if m in sys.modules])"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()=="[]"

def test_the_lecturer():
    "What a person reads after a click"
    r, told = choose(Recipe.simple(), "objective", "dpo")
    assert told==["elicitation is now feedback: dpo learns from scored candidates, and feature brings none", "now learning rate 0.0003, samples 8: ranking pushes harder"] and r.stages[0]==Recipe.simple().stages[0]
    assert choose(r, "objective", "fkl")[0]==Recipe.simple()
    r, told = choose(Recipe.simple(seed=7, objective="jsd"), "teacher", "smollm2-135m")
    assert r==Recipe.simple("smollm2-135m", seed=7, objective="jsd") and [t.split(":")[0] for t in told if "warm start" in t]==["the warm start is left out"] and told[0]=="skill is now instruct: only tiny speaks tiny-tell"
    assert choose(r, "teacher", "tiny")[0]==Recipe.simple(seed=7, objective="jsd")    # and back
    own = Recipe.simple("smollm2-135m", student="layers:10", steps=7, api=dict(top=3)); new = choose(own, "teacher", "hf:Qwen/Qwen3-0.6B")[0]; assert new==own.model_copy(update={"teacher": "hf:Qwen/Qwen3-0.6B"})
    assert choose(Recipe.simple(lr=.02), "objective", "rkl")==(Recipe.simple(lr=.02, objective="rkl"), [])    # a number of one's own survives where the presets agree
    with pytest.raises(RecipeError, match="has one: it softens"): choose(Recipe.simple(objective="ce"), "temperature", 2.)

def test_servers():
    "What a server cannot show is hidden for that reason; what it can is set up; a check is needed where the teacher scores nothing"
    r = Recipe.simple("api:gpt-x"); good, hidden = offers(r, "objective")
    assert "needs the teacher's hidden" in hidden["hidden_l2"] and "needs the teacher's attentions" in hidden["attention_kl"] and "skill instruct has no check" in hidden["reinforce"] and "fkl" in good
    new, told = choose(r, "objective", "fkl"); assert (new.stages[0].keep, new.api.top, new.stages[0].elicit)==("tail:5", 5, ["labeling", "feature"]) and len(told)==3
    maths = choose(r, "skill", "maths")[0]; assert "reinforce" in offers(maths, "objective")[0] and choose(maths, "objective", "reinforce")[0].stages[0].judge=="verifier"
    assert choose(r, "objective", "dpo")[0].stages[0].how("feedback")=={"pairwise"} and choose(r, "elicit", added(["labeling"], "feedback"))[0].stages[0].elicit==["labeling", {"feedback": {"how": "pairwise"}}]
    assert choose(r, "skill", "tiny-tell")[0].teacher=="api:gpt-x" and choose(Recipe.simple(), "teacher", "api:gpt-x")[0]==r

def test_options_go_with_their_objective():
    r = Recipe.simple(objective={"gjsd": 1, "ce": 1}, options={"beta": .2}); assert choose(r, "objective", "gjsd")[0].stages[-1].options=={"beta": .2}
    assert choose(r, "objective", "gkd")[0].stages[-1].options=={} and choose(r, "objective", {"gjsd": 1, "fkl": 1})[0].stages[-1].options=={"beta": .2}    # gkd's beta is another one
    r = Recipe.simple(objective={"gjsd": 1, "skew_fkl": 1}, options={"gjsd": {"beta": .2}, "alpha": .3}); assert choose(r, "objective", "gjsd")[0].stages[-1].options=={"gjsd": {"beta": .2}} and choose(r, "objective", "skew_fkl")[0].stages[-1].options=={"alpha": .3}

def test_cards_of_half_typed_names():
    whole = ("hf:Qwen/Qwen3-0.6B", "api:gpt-x@http://127.0.0.1:8000/v1", "ensemble:0.7*tiny,0.3*hf:a/b;min_ce", "replay:a.jsonl", "layers:0,3", "config:layers=2,width=64,heads=2", "tiny-xs", "smollm2-135m")
    for w in whole:
        for n in range(len(w)+1):
            for c in (teacher_card(w[:n]), student_card(w[:n], "tiny"), student_card(w[:n], "api:x")): assert all(isinstance(v, str) for v in c.values()) and any(c.values()), w[:n]

def test_the_key_is_shown_nowhere(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret"); assert "sk-secret" not in str(teacher_card("api:gpt-x")) and "its key is in $OPENAI_API_KEY" in teacher_card("api:gpt-x")["here"]
