"One way to distil each: a function of a shape, a number of steps and a `Meter`, which it calls when all is built and after each step"
from .shapes import model, rows, tokenizer

LR = 1e-4
BLOCK = 20    # updates that count as one step, where a step is short beside what is done now and then

# kdnb

def _students(lm):
    "On a CPU `kdnb distill` has large blocks of memory kept for a student of some size"
    from kdnb.train import tune_allocator
    tune_allocator(lm.size); return lm

def _kdnb(shape, steps, tick, objective="fkl", options={}, keep="all", precision="fp32", share=0., batches=1, cached=False):
    from datasets import Dataset
    from kdnb.knowledge import feature
    from kdnb.lesson import aids_for
    from kdnb.loop import lessons
    from kdnb.recipe import Stage
    from kdnb.sparse import keeper
    from kdnb.teachers import LM
    t = tokenizer(shape.vocab); teacher = LM(model(shape, "teacher", "bfloat16" if precision=="bf16" else "float32").eval().requires_grad_(False), t, "teacher"); student = _students(LM(model(shape, "student"), t, "student"))
    P, C = rows(shape, steps*batches); knowledge = Dataset.from_dict(dict(prompt=["" for _ in P], prompt_ids=P, completion_ids=C, completion=["" for _ in P]))
    stage = Stage(objective={objective: 1.}, options=options, steps=steps, batch=shape.batch*batches, lr=LR, warmup=0, schedule="constant", on_policy=share, max_new_tokens=shape.answer, keep=keep)
    keep = keeper(teacher.head, keep); hidden = feature(teacher, knowledge, keep=keep) if cached else Fresh(teacher, knowledge, shape.answer)
    tick()
    for _ in lessons(student, knowledge, stage, None if share else hidden, teacher.head.detach(), precision=precision, aids=aids_for(stage, student, teacher) if share else None): tick()

