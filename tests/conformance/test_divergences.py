"Our numbers beside those of TRL, Liger, scipy and torch.distributions, on the same logits. Both weigh the teacher with beta and end in forward (0) and reverse KL (1), as we do."
import warnings
import numpy as np, pytest, torch
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax
from torch.distributions import Categorical, kl_divergence
from kdnb.divergence import DIVERGENCES, fdiv, fkl, gjsd, rkl
from kdnb.fused import fused

BETAS = (0, .01, .5, .99, 1)

@pytest.fixture
def logits():
    g = torch.Generator().manual_seed(0)
    return [3*torch.randn(2, 6, 300, generator=g, dtype=torch.float64) for _ in range(2)], torch.tensor([[0,1,1,1,1,0],[0,0,1,1,1,1]]).bool()

@pytest.mark.parametrize("temperature", (1., .7, 2.))
@pytest.mark.parametrize("beta", BETAS)
def test_trl_gkd(libraries, logits, beta, temperature):
    "TRL's GKDTrainer divides by the number of labels that are not -100, which is the mean over the tokens that count"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore"); from trl.experimental.gkd import GKDTrainer
    (s, t), mask = logits
    theirs = GKDTrainer.generalized_jsd_loss(s, t, labels=torch.where(mask, 1, -100), beta=beta, temperature=temperature)
    assert abs(gjsd(s, t, mask, temperature, beta=beta)-theirs) < 1e-10
    if beta in (0, 1): assert abs((fkl, rkl)[beta](s, t, mask, temperature)-theirs) < 1e-10

@pytest.mark.parametrize("beta", BETAS)
def test_liger_fused(libraries, beta):
    "Liger's fused JSD from hidden states: value, and gradients of hidden states and head"
    from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDFunction as J
    g = torch.Generator().manual_seed(1); r = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    h, w, ht, wt, y = r(23, 8).requires_grad_(True), r(90, 8).requires_grad_(True), r(23, 12), r(90, 12), torch.randint(0, 90, (23,), generator=g)
    theirs = J.apply(h, w, ht, wt, y, None, None, 0., 1., beta, -100, 1.5, False, 7)
    ours, _ = fused(h, w, {"gjsd": 1.}, y, ht, wt, dict(gjsd=dict(beta=beta)), temperature=1.5, chunk=5)
    assert abs(ours-theirs) < 1e-6    # Liger sums in float32
    for a,b in zip(torch.autograd.grad(ours, (h, w)), torch.autograd.grad(theirs, (h, w))): assert torch.allclose(a, b, atol=1e-9)

REFERENCES = {  # from probabilities p and q, by scipy and numpy
    "fkl": lambda p, q: rel_entr(p, q).sum(-1), "rkl": lambda p, q: rel_entr(q, p).sum(-1), "jsd": lambda p, q: jensenshannon(p, q, axis=-1)**2, "gjsd": lambda p, q: jensenshannon(p, q, axis=-1)**2,
    "tvd": lambda p, q: .5*np.abs(p-q).sum(-1), "skew_fkl": lambda p, q: rel_entr(p, .1*p+.9*q).sum(-1), "skew_rkl": lambda p, q: rel_entr(q, .1*q+.9*p).sum(-1), "f": lambda p, q: ((np.sqrt(p)-np.sqrt(q))**2).sum(-1),
    "ab": lambda p, q: -(p**.2*q**.7-.2/.9*p**.9-.7/.9*q**.9).sum(-1)/.14}

@pytest.mark.parametrize("temperature", (1., .7, 2.))
@pytest.mark.parametrize("name", REFERENCES)
def test_scipy(logits, name, temperature):
    (s, t), mask = logits; p, q = (softmax(x[mask].numpy()/temperature, -1) for x in (t, s))
    assert abs(DIVERGENCES[name](s, t, mask, temperature)-REFERENCES[name](p, q).mean()) < 1e-10

def test_torch_distributions(logits):
    (s, t), mask = logits; p, q = Categorical(logits=t[mask]), Categorical(logits=s[mask])
    for ours,theirs in ((fkl, (p, q)), (rkl, (q, p))): assert abs(ours(s, t, mask)-kl_divergence(*theirs).mean()) < 1e-10
    assert abs(fdiv(s, t, mask, generator="jeffreys")-(kl_divergence(p, q)+kl_divergence(q, p)).mean()) < 1e-10
