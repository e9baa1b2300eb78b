"""Their numbers from `kdnb.conventions`, beside the libraries themselves: TRL, Liger and distill-anything are installed and run, values and gradients.
DistiLLM, MiniLLM and DistillKit are not on PyPI: there, each published formula is written out again, word by word in Python numbers."""
import math, warnings
from types import SimpleNamespace as O
import numpy as np, pytest, torch
from kdnb.conventions import like

BETAS = (0, .01, .3, .5, .99, 1)
SHAPES = ((2, 6, 40), (1, 3, 7), (3, 5, 11))

@pytest.fixture(params=SHAPES, ids=str)
def batch(request):
    "Logits of both sides, and labels of either kind: a prompt, a completion, padding at either end"
    (b, n, v), g = request.param, torch.Generator().manual_seed(sum(request.param))
    s, t = (3*torch.randn(b, n, v, generator=g, dtype=torch.float64) for _ in range(2)); y = torch.randint(0, v, (b, n), generator=g)
    y[:, 0] = -100; y[0, -1] = -100
    return s, t, y

@pytest.fixture
def trl(libraries):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.experimental.gkd import GKDTrainer
        from trl.experimental.gold.gold_trainer import GOLDTrainer, ULDLoss
        from trl.experimental.iw_opd.iw_opd_trainer import IWOPDTrainer
        from trl.experimental.sdft.sdft_trainer import SDFTTrainer
        from trl.trainer.distillation_trainer import _chunked_divergence_loss
    return O(gkd=GKDTrainer.generalized_jsd_loss, gold=GOLDTrainer.generalized_jsd_loss, iw_opd=IWOPDTrainer.generalized_jsd_loss, ULDLoss=ULDLoss, sdft=SDFTTrainer._compute_self_distillation_loss, chunked=_chunked_divergence_loss)

def same(ours, theirs, s, atol=1e-9):
    "Value and gradient of two functions of the student's logits"
    a, b = s.clone().requires_grad_(True), s.clone().requires_grad_(True); x, y = ours(a), theirs(b)
    assert abs(x-y) < atol, (float(x), float(y))
    assert torch.allclose(torch.autograd.grad(x, a)[0], torch.autograd.grad(y, b)[0], atol=atol)

# TRL

@pytest.mark.parametrize("temperature", (1., .7, 2.))
@pytest.mark.parametrize("beta", BETAS)
def test_trl_gjsd(trl, batch, beta, temperature):
    s, t, y = batch; o = dict(beta=beta, temperature=temperature)
    for theirs in (trl.gkd, trl.gold, trl.iw_opd): same(lambda x: like("trl", "gjsd")(x, t, y, **o), lambda x: theirs(x, t, labels=y, **o), s)
    for more in (dict(reduction="sum"), dict(reduction="mean"), dict(num_items_in_batch=17)): same(lambda x: like("trl", "gjsd")(x, t, y, **o, **more), lambda x: trl.gkd(x, t, labels=y, **o, **more), s)

def test_trl_when_no_token_counts(trl, batch):
    s, t, y = batch; none = torch.full_like(y, -100)
    assert like("trl", "gjsd")(s, t, none)==trl.gkd(s, t, labels=none)==0

@pytest.mark.parametrize("scale", (1, 2, 3))
def test_trl_ends_are_special_cases(trl, scale):
    "On random 300-way logits: large at beta 0 and 1, a hundredth of that beside them"
    g = torch.Generator().manual_seed(scale); s, t = (scale*torch.randn(4, 8, 300, generator=g) for _ in range(2)); y = torch.zeros(4, 8, dtype=torch.long)
    v = [float(trl.gkd(s, t, labels=y, beta=b)) for b in (0, .01, .5, .99, 1)]
    assert np.allclose(v, [float(like("trl", "gjsd")(s, t, y, beta=b)) for b in (0, .01, .5, .99, 1)], atol=1e-5)
    assert min(v[0], v[4]) > 2*v[2] and v[2] > 5*max(v[1], v[3]) and v[0] > 50*v[1] and v[4] > 50*v[3]

@pytest.mark.parametrize("tail", (True, False))
@pytest.mark.parametrize("top_k", (1, 3, 99))
@pytest.mark.parametrize("beta", BETAS)
def test_trl_iw_opd_narrowed(trl, batch, beta, top_k, tail):
    s, t, y = batch; o = dict(beta=beta, temperature=1.3, top_k=top_k, add_tail=tail)
    same(lambda x: like("trl", "gjsd")(x, t, y, **o), lambda x: trl.iw_opd(x, t, labels=y, **o), s, 1e-6)    # they hold the tail above 1e-7

