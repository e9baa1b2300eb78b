"What a server names while it replies, and what teachers with other tokens name, becomes what a student learns from"
import json, random
import pytest, torch
from safetensors.torch import load_file
from test_api import Server
from kdnb.align import piece_tokenizer
from kdnb.api import ApiTeacher, read_reply
from kdnb.elicit import collect
from kdnb.knowledge import feature
from kdnb.recipe import Api, Recipe, RecipeError
from kdnb.replies import Recorded
from kdnb.sparse import keeper
from kdnb.students import load_student
from kdnb.teachers import LM, load_tiny
from kdnb.tiny import WORLD, tiny_config
from kdnb.train import check, distill

def naming(lm, top):
    "A server's answer: what the model says, and the likeliest tokens at each place, as OpenAI's protocol has them"
    at = lambda ids: [dict(token=t, bytes=list(t.encode())) for t in ids]
    def answer(n, ask):
        reply = lm.say([ask["messages"]], ask["temperature"], ask["max_tokens"], ask["seed"])[0]; ids = reply.ids; prompt = lm.prompt_ids(ask["messages"])
        logp = (feature(lm, dict(prompt_ids=[prompt], completion_ids=[ids])) @ lm.words.detach().T); logp = logp.float().log_softmax(-1)
        word = lambda i, first: "<eos>" if i in lm.ends else " "*(not first)+lm.tokenizer.decode([i])
        token = lambda i, v, k: dict(token=word(i, k==0), logprob=float(v), bytes=None)
        content = [{**token(i, logp[k,i], k), "top_logprobs": [token(j, v, k) for v,j in zip(*(x.tolist() for x in logp[k].topk(top)))]} for k,i in enumerate(ids)]
        return dict(choices=[dict(index=0, finish_reason="stop" if ids[-1] in lm.ends else "length", message=dict(role="assistant", content=reply.text), logprobs=dict(content=content))])
    return answer

@pytest.fixture(scope="module")
def tiny(): return load_tiny()

@pytest.fixture
def server(tiny): s = Server(naming(tiny, 5)); yield s; s.stop()

def saved(lm, to): lm.model.save_pretrained(to); lm.tokenizer.save_pretrained(to); return str(to)

@pytest.fixture(scope="module")
def readers(tiny, tmp_path_factory):
    "Two students: one with the teacher's tokens, one with pieces of its own"
    from transformers import LlamaForCausalLM
    to = tmp_path_factory.mktemp("students"); other = piece_tokenizer([" ".join(WORLD.sample("tell", random.Random(i))) for i in range(400)], 400, tiny.tokenizer)
    other.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    torch.manual_seed(0); cfg = tiny_config(1, 32, 2); cfg.vocab_size = len(other); cfg.eos_token_id = other.eos_token_id
    return saved(load_student("tiny-s", tiny, 0), to/"same"), saved(LM(LlamaForCausalLM(cfg), other, "other"), to/"other")

def recipe(teacher, student, **more):
    stage = dict(elicit=["labeling", "feature"], objective={"fkl": 1.}, keep="tail:5", samples=2, prompts=8, steps=20, batch=8, lr=1e-2, max_new_tokens=24) | more.pop("stage", {})
    return Recipe(teacher=teacher, student=student, skill="tiny-tell", stages=[stage], evaluation=dict(prompts=4, samples=2, max_new_tokens=24, every=0), **more)

def test_a_servers_names_are_its_distribution(server, readers, tiny, tmp_path):
    notes = []; run = distill(recipe(server.name, readers[0], api=dict(top=5)), tmp_path, [lambda e: notes.append(e.get("text", ""))])
    import datasets
    at = run.folder/"knowledge"/"stage0-round0"; rows, kept = datasets.load_from_disk(str(at)), load_file(at/"teacher.safetensors")
    want = feature(tiny, rows, keep=keeper(tiny.words, "tail:5"))
    assert len(rows)==16 and torch.equal(kept["ids"][:,0], want.ids[:,0].int()) and (kept["logp"].exp()-want.logp.exp()).abs().max() < 1e-3
    assert any(t.startswith("100% of") for t in notes) and run.history.loss.iloc[-1] < run.history.loss.dropna().iloc[0]*.7