class Fresh:
    "The teacher's states, read when a step asks for them: the work of a first epoch"
    def __init__(self, teacher, knowledge, answer): self.teacher, self.knowledge, self.answer = teacher, knowledge, answer
    def __getitem__(self, at):
        from kdnb.knowledge import feature
        return feature(self.teacher, self.knowledge.select((at[::self.answer]//self.answer).tolist()))

def _run(shape, steps, tick, block=BLOCK):
    "All that `kdnb distill` does while it trains: history, events, status, a checkpoint every 20 seconds. Epochs after the first: the teacher's states are there"
    import json, tempfile
    from pathlib import Path
    from kdnb.recipe import Data, Evaluation, Recipe, Stage
    from kdnb.train import distill
    d, t = Path(tempfile.mkdtemp()), tokenizer(shape.vocab); P, C = rows(shape, 4)
    for which in ("teacher", "student"): model(shape, which).save_pretrained(d/which); t.save_pretrained(d/which)
    (d/"rows.jsonl").write_text("".join(json.dumps(dict(prompt=t.decode(p), completion=t.decode(c)))+"\n" for p,c in zip(P, C)))
    stage = Stage(elicit=["feature"], steps=steps*block+1, batch=shape.batch, lr=LR, warmup=0, schedule="constant")
    def told(e):
        if e["kind"]=="step" and e["step"] % block==1: tick()
    distill(Recipe(teacher=str(d/"teacher"), student=str(d/"student"), skill="instruct", data=Data(source=str(d/"rows.jsonl")), precision="fp32", device="cpu", stages=[stage], evaluation=Evaluation(every=0, prompts=1, samples=1, max_new_tokens=1, glimpse=0)), d/"runs", [told])

def _steps(shape, steps, tick, block=BLOCK):
    "The same steps by hand, with kdnb's loss: nothing is written and nobody is told"
    import torch
    from kdnb.fused import fused
    from kdnb.knowledge import positions
    from kdnb.teachers import LM
    t = tokenizer(shape.vocab); teacher, student = (LM(model(shape, w), t, w) for w in ("teacher", "student")); _students(student); P, C = rows(shape, 4); C = [[*c, t.eos_token_id] for c in C]; head = teacher.head.detach()    # what is read from a file ends as well
    ids, mask, at, y = positions(P, C)
    with torch.no_grad(): known = torch.cat([teacher.hidden(ids[i:i+shape.batch], mask[i:i+shape.batch])[at[i:i+shape.batch]] for i in range(0, len(ids), shape.batch)])
    opt = torch.optim.AdamW(student.model.parameters(), lr=LR, betas=(.9, .98), weight_decay=0., fused=True); n = shape.answer+1
    for i in range(steps*block+1):
        pick = torch.randperm(len(ids))[:shape.batch]; a = at[pick]; states = torch.cat([known[k*n:(k+1)*n] for k in pick.tolist()])
        loss, _ = fused(student.hidden(ids[pick], mask[pick])[a], student.head, dict(fkl=1.), torch.cat([y[k*n:(k+1)*n] for k in pick.tolist()]), states, head, dict(fkl={}))
        loss.backward(); torch.nn.utils.clip_grad_norm_(student.model.parameters(), 1.); opt.step(); opt.zero_grad()
        if i % block==0: tick()

def _answers(shape, steps, tick, ours=True):
    "The student answers a batch of prompts, at temperature 1: by kdnb's sampler, or by `generate` of transformers"
    from kdnb.teachers import LM, _hf_sample, pad, seeded
    import torch
    lm = LM(model(shape, "student").eval(), tokenizer(shape.vocab), "student"); P, _ = rows(shape, steps); tick()
    for i in range(steps):
        part = P[i*shape.batch:(i+1)*shape.batch]
        if ours: lm.generate(part, max_new_tokens=shape.answer, seed=i)
        else:
            with seeded(i), torch.inference_mode(): _hf_sample(lm, *pad(part, left=True), 1., shape.answer)
        tick()

# by hand, as a tutorial has it

def naive(shape, steps, tick):
    import torch, torch.nn.functional as F
    teacher, student = model(shape, "teacher").eval(), model(shape, "student"); opt = torch.optim.AdamW(student.parameters(), lr=LR); P, C = rows(shape, steps); tick()
    for i in range(steps):
        ids = torch.tensor([p+c for p,c in zip(P, C)][i*shape.batch:(i+1)*shape.batch])
        with torch.no_grad(): p = teacher(input_ids=ids).logits.log_softmax(-1)
        q = student(input_ids=ids).logits.log_softmax(-1); at = slice(shape.prompt-1, -1)
        F.kl_div(q[:,at].flatten(0, 1), p[:,at].flatten(0, 1), log_target=True, reduction="batchmean").backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.); opt.step(); opt.zero_grad(); tick()

# TRL

def _told(tick):
    from transformers import TrainerCallback
    class Told(TrainerCallback):
        def on_train_begin(self, *a, **kw): tick()
        def on_step_end(self, *a, **kw): tick()
    return Told()

def _args(shape, steps, precision, **more):
    import tempfile
    return dict(output_dir=tempfile.mkdtemp(), max_steps=steps, per_device_train_batch_size=shape.batch, learning_rate=LR, lr_scheduler_type="constant", report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True, bf16=precision=="bf16", gradient_checkpointing=False, dataloader_num_workers=0, dataloader_pin_memory=False, **more)

def _gkd(shape, steps, tick, beta=0., share=0., precision="fp32"):
    import torch
    from datasets import Dataset
    from trl.experimental.gkd import GKDConfig, GKDTrainer
    P, C = rows(shape, steps)
    def collate(batch):
        ids = torch.tensor([r["p"]+r["c"] for r in batch]); labels = ids.clone(); labels[:,:shape.prompt] = -100; p = ids[:,:shape.prompt]
        return dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, prompts=p, prompt_attention_mask=torch.ones_like(p))
    args = GKDConfig(**_args(shape, steps, precision), beta=beta, lmbda=share, temperature=1., max_new_tokens=shape.answer, max_length=shape.prompt+shape.answer)
    GKDTrainer(model(shape, "student"), model(shape, "teacher", "bfloat16" if precision=="bf16" else "float32").eval(), args, data_collator=collate, train_dataset=Dataset.from_dict(dict(p=P, c=C)), processing_class=tokenizer(shape.vocab), callbacks=[_told(tick)]).train()

def _distillation(shape, steps, tick, beta=0., precision="fp32", accumulate=1):
    from datasets import Dataset
    from trl import DistillationConfig, DistillationTrainer
    P, _ = rows(shape, steps*accumulate); t = tokenizer(shape.vocab)
    args = DistillationConfig(**_args(shape, steps, precision, gradient_accumulation_steps=accumulate), beta=beta, temperature=1., max_completion_length=shape.answer)
    DistillationTrainer(model=model(shape, "student"), teacher_model=model(shape, "teacher", "bfloat16" if precision=="bf16" else "float32").eval(), args=args, train_dataset=Dataset.from_dict(dict(prompt=[t.decode(p) for p in P])), processing_class=t, callbacks=[_told(tick)]).train()

# distill-anything

def _anything(shape, steps, tick):
    "Its trainer in logit mode, forward KL alone at temperature 1"
    import tempfile, torch
    from distillanything.config import DistillConfig, LossConfig, TrainConfig
    from distillanything.train.trainer import DistillTrainer
    class Told(DistillTrainer):
        def _append_metric(self, entry): super()._append_metric(entry); tick()
    P, C = rows(shape, steps); data = [dict(input_ids=torch.tensor(p+c), labels=torch.tensor([-100]*len(p)+c)) for p,c in zip(P, C)]
    train = TrainConfig(output_dir=tempfile.mkdtemp(), lr=LR, max_steps=steps, batch_size=shape.batch, grad_accum=1, log_every=1, warmup_ratio=0., weight_decay=0.)
    trainer = Told(model(shape, "student"), tokenizer(shape.vocab), data, DistillConfig(mode="logit", loss=LossConfig(kind="forward_kl", temperature=1., alpha=1.), train=train), teacher_model=model(shape, "teacher")); tick(); trainer.train()

from functools import partial as _of
VARIANTS = { # name -> what it does
    "kdnb": _of(_kdnb), "kdnb jsd": _of(_kdnb, objective="jsd"), "kdnb bf16": _of(_kdnb, precision="bf16"),
    "kdnb cached": _of(_kdnb, cached=True), "kdnb top-32": _of(_kdnb, cached=True, keep="topk:32"), "kdnb cached bf16": _of(_kdnb, cached=True, precision="bf16"), "kdnb top-32 bf16": _of(_kdnb, cached=True, keep="topk:32", precision="bf16"),
    "kdnb on-policy": _of(_kdnb, objective="gkd", options=dict(beta=0.), share=1.), "kdnb on-policy bf16 x4": _of(_kdnb, objective="gkd", options=dict(beta=0.), share=1., precision="bf16", batches=4),
    "kdnb run": _run, "kdnb by hand": _steps, "kdnb sampler": _answers, "hf generate": _of(_answers, ours=False),
    "distill-anything": _anything, "naive": naive, "trl": _of(_gkd), "trl jsd": _of(_gkd, beta=.5), "trl bf16": _of(_gkd, precision="bf16"), "trl on-policy": _of(_gkd, share=1.),
    "trl distillation": _of(_distillation), "trl distillation bf16 x4": _of(_distillation, precision="bf16", accumulate=4)}
RATIOS = [ # (who, against whom), as many steps of the same rows
    ("kdnb", "trl"), ("kdnb", "naive"), ("kdnb jsd", "trl jsd"), ("kdnb bf16", "trl bf16"), ("kdnb cached", "trl"), ("kdnb top-32", "trl"),
    ("kdnb on-policy", "trl on-policy"), ("kdnb on-policy", "trl distillation"), ("kdnb on-policy bf16 x4", "trl distillation bf16 x4"),
    ("kdnb", "distill-anything"), ("kdnb cached", "distill-anything"), ("kdnb run", "kdnb by hand"), ("kdnb sampler", "hf generate")]
