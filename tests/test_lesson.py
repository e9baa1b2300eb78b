"The loss that training uses, beside the definitions fed from a model's own logits: value and gradient, with options that differ from the defaults."
import copy, math
import pytest, torch
from kdnb.divergence import DIVERGENCES, log_probs, rkl_tokens
from kdnb.elicit import elicit
from kdnb.knowledge import feature
from kdnb.lesson import Lesson, aids_for, laid, own_view, ranked_view, view
from kdnb.loop import adamw, lessons, trainable
from kdnb.ranking import LENGTH_NORMALISED, RANKING
from kdnb.recipe import OBJECTIVES, Recipe, Stage
from kdnb.reinforce import gae, minillm, ppo, value_loss
from kdnb.students import load_student
from kdnb.teachers import load_tiny
from kdnb.train import distill

@pytest.fixture(scope="module")
def tiny(): return load_tiny()

def shaken(lm, seed, size=.05):
    "The same model somewhat beside itself"
    out = copy.deepcopy(lm); g = torch.Generator().manual_seed(seed)
    with torch.no_grad(): [p.add_(size*torch.randn(p.shape, generator=g)) for p in out.model.parameters()]
    return out

def said(lm, v):
    "(answers, longest) what a model gives to the tokens of a view, and where they are; from its logits, as transformers makes them"
    x = lm.model(input_ids=v.ids, attention_mask=v.mask).logits.log_softmax(-1)[:, :-1].gather(-1, v.ids[:, 1:, None])[..., 0][v.at[:, :-1]]
    return laid(x, v.lengths)

def agree(lesson, weights, want, student, temperature=1., **views):
    "The lesson's value and gradient are those of the definition"
    got, _ = lesson(weights, temperature, **views); w = student.model.get_parameter("model.layers.0.mlp.down_proj.weight")
    assert torch.allclose(got, want, rtol=1e-4, atol=1e-5), (got, want)
    a, b = (torch.autograd.grad(x, w, retain_graph=True)[0] for x in (got, want)); assert torch.allclose(a, b, rtol=1e-2, atol=1e-4*b.abs().max().item()+1e-7)

ROWS = [dict(prompt=p, completion="") for p in ("tell of sea", "tell of inn")]
def asked(lm): return [dict(r, prompt_ids=lm.prompt_ids(r["prompt"])) for _ in range(4) for r in ROWS]
SCORES = torch.tensor([.3, -1., 2., .5, 0., 1., -.7, .2])

