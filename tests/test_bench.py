"The benchmark measures what it says: the same work on all sides, steps that were left alone, and what a cache saves, counted"
import json, math, os, subprocess, sys
import pytest
from conftest import ROOT
sys.path.insert(0, str(ROOT))
from bench import kd
from bench.meter import Meter, flops, gemm_peak, peak, reset_peak, rss
from bench.shapes import SHAPES, Shape, model, rows, tokenizer
from bench.variants import RATIOS, VARIANTS

SMALL = Shape((2, 32, 2), (1, 16, 2), 120, 3, 5, 7)

def test_both_sides_read_the_same_rows_and_begin_alike():
    import torch
    a, b = model(SMALL, "student"), model(SMALL, "student"); assert all(torch.equal(x, y) for x,y in zip(a.parameters(), b.parameters()))
    P, C = rows(SMALL, 4); assert (len(P), len(P[0]), len(C[0]))==(12, 5, 7) and rows(SMALL, 4)==(P, C) and max(map(max, P+C)) < 120
    t = tokenizer(120); assert len(t)==120 and t(t.decode(P[0]), add_special_tokens=False)["input_ids"]==P[0]

def test_who_keeps_memory(monkeypatch):
    "What `kdnb distill` sets is set where kdnb trains, and nowhere else"
    seen = []; monkeypatch.setattr("kdnb.train.tune_allocator", lambda size=None: seen.append(size))
    for v in ("kdnb", "kdnb cached", "kdnb on-policy"): VARIANTS[v](SMALL, 1, lambda: None)
    size = sum(p.numel() for p in model(SMALL, "student").parameters()); assert seen==[size]*3
    for v in ("kdnb sampler", "hf generate", "naive"): VARIANTS[v](SMALL, 1, lambda: None)
    assert len(seen)==3

def first_loss(variant, monkeypatch):
    "The loss of a variant's first step, as its library computes it"
    import torch, torch.nn.functional as F
    from kdnb import loop
    seen = []
    if variant=="naive": own = F.kl_div; monkeypatch.setattr(F, "kl_div", lambda *a, **kw: seen.append(x := own(*a, **kw)) or x)
    else: own = loop._update; monkeypatch.setattr(loop, "_update", lambda *a, **kw: seen.append((e := own(*a, **kw))["loss"]) or e)
    VARIANTS[variant](SMALL, 1, lambda: None); return float(torch.as_tensor(seen[0]).detach())

def test_the_same_loss(monkeypatch):
    "Of one set of rows in one order kdnb and a loop by hand have the same loss; so has kdnb with what it cached"
    monkeypatch.setattr("kdnb.loop.batch_rows", lambda n, batch, step, seed: list(range(step*batch, (step+1)*batch)))
    by_hand = first_loss("naive", monkeypatch); assert by_hand > 1e-4
    for v in ("kdnb", "kdnb cached"): assert abs(first_loss(v, monkeypatch)-by_hand) < 1e-6*max(1, by_hand), v

def test_trl_has_the_same_loss(libraries, monkeypatch):
    "Forward KL and Jensen-Shannon of TRL's first step are kdnb's, of the same rows; bf16 is near"
    import warnings
    with warnings.catch_warnings(): warnings.simplefilter("ignore"); from trl.experimental.gkd import GKDTrainer
    def of(v):
        seen, own = [], GKDTrainer.generalized_jsd_loss
        with monkeypatch.context() as m: m.setattr(GKDTrainer, "generalized_jsd_loss", staticmethod(lambda *a, **kw: seen.append(x := own(*a, **kw)) or x)); VARIANTS[v](SMALL, 1, lambda: None)
        return float(seen[0].detach())
    for a,b,tol in (("kdnb", "trl", 1e-5), ("kdnb jsd", "trl jsd", 1e-5), ("kdnb bf16", "trl bf16", 3e-2)):
        with monkeypatch.context() as m: mine = first_loss(a, m)
        assert mine > 1e-5 and abs(of(b)/mine-1) < tol, (a, b, of(b), mine)
    assert of("trl jsd") < .9*of("trl")

def test_distill_anything_has_the_same_loss(libraries, monkeypatch):
    "Its first loss is kdnb's, of the same rows; it is told of each step"
    from distillanything.train import trainer
    seen, ticks, own = [], [], trainer.kd_loss; monkeypatch.setattr(trainer, "kd_loss", lambda *a, **kw: seen.append(x := own(*a, **kw)) or x)
    VARIANTS["distill-anything"](SMALL, 3, lambda: ticks.append(1)); assert len(ticks)==4
    one = Shape(SMALL.teacher, SMALL.student, SMALL.vocab, 3, 5, 7); seen.clear(); VARIANTS["distill-anything"](one, 1, lambda: None)
    assert abs(float(seen[0].detach())/first_loss("kdnb", monkeypatch)-1) < 1e-5

