"Steps timed, with what disturbed them; memory; the machine's own peak"
import os, time

class Meter:
    "Call it when all is built, and after each step"
    def __init__(self, warm=2): self.warm, self.marks, self.base = warm, [], None
    def __call__(self):
        self.marks.append(_mark())
        if len(self.marks)==1: give_back(); self.base = rss(); reset_peak()
    def report(self):
        "Seconds of each step after the warm ones, those left out in which another process or the host took more than a twentieth of this machine's cores; peak memory above what was built, MB"
        steps = [(b[0]-a[0], (b[1]-a[1])-(b[2]-a[2])) for a,b in zip(self.marks, self.marks[1:])][self.warm:]
        calm = [s for s,others in steps if others < .05*s*os.cpu_count()]
        return dict(seconds=calm or [s for s,_ in steps], disturbed=len(steps)-len(calm), all_disturbed=not calm, memory=round((peak()-self.base)/1e6))

def _mark():
    import psutil
    t, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return time.perf_counter(), sum(getattr(t, k, 0) for k in ("user","nice","system","irq","softirq","steal")), own.user+own.system

def give_back():
    "What was freed before the steps is not theirs to use again for nothing"
    import contextlib, ctypes
    with contextlib.suppress(OSError, AttributeError): ctypes.CDLL("libc.so.6").malloc_trim(0)

def rss():
    import psutil
    return psutil.Process().memory_info().rss
def reset_peak():
    try: open("/proc/self/clear_refs", "w").write("5")
    except OSError: pass    # elsewhere the peak is that of the whole process
def peak():
    try: return next(int(l.split()[1])*1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
    except OSError: import resource; return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*1024

def gemm_peak(n=2048, seconds=.8):
    "The best rate of a large fp32 product, FLOP a second"
    import torch
    a, b, best, end = torch.randn(n, n), torch.randn(n, n), 0., time.perf_counter()+seconds
    while time.perf_counter() < end: t = time.perf_counter(); a @ b; best = max(best, 2*n**3/(time.perf_counter()-t))
    return best

def flops(run):
    "Floating-point operations of the matrix products of the last step; `run(tick)` makes two steps or more"
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    marks = []
    own = {torch.ops.aten.addmm_: lambda into, a, b, **kw: 2*a[0]*a[1]*b[1]}    # which torch leaves out
    with FlopCounterMode(display=False, custom_mapping=own) as c: run(lambda: marks.append(c.get_total_flops()))
    return marks[-1]-marks[-2]
