"What holds of every divergence on any input: hypothesis looks for an exception, the same examples every time."
import math
import torch
from hypothesis import given, settings, strategies as st
from kdnb.divergence import DIVERGENCES, GENERATORS, ce
from kdnb.fused import fused

MORE = dict(gjsd=[dict(beta=b, normalize=n) for b in (0, .1, .9, 1) for n in (False, True)], skew_fkl=[dict(alpha=0), dict(alpha=.7)], skew_rkl=[dict(alpha=0), dict(alpha=.7)], akl=[dict(mu=.9)],
    f=[dict(generator=g) for g in GENERATORS], ab=[dict(alpha=a, beta=b) for a,b in ((1, 0), (0, 1), (.4, 0), (0, 2.), (1, 1), (1.5, .4))], tsld=[dict(tau=.5)])
VARIANTS = [(n, o) for n in DIVERGENCES for o in [{}, *MORE.get(n, [])]]; assert MORE.keys() <= DIVERGENCES.keys()
KINKED = [v for v in VARIANTS if v[0]=="tvd" or v[1]==dict(generator="tvd")]    # no gradient at q = p

def div(name, s, t, mask=None, T=1., **o):
    "A divergence; tsld is told that the next token is the teacher's likeliest, or the middle one where there is padding"
    return DIVERGENCES[name](s, t, mask, T, **({"targets": t.argmax(-1)} if name=="tsld" else {}), **o)

@st.composite
def cases(draw, scales=(.1, 1., 10., 1e3), infs=True):
    "Student and teacher logits, and a mask that keeps at least one token: logits of any size, excluded words, sure teachers"
    b, n, v, seed = (draw(st.integers(*ends)) for ends in ((1, 3), (1, 4), (2, 7), (0, 2**31)))
    g = torch.Generator().manual_seed(seed); s, t = (draw(st.sampled_from(scales))*torch.randn(b, n, v, generator=g, dtype=torch.float64) for _ in range(2))
    for z in (s, t) if infs else ():
        if draw(st.booleans()): z[(torch.rand(z.shape, generator=g) < .4) & (z < z.amax(-1, keepdim=True))] = -math.inf    # one word is always left
    if infs and draw(st.booleans()): t[0, 0] = -math.inf; t[0, 0, draw(st.integers(0, v-1))] = 0.                          # sure of one word
    mask = torch.rand(b, n, generator=g) < .6; mask[draw(st.integers(0, b-1)), draw(st.integers(0, n-1))] = True
    return s, t, mask
temperatures, near = st.sampled_from((.5, 1., 3.)), dict(rtol=1e-9, atol=1e-9)
examples = lambda n: settings(max_examples=n, derandomize=True, deadline=None)

@examples(30)
@given(cases(), temperatures)
def test_zero_at_the_teacher_and_nowhere_less(case, T):
    "Finite with a finite gradient, which is 0 on padding, and 0 everywhere at q = p"
    s, t, mask = case
    for v in VARIANTS:
        for z in (s, t):
            x = z.clone().requires_grad_(True); l = div(v[0], x, t, mask, T, **v[1]); g = torch.autograd.grad(l, x)[0]
            assert torch.isfinite(l) and torch.isfinite(g).all() and l > -1e-9 and not g[~mask].any(), v
        assert abs(l) < 1e-9 and (v in KINKED or g.abs().max() < 1e-6), v

@examples(30)
@given(cases(), temperatures)
def test_float32_is_finite(case, T):
    s, t, mask = (z.float() if z.dtype==torch.float64 else z for z in case)
    for n,o in VARIANTS:
        x = s.clone().requires_grad_(True); l = div(n, x, t, mask, T, **o)
        assert torch.isfinite(l) and l > -1e-4 and torch.isfinite(torch.autograd.grad(l, x)[0]).all(), (n, o)

@examples(30)
@given(cases(), temperatures, st.integers(0, 99))
def test_a_constant_changes_nothing(case, T, seed):
    "Another one at each position and side; and temperature divides the logits"
    s, t, mask = case; g = torch.Generator().manual_seed(seed); a, b = (20*torch.randn(*mask.shape, 1, generator=g, dtype=torch.float64) for _ in range(2))
    for n,o in VARIANTS:
        want = div(n, s, t, mask, T, **o); assert torch.allclose(div(n, s+a, t+b, mask, T, **o), want, **near), (n, o)
        if n != "tsld": assert torch.allclose(div(n, s/T, t/T, mask, 1., **o), want, **near), (n, o)    # tsld weighs tokens at temperature 1

@examples(30)
@given(cases(), st.integers(0, 3), st.integers(0, 3), st.booleans(), st.integers(0, 99))
def test_padding_changes_nothing(case, left, right, between, seed):
    "Left, right and in between, whatever stands there; nor does a text without tokens, nor the order of the texts"
    s, t, mask = case; b, n, v = s.shape; where = left + torch.arange(n)*(1+between); wide = left+n*(1+between)+right
    put = lambda z, fill: torch.full((b, wide, *z.shape[2:]), fill, dtype=z.dtype).index_copy(1, where, z); rows = torch.randperm(b, generator=torch.Generator().manual_seed(seed))
    for n,o in VARIANTS:
        want = div(n, s, t, mask, **o); assert torch.allclose(div(n, s[rows], t[rows], mask[rows], **o), want, **near), (n, o)
        more = [torch.cat([z, z[:1]*0]) for z in (s.clamp(min=-1e9), t.clamp(min=-1e9), mask)]; assert torch.allclose(div(n, *more, **o), div(n, *(z[:b] for z in more), **o), **near), (n, o)
        for fill in (0., -math.inf, math.nan) if n != "tsld" else (0.,): assert torch.allclose(div(n, put(s, fill), put(t, 7*fill), put(mask, False), **o), want, rtol=1e-12, atol=1e-12), (n, o, fill)