def test_reinforce(tiny):
    student, reference = load_student("layers:2", tiny), shaken(load_student("layers:2", tiny), 1)
    s = Stage(elicit=["feedback"], objective={"reinforce": 1.}, options=dict(kl_weight=.7, group=4), batch=8, max_new_tokens=8)
    aids = aids_for(s, student, tiny, reference=reference, judge=lambda rows, c: SCORES[:len(c)]); v = own_view(student, aids, s, asked(student), 3, tiny.words)
    (q, there), (r, _) = said(student, v), said(reference, v)
    whole = [SCORES[i].item()-.7*sum((q[i,t]-r[i,t]).item() for t in range(v.lengths[i])) for i in range(8)]
    A = [whole[i]-sum(whole[j] for j in range(i//4*4, i//4*4+4) if j != i)/3 for i in range(8)]
    agree(Lesson(student, s, tiny.words, aids), {"reinforce": 1.}, -sum(A[i]*(q[i]*there[i]).sum() for i in range(8))/8, student, own=v)

def test_ppo(tiny):
    student, reference = load_student("layers:2", tiny), shaken(load_student("layers:2", tiny), 1)
    s = Stage(elicit=["feedback"], objective={"ppo": 1.}, options=dict(kl_weight=.4, clip=.05, lam=.6, discount=.9, whiten=False, per="token"), batch=8, max_new_tokens=8)
    aids = aids_for(s, student, tiny, reference=reference, judge=lambda rows, c: SCORES[:len(c)]); torch.nn.init.normal_(aids.critic.weight, generator=torch.Generator().manual_seed(0))
    v = own_view(student, aids, s, asked(student), 3, tiny.words); state = lambda lm: laid(aids.critic(lm.hidden(v.ids, v.mask)[v.at].detach())[:,0], v.lengths)[0]
    (old, there), (r, _), values = said(student, v), said(reference, v), state(student).detach()
    rewards = -.4*(old-r).detach()*there
    for i in range(8): rewards[i, v.lengths[i]-1] += SCORES[i]
    now = shaken(student, 2, .02); aids.critic.weight.data.mul_(1.5); adv = gae(rewards, values, there, .9, .6)
    want = ppo(said(now, v)[0], old.detach(), adv, there, .05, "token")+.5*value_loss(state(now), values, adv+values, there, .05)
    agree(Lesson(now, s, tiny.words, aids), {"ppo": 1.}, want, now, own=v)

@pytest.mark.parametrize("mixed", (True, False))
def test_minillm(tiny, mixed):
    student = load_student("layers:2", tiny); s = Stage(objective={"minillm": 1.}, options=dict(alpha=.3, teacher_mixed=mixed, weights="prefix", clip=.1, length_normalised=False), batch=8, max_new_tokens=8)
    aids = aids_for(s, student, tiny); v = own_view(student, aids, s, asked(student), 3, tiny.words); now = shaken(student, 2, .02)
    (old, there), (p, _) = said(student, v), said(tiny, v); logits = lambda lm: lm.model(input_ids=v.ids, attention_mask=v.mask).logits[v.at]
    single = laid(rkl_tokens(log_probs(logits(now)), log_probs(logits(tiny))), v.lengths)[0]
    want = minillm(said(now, v)[0], old.detach(), p.detach(), there, single, (.3*p.exp()+.7*old.exp()).log().detach() if mixed else None, teacher_mixed=mixed, weights="prefix", clip=.1, length_normalised=False)
    agree(Lesson(now, s, tiny.words, aids), {"minillm": 1.}, want, now, own=v)

@pytest.mark.parametrize("name", [o for o,d in OBJECTIVES.items() if d[0]=="ranking" and o != "bt"])
def test_ranking(tiny, name):
    "Prompts with different numbers of candidates; sums or means as the paper has it; measured from the start"
    student = load_student("layers:2", tiny); options = {"dpo": dict(beta=.7, label_smoothing=.1), "listwise_ce": dict(temperature=2.), "ranknet": dict(soft=True)}.get(name, {})
    s = Stage(elicit=["feedback"], objective={name: 1.}, options=options, samples=5, max_new_tokens=10)
    k = elicit(Recipe(student="layers:2", stages=[s.model_copy(update=dict(prompts=6))]), 0, teacher=tiny, student=student); rows = [{**k[i], **{c: k[i][c][:4-i % 2] for c in ("scores","reference","candidate_ids")}} for i in range(4)]
    v = ranked_view(rows); now = shaken(student, 2, .02); n = [len(r["scores"]) for r in rows]; at = [0, *torch.tensor(n).cumsum(0).tolist()]
    q, there = said(now, v); sums = (q*there).sum(-1)/(torch.tensor(v.lengths) if name in LENGTH_NORMALISED else 1.)
    wide = lambda x: torch.stack([torch.cat([x[at[i]:at[i+1]], x.new_zeros(max(n)-n[i])]) for i in range(4)])
    mask = torch.tensor([[j < n[i] for j in range(max(n))] for i in range(4)]); flat = lambda c: wide(torch.tensor([x for r in rows for x in r[c]]))
    agree(Lesson(now, s), {name: 1.}, RANKING[name](wide(sums), flat("scores"), flat("reference"), mask, **options), now, ranked=v)

@pytest.mark.parametrize("name", ("fkl", "gjsd", "tsld", "uld", "span_kl", "gkd"))
def test_temperature(tiny, name):
    "Divided by the temperature of the step, times its square where asked for"
    student = load_student("layers:2", tiny); k = elicit(Recipe.simple(prompts=4, samples=2), teacher=tiny); options = dict(beta=.2) if name in ("gjsd","gkd") else {}
    s = Stage(objective={name: 2.}, options=options, t_squared=True, on_policy=0. if name=="gkd" else None); v = view(k["prompt_ids"], k["completion_ids"], states=feature(tiny, k))
    a, b = (lm.model(input_ids=v.ids, attention_mask=v.mask).logits for lm in (student, tiny)); y = torch.cat([v.ids[:, 1:], v.ids[:, :1]], 1)
    plain = {"gkd": "gjsd", "uld": None, "span_kl": "fkl"}.get(name, name)
    d = DIVERGENCES[plain](a, b, v.at, 3., **options, **(dict(targets=y) if name=="tsld" else {})) if plain else (log_probs(a[v.at], 3.).exp().sort(-1).values-log_probs(b[v.at], 3.).exp().sort(-1).values).abs().sum(-1).mean()
    agree(Lesson(student, s, tiny.words, aids_for(s, student, tiny)), {name: 2.}, 2*9*d, student, 3., data=v)

def test_loop_follows_the_stage(tiny):
    "Schedules of weight and temperature, and the number of ppo's epochs"
    student = load_student("layers:2", tiny); k = elicit(Recipe.simple(prompts=4, samples=2), teacher=tiny); h = feature(tiny, k)
    run = lambda lr=1e-9, **kw: list(lessons(copy.deepcopy(student), k, Stage(steps=3, batch=8, lr=lr, **kw), h, tiny.words))
    hot = run(objective={"fkl": [2, 0], "rkl": 1.}, temperature=[4, 1])
    for e,w,T in zip(hot, (2., 1., 0.), (4., 2.5, 1.)): assert abs(e["loss"]-w*e["fkl"]-e["rkl"]) < 1e-4 and abs(e["fkl"]-run(objective={"fkl": 1.}, temperature=T)[0]["fkl"]) < 1e-3
    s = Stage(elicit=["feedback"], objective={"ppo": 1.}, options=dict(epochs=3), steps=1, batch=4, max_new_tokens=6); aids = aids_for(s, student, tiny, reference=student, judge=lambda rows, c: SCORES[:len(c)])
    opt = adamw(trainable(student, s, aids), 1e-3); list(lessons(student, k, s, None, tiny.words, optimizer=opt, aids=aids)); assert {int(x["step"]) for x in opt.state.values()}=={3}

def test_ted_trains_its_filters_first(tiny):
    k = elicit(Recipe.simple(prompts=4, samples=2), teacher=tiny)
    for steps,still in ((0, True), (3, False)):
        s = Stage(objective={"ted": 1.}, options=dict(filter_steps=steps), steps=1, batch=8); student = load_student("tiny-s", tiny); aids = aids_for(s, student, tiny)
        list(lessons(student, k, s, feature(tiny, k), tiny.words, aids=aids)); assert torch.equal(aids.similar.get_buffer("teacher_1_4"), torch.eye(128))==still

def test_options_reach_the_similarities(tiny):
    given = dict(hidden_l2=dict(layers=[[1, 2]], normalize=True), mmd=dict(kernel="linear", tokens=64), relational=dict(temperature=.5))
    aids = aids_for(Stage(objective=dict.fromkeys(given, 1.), options=given), load_student("tiny-s", tiny), tiny)
    assert all({k: aids.similar.options[o][k] for k in d}==d for o,d in given.items()) and aids.similar.pairs["hidden_l2"]==[(1, 2)]

def test_who_answers(tiny):
    "A fresh student says nothing right; its teacher does"
    student = load_student("tiny-s", tiny); best = lambda by: [max(r["scores"]) for r in elicit(Recipe.simple(objective="dpo", prompts=6, samples=4, answers_by=by, warm=0), 0, teacher=tiny, student=student)]
    assert max(best("student")) < -3 and min(best("both")) > -3 and min(best("teacher")) > -3

SMALL = dict(warm=0, batch=8, prompts=6, max_new_tokens=8, evaluation=dict(every=0, prompts=2, samples=2, max_new_tokens=8))
def test_a_cache_of_every_word_is_the_whole_teacher(tmp_path):
    "At a temperature that is not 1"
    a, b = (distill(Recipe.simple("tiny", "layers:2", keep=keep, temperature=2., steps=4, samples=2, **SMALL), tmp_path).history["fkl"].iloc[1:] for keep in ("all", "tail:205"))
    assert (a-b).abs().max() < 1e-4

def test_reward_model_judges(tmp_path):
    "What bt learnt is what ppo is rewarded by, and stays in the folder"
    of = lambda o: Recipe.simple("tiny", "layers:2", objective=o, steps=6, samples=4, **SMALL); r = of("ppo")
    run = distill(Recipe.from_params(**r.model_copy(update=dict(stages=[of("bt").stages[0], r.stages[0].model_copy(update=dict(judge="reward"))])).to_params()), tmp_path)
    rewards = run.history["reward"].dropna(); assert len(rewards)==6 and rewards.abs().min() > 0 and rewards.nunique()==6 and (run.folder/"reward"/"model.safetensors").is_file()

def test_padded_heads_count_no_padding(tiny):
    "A student whose head is longer than its tokenizer begins DPO at log 2, and its mixed answers hold no word that does not exist"
    from transformers import LlamaForCausalLM
    from kdnb.reinforce import mixed_answers
    from kdnb.teachers import LM
    from kdnb.tiny import tiny_config
    cfg = tiny_config(1, 24, 2); cfg.vocab_size = 300; cfg.initializer_range = .3; torch.manual_seed(0); long = LM(LlamaForCausalLM(cfg), tiny.tokenizer, "long")
    s = Stage(elicit=["feedback"], objective={"dpo": 1.}, samples=4, max_new_tokens=8, prompts=4); k = elicit(Recipe(stages=[s]), 0, teacher=tiny, student=long)
    _, terms = Lesson(long, s, tiny.words)({"dpo": 1.}, 1., ranked=ranked_view([k[i] for i in range(len(k))])); assert abs(terms["dpo"]-math.log(2)) < 1e-4
    assert max(t for a in mixed_answers(long, tiny, [r["prompt_ids"] for r in asked(tiny)], .3, max_new_tokens=8) for t in a) < len(tiny.tokenizer)

def test_dropout(tiny):
    "Ratios to what was said before are 1 at first, and the seed decides everything"
    student = load_student("layers:2", tiny); student.model.config.attention_dropout = .3
    for layer in student.model.model.layers: layer.self_attn.attention_dropout = .3
    k = elicit(Recipe.simple(objective="minillm", prompts=4), teacher=tiny); s = Stage(elicit=["feedback"], objective={"ppo": 1.}, options=dict(whiten=False, lam=1., epochs=1), steps=2, batch=8, lr=1e-9, max_new_tokens=6)
    def run():
        x = copy.deepcopy(student); aids = aids_for(s, x, tiny, reference=copy.deepcopy(student), judge=lambda rows, c: SCORES[:len(c)])
        return list(lessons(x, k, s, None, tiny.words, aids=aids))
    a, b = run(), run(); assert a==b
    fkl = Stage(steps=2, batch=8, lr=1e-9); kk = elicit(Recipe.simple(prompts=4, samples=2), teacher=tiny); go = lambda: [e["fkl"] for e in lessons(copy.deepcopy(student), kk, fkl, feature(tiny, kk), tiny.words)]
    assert go()==go()
    p = Stage(elicit=["feedback"], objective={"dpo": 1.}, samples=4, max_new_tokens=8, prompts=4, steps=1, batch=4, lr=1e-9); pairs = elicit(Recipe(student="layers:2", stages=[p]), 0, teacher=tiny, student=student)
    assert abs(next(lessons(copy.deepcopy(student), pairs, p))["dpo"]-math.log(2)) < 1e-4