def test_into_other_tokens(server, readers, tmp_path):
    notes = []; run = distill(recipe(server.name, readers[1], api=dict(top=5)), tmp_path, [lambda e: notes.append(e.get("text", ""))])
    share = next(int(t.partition("%")[0]) for t in notes if "tokens have what" in t)
    assert 50 < share < 100 and run.history.loss.iloc[-1] < run.history.loss.dropna().iloc[0]*.8 and run.state=="done"

@pytest.mark.parametrize("fuse", ["", ";min_ce"])
def test_teachers_that_share_no_vocabulary(readers, tiny, tmp_path, fuse):
    told = [WORLD.sample("tell", random.Random(i)) for i in range(60)]; (tmp_path/"told.jsonl").write_text("".join(json.dumps(dict(prompt=p, completion=c))+"\n" for p,c in told))
    run = distill(recipe(f"ensemble:0.7*tiny,0.3*{readers[1]}{fuse}", readers[0], data=dict(source=str(tmp_path/"told.jsonl")), stage=dict(elicit=["feature"], prompts=16)), tmp_path)
    kept = load_file(run.folder/"knowledge"/"stage0-round0"/"teacher.safetensors"); mass = kept["logp"].exp().sum(1)
    assert run.state=="done" and (mass <= 1+1e-5).all() and run.history.loss.iloc[-1] < run.history.loss.dropna().iloc[0]
    import datasets
    rows = datasets.load_from_disk(str(run.folder/"knowledge"/"stage0-round0")); own = feature(tiny, rows, keep=keeper(tiny.words, "tail:5"))
    there = [i for i in range(len(mass)) if kept["ids"][i,0]==own.ids[i,0]]; p, q = kept["logp"][there,0].exp(), own.logp[there,0].exp()
    assert len(there) > .8*len(mass) and (torch.allclose(p, q, atol=1e-3) if fuse else ((p-.7*q).min() > -1e-3 and (p-.7*q).mean() < .31))    # min-CE hears the teacher who knows the language

def test_what_was_said_without_names(readers, tmp_path):
    names = naming(load_tiny(), 5); s = Server(lambda n,ask: dict(choices=[{k: v for k,v in names(n, ask)["choices"][0].items() if k != "logprobs"}]))
    with pytest.raises(ValueError, match="named no log-probabilities"): distill(recipe(s.name, readers[0], api=dict(top=5)), tmp_path)
    s.stop()

def test_refusals(readers, tmp_path):
    api = "api:m@http://127.0.0.1:9/v1"
    for f,word in ((lambda: recipe(api, readers[0]), "Set api.top to 5"), (lambda: recipe(api, readers[0], stage=dict(keep="tail:30")), "20 at most"), (lambda: recipe(api, readers[0], stage=dict(keep="all")), "Choose keep tail:5 with api.top 5"),
                   (lambda: recipe(api, readers[0], api=dict(top=5), stage=dict(temperature=2.)), "at 1"), (lambda: recipe(api, readers[0], api=dict(top=5), stage=dict(keep="sampled:5")), "Choose keep tail:5"),
                   (lambda: recipe(api, readers[0], api=dict(top=5), stage=dict(objective={"hidden_l2": 1.})), "needs the teacher's hidden")):
        with pytest.raises(RecipeError, match=word): f()
    with pytest.raises(RecipeError, match="no common word"): distill(recipe(f"ensemble:tiny,{readers[1]}", readers[0], stage=dict(keep="all")), tmp_path)

@pytest.mark.parametrize("name", ["<|eom_id|>", "<｜end▁of▁sentence｜>", "[EOS]"])
def test_an_end_by_any_name(tiny, readers, tmp_path, name):
    names = naming(tiny, 5); s = Server(lambda n,ask: json.loads(json.dumps(names(n, ask), ensure_ascii=False).replace("<eos>", name))); notes = []
    run = distill(recipe(s.name, readers[0], api=dict(top=5), stage=dict(steps=2)), tmp_path, [lambda e: notes.append(e.get("text", ""))]); s.stop()
    assert run.state=="done" and any(t.startswith("100% of") for t in notes)

