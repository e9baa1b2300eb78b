"""What a person waits for: seconds from a command to the first thing it gives, each in a process of its own.

    python -m bench.start --rounds 5
"""
import argparse, os, statistics, subprocess, sys, tempfile, time

CLOCK = "import time; began = time.perf_counter(); said = lambda: print('took', time.perf_counter()-began)\n"
WAITS = { # what, the most it shall take, and the program; a program that says nothing is timed from outside, with Python's own start
    "import kdnb": (.3, CLOCK+"import kdnb; said()"),
    "kdnb --help": (.5, ["-c", "from kdnb.cli import main; main()", "--help"]),
    "tiny loaded, once torch is": (1., "import torch\n"+CLOCK+"from kdnb.teachers import load_teacher; load_teacher('tiny'); said()"),
    "tiny loaded, once transformers' models are": (1., "from transformers import AutoTokenizer, LlamaForCausalLM\n"+CLOCK+"from kdnb.teachers import load_teacher; load_teacher('tiny'); said()"),
    "from distill() to the first training event": (3., "from transformers import LlamaForCausalLM\nfrom kdnb.recipe import Recipe\nfrom kdnb.train import distill\n"+CLOCK+"def told(e):\n    if e['kind']=='step': said(); raise SystemExit\ndistill(Recipe.simple(), FOLDER, [told])"),
    "the same, to the first event of any kind": (3., "from transformers import LlamaForCausalLM\nfrom kdnb.recipe import Recipe\nfrom kdnb.train import distill\n"+CLOCK+"def told(e): said(); raise SystemExit\ndistill(Recipe.simple(), FOLDER, [told])"),
    "smollm2-135m loaded from a warm cache, once transformers' models are": (4., "from transformers import AutoTokenizer, LlamaForCausalLM\n"+CLOCK+"from kdnb.teachers import load_teacher; load_teacher('smollm2-135m'); said()"),
}

def waited(program):
    with tempfile.TemporaryDirectory() as d:
        args = program if isinstance(program, list) else ["-c", program.replace("FOLDER", repr(d))]; began = time.perf_counter()
        r = subprocess.run([sys.executable, *args], capture_output=True, text=True, env=os.environ | dict(TOKENIZERS_PARALLELISM="false")); took = time.perf_counter()-began
    said = [l.split()[1] for l in r.stdout.splitlines() if l.startswith("took ")]
    if r.returncode and not said: raise SystemExit(f"{args[:2]}: {r.stderr.strip()[-800:]}")
    return float(said[0]) if said else took

def main(argv=None):
    p = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); p.add_argument("--rounds", type=int, default=5, help="after one that is not counted (default: 5)"); p.add_argument("--only", default="", help="part of a name")
    a = p.parse_args(argv); names = [n for n in WAITS if a.only in n]
    if a.rounds < 1: p.error("--rounds is 1 or more")
    if not names: p.error(f"nothing is called '{a.only}'; there are: {'; '.join(WAITS)}")
    print("| what | s, median (least to most) | goal |\n| --- | --- | --- |")
    for n in names: took = [waited(WAITS[n][1]) for _ in range(a.rounds+1)][1:]; print(f"| {n} | {statistics.median(took):.2f} ({min(took):.2f} to {max(took):.2f}) | {WAITS[n][0]:g} |", flush=True)

if __name__=="__main__": main()