@examples(15)
@given(cases())
def test_the_mean_over_tokens(case):
    s, t, mask = case
    for n,o in VARIANTS:
        if n=="tsld": continue    # a weighted sum in each text
        one = [div(n, s[i:i+1, j:j+1], t[i:i+1, j:j+1], **o) for i,j in mask.nonzero().tolist()]
        assert torch.allclose(div(n, s, t, mask, **o), torch.stack(one).mean(), **near), (n, o)

@examples(60)
@given(cases(), temperatures)
def test_bounds(case, T):
    s, t, mask = case; d = lambda n, a=s, b=t, **o: div(n, a, b, mask, T, **o)
    assert abs(d("jsd")-d("jsd", t, s)) < 1e-12 and d("jsd") <= math.log(2)+1e-12 and d("gjsd")==d("jsd")
    assert abs(d("tvd")-d("tvd", t, s)) < 1e-12 and d("tvd") <= 1+1e-12 and d("tvd")**2 <= d("fkl")/2+1e-9    # Pinsker
    assert d("akl") <= d("fkl")+d("rkl")+1e-9
    for a in (.1, .5, .9): assert max(d("skew_fkl", alpha=a), d("skew_rkl", alpha=a)) <= -math.log(a)+1e-9
    for a,b in (("fkl","rkl"), ("skew_fkl","skew_rkl")): assert torch.allclose(d(a), d(b, t, s), **near)    # each is the other's mirror

@examples(60)
@given(cases(), st.integers(0, 1000).map(lambda i: i/1000))
def test_gjsd_mirrors(case, beta):
    "Sides and weights exchanged together; the ends are forward and reverse KL; normalised or not differ by beta(1-beta)"
    s, t, mask = case; f = lambda a, b, w, **o: div("gjsd", a, b, mask, beta=w, **o)
    assert torch.allclose(f(s, t, beta), f(t, s, 1-beta), rtol=1e-7, atol=1e-9)
    for n in (False, True): assert f(s, t, 0, normalize=n)==div("fkl", s, t, mask) and f(s, t, 1, normalize=n)==div("rkl", s, t, mask)
    if 0 < beta < 1: assert torch.allclose(f(s, t, beta), beta*(1-beta)*f(s, t, beta, normalize=True), rtol=1e-9, atol=1e-12)

@examples(25)
@given(cases(scales=(.1, 1.), infs=False))
def test_normalised_gjsd_is_continuous(case):
    s, t, mask = case; f = lambda b: float(div("gjsd", s, t, mask, beta=b, normalize=True))
    assert abs(f(1e-8)-f(0)) < 1e-4*(1+f(0)) and abs(f(1-1e-8)-f(1)) < 1e-4*(1+f(1))
    assert abs(div("gjsd", s.float(), t.float(), mask, beta=1e-6, normalize=True)-f(1e-6)) < 1e-3*(1+f(0))    # in float32 too
    v = [f(i/50) for i in range(51)]; assert max(abs(a-b) for a,b in zip(v, v[1:])) < .5*(max(v)+1e-6)

@examples(30)
@given(cases(), st.integers(0, 2**31))
def test_sft_is_forward_kl_to_one_word(case, seed):
    s, _, mask = case; s = s.clamp(min=-1e3); y = torch.randint(0, s.shape[-1], mask.shape, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(ce(s, y, mask), div("fkl", s, torch.full_like(s, -math.inf).scatter(-1, y[..., None], 0.), mask))

@examples(80)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 9), st.integers(1, 15), temperatures, st.booleans(), st.lists(st.tuples(st.sampled_from(VARIANTS), st.floats(.1, 2)), min_size=1, max_size=3, unique_by=lambda x: x[0][0]),
       st.sampled_from((0., .7)), st.integers(0, 2**31))
def test_fused_is_the_definition(texts, n, v, chunk, T, squared, terms, hard, seed):
    "Values and gradients, whatever the chunk, for any sum of divergences"
    g = torch.Generator().manual_seed(seed); r = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    h, w, ht, wt = r(texts*n, 3).requires_grad_(True), r(v, 3).requires_grad_(True), r(texts*n, 4), r(v, 4); zs, zt = (h@w.T).view(texts, n, v), (ht@wt.T).view(texts, n, v); y = zt.argmax(-1)
    objective, options = {name: k for (name,_),k in terms}, {name: o for (name, o),_ in terms}
    plain = sum(k*div(name, zs, zt, None, T, **options[name])*(T*T if squared else 1) for name,k in objective.items()) + (hard*ce(zs, y) if hard else 0)
    loss, each = fused(h, w, {**objective, **({"ce": hard} if hard else {})}, y.flatten(), ht, wt, options, temperature=T, t_squared=squared, chunk=chunk, rows=torch.arange(texts).repeat_interleave(n))
    assert torch.allclose(loss, plain, **near) and abs(sum(each[k]*x for k,x in objective.items())+hard*each.get("ce", 0)-plain) < 1e-8, terms
    for a,b in zip(torch.autograd.grad(loss, (h, w)), torch.autograd.grad(plain, (h, w))): assert torch.allclose(a, b, rtol=1e-7, atol=1e-8), terms
