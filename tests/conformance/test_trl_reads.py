"TRL's own trainers take what is elicited, as it is: prompt and completion to SFTTrainer, chosen and rejected to DPOTrainer."
import copy
import pytest
from kdnb.elicit import conversations, elicit
from kdnb.recipe import Recipe, Stage
from kdnb.students import load_student
from kdnb.teachers import load_tiny

@pytest.fixture(scope="module")
def tiny(): return load_tiny()

def rows(tiny, stage): return elicit(Recipe(student="layers:2", stages=[stage]), teacher=tiny, student=load_student("layers:2", tiny))

def steps(trainer): trainer.train(); return [x["loss"] for x in trainer.state.log_history if "loss" in x]

def settings(kind, to, **kw): return kind(output_dir=str(to), max_steps=2, per_device_train_batch_size=4, logging_steps=1, report_to=[], use_cpu=True, bf16=False, disable_tqdm=True, save_strategy="no", **kw)

@pytest.mark.parametrize("form", ["text", "conversations"])
def test_sft_trainer(libraries, tiny, tmp_path, form):
    from trl import SFTConfig, SFTTrainer
    k = rows(tiny, Stage(elicit=["labeling"], objective={"ce": 1}, prompts=8, samples=2)); k = k if form=="text" else conversations(k)
    seen = SFTTrainer(model=load_student("layers:2", tiny).model, args=settings(SFTConfig, tmp_path, max_length=96), train_dataset=k, processing_class=tiny.tokenizer)
    n = len(tiny.tokenizer(elicit_text(k[0]), add_special_tokens=False)["input_ids"])
    counted = next(v for name,v in seen.train_dataset[0].items() if name in ("completion_mask", "assistant_masks", "labels"))
    assert len(steps(seen))==2 and sum(x not in (0, -100) for x in counted) in (n, n+1)    # the loss stands on the completion, its end token perhaps included

def elicit_text(r): return r["completion"] if isinstance(r["completion"], str) else r["completion"][0]["content"]

@pytest.mark.parametrize("form", ["text", "conversations"])
def test_dpo_trainer(libraries, tiny, tmp_path, form):
    from trl import DPOConfig, DPOTrainer
    k = rows(tiny, Stage(elicit=["feedback"], objective={"dpo": 1}, prompts=8, samples=4)); k = k if form=="text" else conversations(k)
    student = load_student("layers:2", tiny).model
    got = steps(DPOTrainer(model=student, ref_model=copy.deepcopy(student), args=settings(DPOConfig, tmp_path, max_length=96), train_dataset=k, processing_class=tiny.tokenizer))
    assert len(got)==2 and abs(got[0]-.6931) < .02    # before the first step nothing is preferred