def test_min_ce_where_the_best_is_elsewhere(readers, tmp_path):
    "The teacher that speaks alone stands inside a token, where the other does not"
    told = [WORLD.sample("tell", random.Random(i)) for i in range(60)]; (tmp_path/"told.jsonl").write_text("".join(json.dumps(dict(prompt=p, completion=c))+"\n" for p,c in told))
    assert distill(recipe(f"ensemble:tiny,{readers[1]};min_ce", readers[1], data=dict(source=str(tmp_path/"told.jsonl")), stage=dict(elicit=["feature"], prompts=8, steps=2)), tmp_path).state=="done"

@pytest.mark.parametrize("bad", [800, float("inf"), True, "x", None, 10**400])
def test_no_log_probability(bad):
    "A number that is none costs the reply its names, and nothing else"
    at = [dict(token="a", logprob=-.1, bytes=None, top_logprobs=[]), dict(token="b", logprob=bad, bytes=None, top_logprobs=[])]
    reply, _ = read_reply(json.dumps(dict(choices=[dict(message=dict(content="ab"), finish_reason="stop", logprobs=dict(content=at))])))
    assert reply.text=="ab" and reply.said is None and reply.top is None

def test_the_key_is_nowhere(monkeypatch, tmp_path):
    key = "sk-0123456789abcdef"; monkeypatch.setenv("OPENAI_API_KEY", key); at = lambda t: dict(token=t, logprob=-.1, bytes=None, top_logprobs=[dict(token=t, logprob=-.1, bytes=None)])
    s = Server(lambda n,ask: dict(choices=[dict(finish_reason="stop", message=dict(content=f"it is {key}"), logprobs=dict(content=[at("it is "), at(key)]))]))
    r = Recorded(ApiTeacher(s.name, Api(top=2)), tmp_path/"j.jsonl").say([[dict(role="user", content="x")]]); s.stop()
    assert r[0].text=="it is [key]" and key not in (tmp_path/"j.jsonl").read_text()

def test_a_set_holds_what_a_stage_keeps(server, readers, tiny, tmp_path):
    import datasets
    for teacher,student,api in (("tiny", "tiny-s", {}), (server.name, readers[0], dict(top=5))):
        folder = collect(recipe(teacher, student, api=api), tmp_path/str(len(api))); rows = datasets.load_dataset("parquet", data_files=str(folder/"data.parquet"), cache_dir=str(tmp_path/"cache"))["train"]
        want = feature(tiny, rows, keep=keeper(tiny.words, "tail:5")); got = torch.tensor([x for r in rows for x in r["kept_logps"]]); assert got.shape==want.logp.shape and (got.exp()-want.logp.exp()).abs().max() < 1e-3

def test_answers_without_names_are_refused_early(readers, tmp_path):
    api = "api:m@http://127.0.0.1:9/v1"; (tmp_path/"t.jsonl").write_text("".join(json.dumps(dict(prompt=f"tell of {w}", completion="the sea ."))+"\n" for w in ("sea","farm","hill","lake","town","moor","cave","port","mill","park")))
    data = dict(source=str(tmp_path/"t.jsonl"))
    for r,word in ((recipe(api, readers[0], api=dict(top=5), data=data, stage=dict(elicit=["feature"])), "the data's own"), (recipe(api, readers[0], api=dict(top=5), stage=dict(elicit=["self_knowledge", "feature"])), "the student answers"),
                   (recipe(f"replay:{tmp_path/'t.jsonl'}", readers[0]), "holds no log-probabilities")):
        with pytest.raises(RecipeError, match=word): check(r)
    with pytest.raises(RecipeError, match="sampled:5"): distill(recipe(f"ensemble:tiny,{readers[1]}", readers[0], stage=dict(keep="sampled:5")), tmp_path)

def test_a_journal_changes_nobody_s_tokens(readers, tiny, tmp_path):
    "A recorded teacher is the model behind it: its own tokens encode, whatever the student reads"
    import datasets
    r = recipe("tiny", readers[1]); sets = [collect(r, tmp_path/str(record), record=record) for record in (False, True)]
    a, b = (datasets.load_dataset("parquet", data_files=str(f/"data.parquet"), cache_dir=str(tmp_path/"cache"))["train"] for f in sets)
    assert a["completion_ids"]==b["completion_ids"] and a["kept_ids"]==b["kept_ids"] and a["completion_ids"][0]==tiny.completion_ids(a["completion"][0])