@pytest.mark.parametrize("top_k,tail", ((None, False), (4, False), (4, True)))
@pytest.mark.parametrize("alpha", (0., .3, 1.))
def test_trl_sdft(trl, batch, alpha, top_k, tail):
    "The trainer's own method, with a stand-in for the trainer"
    s, t, y = batch; args = O(distillation_mode="topk_logits" if top_k else "full_logits", distillation_topk=top_k, distillation_alpha=alpha, distillation_add_tail=tail, distillation_is_clip=None)
    me = O(args=args, _log_self_distillation_metric=lambda *a: None, accelerator=O(gather=lambda x: x)); T = 1.4
    theirs = lambda x: trl.sdft(me, O(training=True), {}, O(student_logits=x/T, teacher_logits=t/T, completion_ids=y.clamp(min=0), loss_mask=(y != -100).double()))
    same(lambda x: like("trl", "sdft")(x, t, y, alpha=alpha, temperature=T, top_k=top_k, add_tail=tail), theirs, s, 1e-6)

@pytest.mark.parametrize("merge", ("observed", "bayesian"))
@pytest.mark.parametrize("eos", (True, False))
def test_trl_uld(trl, batch, merge, eos):
    s, t, y = batch; t = torch.cat([t, t[..., :3]-1], -1)    # a teacher with three words more
    c = O(uld_crossentropy_weight=0., uld_distillation_weight=1., uld_student_temperature=1.2, uld_teacher_temperature=.8, uld_skip_student_eos=eos, uld_skip_teacher_eos=eos, use_extended_uld=False, uld_token_merge_strategy=merge)
    f, ids = trl.ULDLoss(c), y.clamp(min=0)
    same(lambda x: like("trl", "uld")(x, t, y, student_temperature=1.2, teacher_temperature=.8, skip_eos=eos, merge=merge), lambda x: f(x, t, y, y, ids, ids), s)

@pytest.mark.parametrize("beta", BETAS)
def test_trl_distillation_trainer(trl, beta):
    "The fused loss of DistillationTrainer, from hidden states, which sums in float32"
    g = torch.Generator().manual_seed(3); r = lambda *shape: torch.randn(*shape, generator=g)
    h, w, ht, wt, y = r(2, 5, 6), r(30, 6), r(2, 5, 9), r(30, 9), torch.tensor([[1,1,1,-100,-100],[1,1,1,1,-100]])
    same(lambda x: like("trl", "gjsd")(x @ w.T, ht @ wt.T, y, beta=beta, temperature=1.3), lambda x: trl.chunked(x, ht, w, wt, (y != -100).int(), beta, temperature=1.3)[0], h, 1e-5)

# Liger

@pytest.mark.parametrize("hard,soft", ((0., 1.), (.5, .5), (.3, 2.)))
@pytest.mark.parametrize("beta", BETAS)
def test_liger(libraries, beta, hard, soft):
    "The fused loss, values and gradients of hidden states; with a cross-entropy, and a student whose vocabulary is shorter"
    from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDLoss
    g = torch.Generator().manual_seed(4); r = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    h, ht, wt, y = r(3, 7, 6), r(3, 7, 9), r(30, 9), torch.randint(0, 25, (3, 7), generator=g); y[:, :2] = -100; y[0] = -100
    for v in (30, 25):
        w = r(v, 6); f = LigerFusedLinearJSDLoss(hard, soft, beta=beta, temperature=1.7, compiled=False, chunk_size=4)
        theirs = lambda x: f(x.reshape(21, 6), w, ht.reshape(21, 9), wt, y.reshape(21))
        same(lambda x: like("liger", "gjsd_ce")(x @ w.T, ht @ wt.T, y, beta=beta, temperature=1.7, weight_hard_loss=hard, weight_soft_loss=soft), theirs, h, 1e-6)    # it adds chunks up in float32
        if not hard: same(lambda x: like("liger", "gjsd")(x @ w.T, ht @ wt.T, y, beta=beta, temperature=1.7), theirs, h, 1e-6)

def test_liger_kl_inherits_torchs_default(batch):
    "LigerKLDIVLoss needs a GPU; it inherits from this"
    s, t, y = batch; lq, lp = (z.log_softmax(-1) for z in (s, t))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore"); assert abs(like("liger", "fkl")(s, t, y)-torch.nn.KLDivLoss(log_target=True)(lq, lp)) < 1e-12
    assert abs(like("liger", "fkl")(s, t, y, reduction="batchmean")-torch.nn.KLDivLoss(reduction="batchmean", log_target=True)(lq.flatten(0, 1), lp.flatten(0, 1))) < 1e-12

# distill-anything