def test_the_loop_and_its_step_by_hand(monkeypatch):
    "Both take as many steps, begin with the same loss but for the order of rows, and learn"
    from kdnb import loop
    ticks, rows_ = [], []; real = loop._update; monkeypatch.setattr(loop, "_update", lambda *a, **kw: rows_.append((e := real(*a, **kw))["loss"]) or e)
    VARIANTS["kdnb run"](SMALL, 3, lambda: ticks.append(1), block=2); assert len(ticks)==4 and len(rows_)==7
    by_hand = []; monkeypatch.setattr("kdnb.fused.fused", lambda *a, own=__import__("kdnb.fused").fused.fused, **kw: by_hand.append((x := own(*a, **kw))[0].item()) or x)
    ticks.clear(); VARIANTS["kdnb by hand"](SMALL, 3, lambda: ticks.append(1), block=2); assert len(ticks)==4 and len(by_hand)==7 and abs(rows_[0]/by_hand[0]-1) < .3
    monkeypatch.setattr("bench.variants.LR", 3e-2); rows_.clear(); by_hand.clear(); VARIANTS["kdnb run"](SMALL, 6, lambda: None, block=4); VARIANTS["kdnb by hand"](SMALL, 6, lambda: None, block=4); assert sum(rows_[-4:]) < .9*sum(rows_[:4]) and sum(by_hand[-4:]) < .9*sum(by_hand[:4])

def test_both_samplers_answer():
    for v in ("kdnb sampler", "hf generate"): ticks = []; VARIANTS[v](SMALL, 2, lambda: ticks.append(1)); assert len(ticks)==3

def test_what_a_person_waits_for(capsys):
    from bench import start
    start.main(["--rounds", "1", "--only", "import kdnb"]); out = capsys.readouterr().out; assert "| import kdnb | " in out and float(out.split("| import kdnb | ")[1].split()[0]) < 60
    for bad in (["--only", "imprt"], ["--rounds", "0"]):
        with pytest.raises(SystemExit): start.main(bad)

def test_products_are_counted():
    import torch
    a, b, c = torch.ones(5, 7), torch.ones(7, 3), torch.ones(5, 3)
    for f in (lambda: a @ b, lambda: c.addmm_(a, b), lambda: torch.addmm(c, a, b)): assert flops(lambda tick: (tick(), f(), tick()))==2*5*7*3

def test_alternating_order(monkeypatch, capsys):
    asked = []; monkeypatch.setattr(kd, "measured", lambda n, shape, steps, flags, env: asked.append((n, env["OMP_NUM_THREADS"])) or dict(seconds=[1.], memory=1, gemm=1e11, disturbed=0, all_disturbed=False))
    kd.main(["--only", "naive,kdnb", "--rounds", "2", "--threads", "3"]); assert asked==[(n, "3") for n in ("naive", "kdnb", "kdnb", "naive")] and "| kdnb | naive | 1.00" in capsys.readouterr().out

def test_what_a_cache_saves():
    "In products of matrices, counted: the teacher is not asked again; of top words not even its head"
    of = {v: flops(lambda tick: VARIANTS[v](SMALL, 3, tick)) for v in ("kdnb", "kdnb cached", "kdnb top-32", "naive")}; kept = SMALL.batch*SMALL.answer
    assert of["kdnb cached"]-of["kdnb top-32"]==2*32*SMALL.vocab*kept                     # 2 d V a token that counts: the teacher's head
    assert of["kdnb"]-of["kdnb cached"] > 2*32*32*8*kept and of["naive"] > of["kdnb"]      # its body; and by hand the heads see what does not count

def test_disturbed_steps_are_dropped(monkeypatch):
    marks = iter([(t, busy, own) for t,busy,own in ((0,0,0),(1,2,2),(2,4,4),(3,6,6),(4,8,7.5),(5,10,9.5))]); monkeypatch.setattr("bench.meter._mark", lambda: next(marks)); monkeypatch.setattr("os.cpu_count", lambda: 2)
    m = Meter(warm=2); [m() for _ in range(6)]; r = m.report(); assert r["seconds"]==[1, 1] and r["disturbed"]==1 and not r["all_disturbed"] and r["memory"] >= 0

def test_memory_is_counted_from_what_was_built():
    import torch
    a = rss(); reset_peak(); before = peak(); x = torch.ones(40_000_000); del x
    if os.path.exists("/proc/self/clear_refs"): assert 140e6 < peak()-before < 260e6 and before-a < 60e6
    assert gemm_peak(256, .05) > 1e8

def test_the_tables(capsys):
    got = {n: [dict(seconds=[s, s+.1, s+.2], memory=m, gemm=1e11, disturbed=0, all_disturbed=False, flops=1e10) for s in (t, 2*t)] for n,t,m in (("kdnb", 1., 50), ("trl", 4., 400))}
    kd.report("A", got); out = capsys.readouterr().out
    assert "| kdnb | 1.600 | 1,280 | 50 (50 to 50) | 6% | 0 of 6 |" in out and "| kdnb | trl | 3.79 (3.73 to 3.86) | 0.12 |" in out, out
    got["trl"][0]["all_disturbed"] = True; kd.report("A", got); assert "| kdnb | trl | no ratio" in capsys.readouterr().out
    assert all(a in VARIANTS and b in VARIANTS for a,b in RATIOS)

def test_the_command():
    run = lambda *a: subprocess.run([sys.executable, "-m", "bench.kd", *a], cwd=ROOT, capture_output=True, text=True)
    r = run("--only", "kdbn"); assert r.returncode==2 and "there is no variant 'kdbn'; choose from kdnb," in r.stderr
    assert run("--rounds", "0").returncode==2 and run("--only", "").returncode==2 and run("--threads", "0").returncode==2 and run("--shape", "Z").returncode==2 and "alternating order" in run("--help").stdout
