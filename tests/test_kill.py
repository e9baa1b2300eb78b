"A run killed with SIGKILL at any moment resumes and ends with the history of an unbroken one."
import os, random, signal, subprocess, time
from pathlib import Path
import pandas as pd
from conftest import KDNB
from kdnb.train import attach

WORDS = ["-p","steps","80","-p","warm","60","-p","samples","4","-p","objective","rkl","-p","student","tiny-m"]

def start(out): # a checkpoint at every step: a kill lands inside a stage, between checkpoints, or in the middle of writing one
    return subprocess.Popen([KDNB, "distill", *WORDS, "-o", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | dict(KDNB_CHECKPOINT_SECONDS="0"))

def lines(out): return sum(len(p.read_bytes().splitlines()) for p in Path(out).glob("*/history.jsonl"))

def test_sigkill(tmp_path):
    assert start(tmp_path/"whole").wait(300)==0
    whole = attach(next((tmp_path/"whole").glob("*")))
    assert len(whole.history)==141
    seed = int(os.environ.get("KDNB_KILL_SEED", time.time_ns() % 10**6)); rng = random.Random(seed)
    print("KDNB_KILL_SEED", seed)
    at, killed = sorted(rng.sample([*range(8, 52), *range(68, 130)], 2)), 0    # not beside the stages' ends, where a checkpoint stands anyway
    for k in at:
        p = start(tmp_path/"broken")
        while p.poll() is None and lines(tmp_path/"broken") < k: time.sleep(.005)
        if p.poll() is None: p.send_signal(signal.SIGKILL); killed += 1
        p.wait()
    run = attach(next((tmp_path/"broken").glob("*")))
    assert killed==2 and run.state=="killed", (at, run.status)
    assert any(int(c.name.split("-")[1]) not in (60, 140) for c in run.folder.glob("checkpoint-*[0-9]")), "no checkpoint inside a stage"
    r = subprocess.run([KDNB, "resume", str(run.folder)], capture_output=True, text=True, timeout=300)
    assert r.returncode==0, r.stderr
    assert run.state=="done" and Path(r.stdout.strip())==run.folder
    pd.testing.assert_frame_equal(run.history, whole.history)
    assert run.metrics==whole.metrics and run.status["tokens"]==whole.status["tokens"]==whole.history["tokens"].sum()

def test_two_processes(tmp_path):
    "A second process is told that the folder is taken, and takes nothing"
    p = start(tmp_path)
    while lines(tmp_path) < 5: time.sleep(.01); assert p.poll() is None
    folder = next(tmp_path.glob("*"))
    r = subprocess.run([KDNB, "resume", str(folder)], capture_output=True, text=True, timeout=120)
    assert r.returncode==2 and "another process" in r.stderr, r.stderr
    assert attach(folder).state=="running" and p.wait(300)==0 and len(attach(folder).history)==141

def test_sigint_keeps_a_checkpoint(tmp_path):
    p = start(tmp_path)
    while lines(tmp_path) < 5: time.sleep(.01); assert p.poll() is None
    p.send_signal(signal.SIGINT); assert p.wait(60)==130
    run = attach(next(tmp_path.glob("*")))
    assert run.state=="stopped" and run.status["step"] >= 4
    assert run.train().state=="done"
