"""What a GPU would compute with Liger's kernels, computed by Triton's interpreter, beside our own: value, gradients of hidden states and head, with temperature, weight and temperature squared"""
import os, subprocess, sys
import pytest
from conftest import lacking

BOTH = """import sys, torch, kdnb.fused as f
from types import SimpleNamespace
LOSSES = {"ce": {}, "fkl": {}, "rkl": {}, "jsd": {}, "gjsd": dict(beta=.1), "gkd": dict(beta=.9)}
torch.manual_seed(0); n, V = 24, 300; h, w = torch.randn(n, 16, requires_grad=True), torch.randn(V, 16, requires_grad=True); ht, wt, y = torch.randn(n, 24), torch.randn(V, 24), torch.randint(0, V, (n,))
for name,o in LOSSES.items():
    for T,sq in ((1., False), (2., True)):
        run = lambda: f.fused(h, w, {name: .7}, y, ht, wt, {name: o}, temperature=T, t_squared=sq)
        f._on_gpu = lambda h: False; ours, a = run(); f._on_gpu = lambda h: True; kernel = f.liger_for(h, {name: 1.}, ht, {name: o}); assert kernel; theirs, b = run()
        far = [abs(ours-theirs).item(), abs(a[name]-b[name]), *((x-z).abs().max().item() for x,z in zip(torch.autograd.grad(ours, (h, w)), torch.autograd.grad(theirs, (h, w))))]
        print(name, T, ours.item(), max(far)); assert max(far) < 1e-5, far
assert sum(m.startswith("liger_kernel.ops.") for m in sys.modules); f._on_gpu = lambda h: True
assert f.liger_for(h, {"fkl": 1., "ce": 1.}, ht) is f.liger_for(h, {"tvd": 1.}, ht) is f.liger_for(h, {"gjsd": 1.}, ht, dict(gjsd=dict(normalize=True))) is None
w.requires_grad_(False); f.fused(h, w, {"fkl": 1.}, y, ht, wt)[0].backward(); assert w.grad is None and h.grad.abs().sum() > 0
"""

@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    "Triton, which the CPU's torch comes without"
    to = tmp_path_factory.mktemp("triton"); r = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", str(to), "triton==3.9.0"], capture_output=True, text=True)
    if r.returncode: lacking(f"triton could not be installed: {r.stderr.strip()[-300:]}")
    return to

def test_on_a_gpu(libraries, triton):
    r = subprocess.run([sys.executable, "-W", "ignore", "-c", BOTH], capture_output=True, text=True, timeout=300, env=os.environ | dict(TRITON_INTERPRET="1", PYTHONPATH=f"{libraries}{os.pathsep}{triton}", OMP_NUM_THREADS="1"))
    assert r.returncode==0 and r.stdout.count("\n")==12, (r.stdout, r.stderr[-3000:])
