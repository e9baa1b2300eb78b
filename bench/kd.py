"""Seconds a step of distillation: kdnb beside TRL and a loop by hand, on the same models, rows and machine.

    python -m bench.kd --shape B --rounds 3
    python -m bench.kd --shape A --only "kdnb,trl,kdnb cached"

One process a variant and round, in alternating order. Ratios are of the medians within a round. pip install -e '.[bench]'
"""
import argparse, importlib.util, json, os, platform, statistics, subprocess, sys
from importlib.metadata import version
from pathlib import Path
from .meter import Meter, flops, gemm_peak
from .shapes import SHAPES
from .variants import BLOCK, RATIOS, VARIANTS

def child(name, shape, steps, count, allocator):
    "Run one variant, and say in one line what was measured"
    if allocator: from kdnb.train import tune_allocator; tune_allocator()
    import torch, warnings, transformers
    warnings.simplefilter("ignore"); transformers.logging.set_verbosity_error(); torch.manual_seed(0)
    s, m = SHAPES[shape], Meter(); before = gemm_peak(); VARIANTS[name](s, steps+m.warm, m)
    out = dict(m.report(), gemm=max(before, gemm_peak()))
    if count: out["flops"] = flops(lambda tick: VARIANTS[name](s, 2, tick))
    print("\n"+json.dumps(out))

def measured(name, shape, steps, flags, env):
    "A variant in a process of its own"
    r = subprocess.run([sys.executable, "-m", "bench.kd", "--child", name, "--shape", shape, "--steps", str(steps), *flags], capture_output=True, text=True, env=env)
    if r.returncode: raise SystemExit(f"{name}: {r.stderr.strip()[-1500:]}")
    return json.loads(r.stdout.strip().splitlines()[-1])

def table(heads, lines): return "\n".join("| "+" | ".join(map(str, l))+" |" for l in (heads, ["---"]*len(heads), *lines))

def report(shape, got, say=print):
    "Two tables: what each variant took, and the ratios"
    s, step = SHAPES[shape], {n: [statistics.median(r["seconds"]) for r in rs] for n,rs in got.items()}
    lines = []
    for n,rs in got.items():
        sec = statistics.median(step[n]); times = 4 if "x4" in n else BLOCK if n in ("kdnb run", "kdnb by hand") else 1; f = rs[0].get("flops")
        lines.append([n, f"{sec:.3f}", f"{s.tokens*times/sec:,.0f}", f"{statistics.median(r['memory'] for r in rs):,.0f} ({min(r['memory'] for r in rs):,.0f} to {max(r['memory'] for r in rs):,.0f})", f"{f/sec/statistics.median(r['gemm'] for r in rs):.0%}" if f else "", f"{sum(r['disturbed'] for r in rs)} of {sum(r['disturbed']*(not r['all_disturbed'])+len(r['seconds']) for r in rs)}"])
    say(table(["variant", "s a step", "tokens/s, all of a row", "MB above the models (least to most)", "of the fp32 GEMM peak", "steps disturbed"], lines)); say("")
    lines = []
    for a,b in RATIOS:
        if a in got and b in got:
            if any(x["all_disturbed"] for x in got[a]+got[b]): lines.append([a, b, "no ratio: other load disturbed every step of a round", ""]); continue
            r = [y/x for x,y in zip(step[a], step[b])]; m = statistics.median(x["memory"] for x in got[a])/max(1, statistics.median(x["memory"] for x in got[b]))
            lines.append([a, b, f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})", f"{m:.2f}"])
    if lines: say(table(["variant", "against", "times as fast (least to most)", "share of its memory"], lines))

def main(argv=None):
    p = argparse.ArgumentParser(prog="python -m bench.kd", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shape", choices=SHAPES, type=lambda v: next((n for n in SHAPES if n.lower()==v.lower()), v), default="B", help="; ".join(f"{n}: teacher {s.teacher[0]} layers of {s.teacher[1]}, student {s.student[0]} of {s.student[1]}, {s.vocab:,} words" for n,s in SHAPES.items())+" (default: B)")
    p.add_argument("--rounds", type=int, default=3, help="of each variant (default: 3)"); p.add_argument("--steps", type=int, default=3, help="timed steps a round, after two that are not (default: 3)")
    p.add_argument("--only", help=f"variants, with commas between them: {', '.join(VARIANTS)}"); p.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch (default: one a core)")
    p.add_argument("--allocator", action="store_true", help="have all variants keep large blocks of memory, as kdnb's training does by itself for students from 5 million weights on: it costs memory and saves page faults"); p.add_argument("--out", help="a file for all that was measured, JSON")
    p.add_argument("--child", help=argparse.SUPPRESS); p.add_argument("--count", action="store_true", help="count matrix products as well: their share of the machine's peak")
    a = p.parse_args(argv)
    if a.child: return child(a.child, a.shape, a.steps, a.count, a.allocator)
    names = list(dict.fromkeys(n for n in map(str.strip, a.only.split(",")) if n)) if a.only is not None else list(VARIANTS)
    if not names: p.error("--only names no variant")
    for n in names:
        if n not in VARIANTS: p.error(f"there is no variant '{n}'; choose from {', '.join(VARIANTS)}")
    if min(a.rounds, a.steps, a.threads) < 1: p.error("--rounds, --steps and --threads are 1 or more")
    for begins,module in (("trl", "trl"), ("distill-anything", "distillanything")):
        if any(n.startswith(begins) for n in names) and importlib.util.find_spec(module) is None: p.error(f"{begins} is not installed: pip install -e '.[bench]', or name other variants with --only")
    try: a.out and open(a.out, "a").close()
    except OSError as e: p.error(f"--out {a.out}: {e.strerror}")
    print(f"{len(names)*a.rounds} runs, about half a minute each, one and a half of kdnb run and kdnb by hand", file=sys.stderr)
    env = os.environ | dict(OMP_NUM_THREADS=str(a.threads), HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    got = {n: [] for n in names}
    for r in range(a.rounds):
        for n in names[::-1] if r % 2 else names: got[n].append(measured(n, a.shape, a.steps, (["--count"] if a.count and r==0 else [])+(["--allocator"] if a.allocator else []), env)); print(f"round {r+1}, {n}: {statistics.median(got[n][-1]['seconds']):.3f} s", file=sys.stderr)
        if a.out: Path(a.out).write_text(json.dumps(dict(shape=a.shape, threads=a.threads, allocator=a.allocator, got=got)))
    print(f"shape {a.shape}, {a.rounds} rounds of {a.steps} steps, {a.threads} threads on {os.cpu_count()} cores ({platform.processor() or platform.machine()}), fp32 GEMM peak {statistics.median(x['gemm'] for rs in got.values() for x in rs)/1e9:.0f} GFLOP/s{', large blocks kept by all' if a.allocator else ''}; "
          +", ".join(f"{m} {version(m)}" for m in ("torch","transformers","trl","distill-anything") if m in {"torch","transformers"} or any(n.startswith(m) for n in names))+"\n")
    report(a.shape, got)

if __name__=="__main__": main()