@pytest.mark.parametrize("top_k", (None, 3))
@pytest.mark.parametrize("temperature", (1., 2., .6))
def test_distill_anything(libraries, batch, temperature, top_k):
    from distillanything.losses.kd import kd_loss
    s, t, y = batch; o = dict(temperature=temperature, top_k=top_k); wide = torch.cat([t, t[..., :2]+1], -1)
    for p in (t, wide):
        for name,kind in dict(fkl="forward_kl", rkl="reverse_kl").items(): same(lambda x: like("distillanything", name)(x, p, y, **o), lambda x: kd_loss(x, p, y, kind=kind, **o), s)
    for beta in (.01, .3, .5, .99): same(lambda x: like("distillanything", "gjsd")(x, t, y, beta=beta, **o), lambda x: kd_loss(x, t, y, kind="jsd", jsd_beta=beta, **o), s, 1e-6)    # their log beta is float32
    assert torch.allclose(like("distillanything", "fkl")(s, t, y), kd_loss(s, t, y))

@pytest.mark.parametrize("beta", (0., 1.))
def test_distill_anything_learns_nothing_at_the_ends(libraries, batch, beta):
    from distillanything.losses.kd import kd_loss
    s, t, y = batch
    for f in (lambda x: kd_loss(x, t, y, kind="jsd", jsd_beta=beta), lambda x: like("distillanything", "gjsd")(x, t, y, beta=beta)):
        x = s.clone().requires_grad_(True); l = f(x); assert abs(l) < 1e-12 and torch.autograd.grad(l, x)[0].abs().max() < 1e-7

# Those that are not on PyPI: the published formulas, by hand

def softmax(z, T=1.):
    e = [math.exp(x/T-max(z)/T) for x in z]; return [x/sum(e) for x in e]
def slow(f, s, t, keep, T=1.):
    "Mean over kept positions of f(p, q), lists of Python numbers"
    vals = [f(softmax(t[i][j], T), softmax(s[i][j], T)) for i in range(len(s)) for j in range(len(s[0])) if keep[i][j]]
    return sum(vals)/len(vals)
log = math.log
mixed = lambda p, q, a: [a*x+(1-a)*y for x,y in zip(p, q)]
KL = lambda p, q: sum(x*log(x/y) for x,y in zip(p, q))

DISTILLM = dict(
    fkl       = lambda p, q: -sum(x*log(y) for x,y in zip(p, q)),
    rkl       = lambda p, q: KL(q, p),
    symmetric = lambda p, q, lam=.9: (1-lam)*DISTILLM["fkl"](p, q) + lam*KL(q, p),
    gjsd      = lambda p, q, lam=.9: lam*KL(q, mixed(q, p, lam)) + (1-lam)*KL(p, mixed(q, p, lam)),
    skew_fkl  = lambda p, q, lam=.1: -sum(x*log(m) for x,m in zip(p, mixed(p, q, lam))),
    skew_rkl  = lambda p, q, lam=.1: KL(q, mixed(q, p, lam)),
    tvd       = lambda p, q: .5*sum(abs(x-y) for x,y in zip(p, q)))

@pytest.mark.parametrize("name", DISTILLM)
def test_distillm(batch, name):
    s, t, y = batch; f, keep = like("distillm", name), (y != -100).tolist(); S, T = s.tolist(), t.tolist()
    assert abs(f(s, t, y)-slow(DISTILLM[name], S, T, keep)) < 1e-10
    if DISTILLM[name].__defaults__:
        for lam in (.01, .5, .8): assert abs(f(s, t, y, lam=lam)-slow(lambda p, q: DISTILLM[name](p, q, lam), S, T, keep)) < 1e-10
    assert f(s, t, torch.full_like(y, -100)).isnan()

def test_distillm_leaves_out_what_is_excluded(batch):
    "Products are set to 0 where a side's logit is infinite; the probabilities themselves are not renormalised"
    s, t, y = batch; s, t = s.clone(), t.clone(); s[..., 0] = -math.inf; t[..., 1] = -math.inf; keep = y != -100
    p, q = (z.softmax(-1)[keep].numpy()[:, 2:] for z in (t, s))
    want = dict(rkl=(q*np.log(q/p)).sum(-1), tvd=.5*abs(p-q).sum(-1), skew_rkl=(q*np.log(q/(.1*q+.9*p))).sum(-1), skew_fkl=-(p*np.log(.1*p+.9*q)).sum(-1), fkl=-(p*np.log(q)).sum(-1),
        gjsd=(.9*q*np.log(q/(.9*q+.1*p))+.1*p*np.log(p/(.9*q+.1*p))).sum(-1))
    for name,v in want.items(): assert abs(like("distillm", name)(s, t, y)-v.mean()) < 1e-10, name

