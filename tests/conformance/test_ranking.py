"DPO beside the methods of TRL's DPOTrainer and of Liger, with stand-ins for the model and the trainer."
import warnings
from collections import defaultdict
from types import SimpleNamespace as O
import pytest, torch
from kdnb.ranking import dpo, sequence_logps

@pytest.fixture
def pairs():
    "Log-probabilities of each token of three chosen answers, then of three rejected, with prompt and padding; and the frozen reference's sums"
    g = torch.Generator().manual_seed(0); keep = torch.tensor([[0,0,1,1,1,0],[0,1,1,0,0,0],[0,0,0,1,1,1],[0,0,1,0,0,0],[0,1,1,1,1,0],[0,0,0,1,1,0]])
    return -torch.rand(6, 6, generator=g, dtype=torch.float64)*3, keep, -torch.rand(6, generator=g, dtype=torch.float64)*9

def ours(x, keep, ref, beta):
    logps = sequence_logps(x[keep.bool()], keep.sum(-1)).view(2, 3).T
    return dpo(logps, torch.tensor([1., 0.]).expand(3, 2), ref.view(2, 3).T, beta=beta)

@pytest.mark.parametrize("beta", (.01, .1, 1., 5.))
def test_dpo(libraries, pairs, beta):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore"); from trl import DPOTrainer
    from liger_kernel.chunked_loss.dpo_loss import LigerFusedLinearDPOFunction as L
    x, keep, ref = pairs; same = lambda z: z
    me = O(model=O(training=True), accelerator=O(device="cpu", gather=same, gather_for_metrics=same), aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True, f_divergence_type="reverse_kl",
        loss_types=["sigmoid"], loss_weights=[1.], beta=beta, use_weighting=False, _metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0, _tp_size=1)
    def trl(z):
        out = O(log_probs=(z*keep)[:, 1:], entropy=z[:, 1:], mean_logits=z[:, 1:], is_top1=z[:, 1:] > 0)
        return DPOTrainer._compute_loss(me, lambda **k: out, dict(input_ids=keep, completion_mask=keep, attention_mask=keep, ref_chosen_logps=ref[:3], ref_rejected_logps=ref[3:]), False)
    liger = lambda z: L.preference_loss_fn(*(z*keep).sum(-1).chunk(2), keep, *ref.chunk(2), beta=beta)[0]
    a = x.clone().requires_grad_(True); want = ours(a, keep, ref, beta); g = torch.autograd.grad(want, a)[0]
    for f in (trl, liger):
        b = x.clone().requires_grad_(True); l = f(b); assert abs(l-want) < 1e-12 and torch.allclose(torch.autograd.grad(l, b)[0], g, atol=1e-12)