def test_minillm(batch):
    s, t, y = batch; keep = (y != -100).tolist(); S, T = s.tolist(), t.tolist()
    assert abs(like("minillm", "fkl")(s, t, y)-slow(DISTILLM["fkl"], S, T, keep)) < 1e-10
    for tau in (1., .7): assert abs(like("minillm", "rkl")(s, t, y, temperature=tau)-slow(lambda p, q: KL(q, p), S, T, keep, tau)) < 1e-10
    t = t.clone(); t[..., 0] = -math.inf; p, q = (z.softmax(-1)[y != -100].numpy() for z in (t, s))    # its cross-entropy leaves the word out, its entropy does not
    assert abs(like("minillm", "rkl")(s, t, y)-((q*np.log(q)).sum(-1)-(q[:, 1:]*np.log(p[:, 1:])).sum(-1)).mean()) < 1e-10

DISTILLM2 = dict(fkl=KL, gjsd=lambda p, q: .9*KL(p, mixed(p, q, .9))+.1*KL(q, mixed(p, q, .9)), skew_fkl=lambda p, q: KL(p, mixed(p, q, .1)), skew_rkl=lambda p, q: KL(q, mixed(q, p, .1)))

@pytest.mark.parametrize("name", DISTILLM2)
def test_distillm2(batch, name):
    "Each text's mean, then theirs; a label is the token at its position, predicted one position before"
    s, t, y = batch; S, T = s.tolist(), t.tolist()
    texts = [slow(DISTILLM2[name], [S[i][:-1]], [T[i][:-1]], [(y[i, 1:] != -100).tolist()]) for i in range(len(S))]
    assert abs(like("distillm2", name)(s, t, y)-sum(texts)/len(texts)) < 1e-10

def test_distillm2_holds_the_mixture(batch):
    "Gradient of sum q log(q/m) with m a constant: q (log q/m - its mean), over the tokens of a text and the texts"
    s, t, y = batch; x = s.clone().requires_grad_(True); g = torch.autograd.grad(like("distillm2", "skew_rkl")(x, t, y), x)[0].numpy(); want = np.zeros_like(g)
    for i in range(len(s)):
        at = [j-1 for j in range(1, y.shape[1]) if y[i, j] != -100]
        for j in at:
            p, q = np.array(softmax(t[i, j].tolist())), np.array(softmax(s[i, j].tolist())); c = np.log(q/(.1*q+.9*p)); want[i, j] = q*(c-(q*c).sum())/len(at)/len(s)
    assert np.allclose(g, want, atol=1e-10)

@pytest.mark.parametrize("T", (1., 2.))
def test_distillkit(batch, T):
    "labels >= 0, not moved; times T^2; a student with padded words is cut"
    s, t, y = batch; keep, S, P = (y >= 0).tolist(), s.tolist(), t.tolist(); long = torch.cat([s, s[..., :2]], -1)
    for z in (s, long): assert abs(like("distillkit", "fkl")(z, t, y, temperature=T)-T*T*slow(KL, S, P, keep, T)) < 1e-10
    assert abs(like("distillkit", "jsd")(s, t, y, temperature=T)-T*T*slow(lambda p, q: .5*KL(p, mixed(p, q, .5))+.5*KL(q, mixed(p, q, .5)), S, P, keep, T)) < 1e-10
    every = [[True]*len(r) for r in keep]; assert abs(like("distillkit", "script")(s, t, y, temperature=T, max_length=9)-T*T*slow(KL, S, P, every, T)*s.shape[1]/9) < 1e-10
    wide = [[r+[0.]*2 for r in row] for row in S]; more = torch.cat([t, t[..., :2]+1], -1)
    assert abs(like("distillkit", "script")(s, more, y, temperature=T)-T*T*slow(KL, wide, more.tolist(), every, T)) < 1e-10

@pytest.mark.parametrize("missing", ("zero", "symmetric_uniform"))
@pytest.mark.parametrize("T", (1., 2.))
def test_distillkit_sparse(batch, missing, T):
    "The k likeliest at temperature 1, their logarithms divided by T and normalised again, with the rest as one word or without"
    s, t, y = batch; k = 3
    def one(P, q):
        ids = sorted(range(len(P)), key=lambda i: -P[i])[:k]; a = [P[i]**(1/T) for i in ids]; rest = max(1-sum(P[i] for i in ids), 1e-6)**(1/T) if missing=="symmetric_uniform" else 0.
        Z = sum(a)+rest; d = sum(x/Z*log(x/Z/q[i]) for x,i in zip(a, ids))
        return d + (rest/Z*log(rest/Z/(1-sum(q[i] for i in ids))) if rest else 0.)
    vals = [one(softmax(t[i, j].tolist()), softmax(s[i, j].tolist(), T)) for i in range(len(s)) for j in range(s.shape[1]) if y[i, j] >= 0]
    assert abs(like("distillkit", "sparse_fkl")(s, t, y, k=k, missing=missing, temperature=T)-T*T*sum(vals)/len(vals)) < 1e-5
