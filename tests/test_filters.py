"Filters and search on inputs that hypothesis makes, and on real data where it lies beside the project."
import collections, json, random, re
import pytest
from hypothesis import given, settings, strategies as st
from kdnb.filters import FILTERS, SETTINGS, _f1, _jaccard, _lcs, _shingles, _words, diversity, near_duplicates, novelty, overlap_with, sift, tally, tell
from kdnb.retrieve import bm25, chunks
from kdnb.skills import VERIFIERS, DataError, Skill

examples = lambda n: settings(max_examples=n, derandomize=True, deadline=None)
word = st.sampled_from(["a", "b", "c", "ä", "ß", "Ü1", "the", "日本", "don't", "x_y", "-", "7"]); text = st.lists(word, max_size=14).map(" ".join)
rows = lambda prompts, completions=None: [dict(prompt=p, completion=c) for p,c in zip(prompts, completions or [None]*len(prompts))]

def lcs_slow(a, b):
    row = [0]*(len(b)+1)
    for x in a:
        last = 0
        for j,y in enumerate(b): last, row[j+1] = row[j+1], last+1 if x==y else max(row[j], row[j+1])
    return row[-1]

@examples(300)
@given(st.lists(word, max_size=90), st.lists(word, max_size=90))
def test_subsequence(a, b): assert _lcs(a, b)==lcs_slow(a, b)==_lcs(b, a)

@examples(200)
@given(st.lists(text, max_size=25), st.lists(text, max_size=8), st.sampled_from((.1, .3, .5, .6, 2/3, .7, .8, 1.)))
def test_bound_changes_nothing(prompts, pool, t):
    "What the index rules out would not have been found: the same decisions as all pairs with a table each"
    there, want = [_words(p) for p in pool], []
    for w in map(_words, prompts):
        want.append(not any(w and q and 2*lcs_slow(w, q)/(len(w)+len(q)) >= t for q in there))
        if want[-1]: there.append(w)
    see = novelty(t, pool)
    assert [see(p) is None for p in prompts]==want

@examples(60)
@given(st.lists(st.tuples(text, text), max_size=14), st.sampled_from((.2, .5, .8, 1.)), st.integers(0, 2**63))
def test_no_pair_below_is_dropped(pairs, t, seed):
    rs = rows(*zip(*pairs)) if pairs else []
    why = near_duplicates(rs, t, seed=seed); stays = [r for r,w in zip(rs, why) if w is None]
    for r,w in zip(rs, why): assert w is None or any(all(_jaccard(_shingles(r[k]), _shingles(s[k])) >= t for k in ("prompt","completion")) for s in stays)
    for i,r in enumerate(rs): assert why[i] or not any(r==s for s in rs[:i])    # what is equal always goes

@examples(100)
@given(st.lists(st.tuples(text, text, st.sampled_from(("stop", "length", "refused"))), min_size=1, max_size=12), st.permutations([k for k in SETTINGS if k not in ("right","heldout")]), st.integers(1, 12))
def test_every_row_is_accounted_for(given_, order, n):
    rs = [dict(prompt=p, completion=c, finish=f) for p,c,f in given_]
    try: stays, drops = sift(rs, **{k: SETTINGS[k][1] for k in order[:n]})
    except DataError as e: stays, drops = [], e.drops; assert "left none" in str(e)
    assert len(stays)+len(drops)==len(rs) and [r for r in rs if any(r is s for s in stays)]==stays
    assert sorted((d["prompt"], d["completion"]) for d in drops)==sorted((r["prompt"], r["completion"]) for r in rs if not any(r is s for s in stays))
    assert tally(drops, len(rs))["removed"].sum()==len(drops) and len(tell(drops, len(rs)))==len({d["filter"] for d in drops})

@examples(100)
@given(text, st.integers(1, 9))
def test_pieces(t, n): assert [w for c in chunks(t, n) for w in c.split()]==t.split()

def test_maths_holds_out_other_problems():
    "The packaged word problems: no eight words of a held-out one stand in a seed, and every answer is what its own sums come to"
    from kdnb.skills import load_skill
    s = load_skill("maths"); grams = lambda r: {tuple(w[i:i+8]) for t in (r["prompt"], r["completion"]) for w in [_words(t)] for i in range(len(w)-7)}
    assert len(s.heldout) >= 8 and not set().union(*map(grams, s.seeds)) & set().union(*map(grams, s.heldout)) and not len(overlap_with(s.seeds, s.heldout, 8))
    for r in s.seeds+s.heldout:
        said, last = r["completion"].split("\n#### "); sums = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", said)
        assert sums and sums[-1][3]==last and all({"+": int(a)+int(b), "-": int(a)-int(b), "*": int(a)*int(b), "/": int(a)/int(b)}[op]==int(c) for a,op,b,c in sums), r
        assert s.verify(r["prompt"], r["completion"], last) and s.right(r["prompt"], "So it is "+last, r["completion"])

# --- real data

@pytest.fixture
def tasks(data): return [dict(prompt=r["instruction"], completion=r["instances"][0]["output"]) for r in map(json.loads, open(data/"self_instruct_seed_tasks.jsonl"))]
@pytest.fixture
def sums(data): return [dict(prompt=r["question"], completion=r["answer"], gold=r["answer"].split("####")[1].strip()) for r in map(json.loads, open(data/"gsm8k_train_1500.jsonl"))]
gone = lambda name, rs, setting, **kw: [i for i,w in enumerate(FILTERS[name](rs, setting, **kw)) if w]

def test_people_write_what_filters_keep(tasks, sums):
    "No person's answer declines, copies or turns in circles; few prompts are alike"
    for rs in (tasks, sums):
        for k,v in dict(refusals=True, copies=True, loops=.5, cut=True, near_duplicates=.8).items(): assert gone(k, rs, v)==[], k
    assert len(gone("novel", tasks, .7))==2 and len(gone("novel", sums, .7))==1
    assert collections.Counter(w.partition(": ")[0] for w in FILTERS["heuristics"](tasks, True) if w)=={"prompt of fewer than 4 words": 2, "prompt for a program": 1}
    assert len(gone("heuristics", sums, True))==31    # "files" and "pictures" are words of sums too: these rules are for instructions

def test_what_is_novel_is_below_by_the_reference(tasks):
    "All pairs that stay, by rouge_score"
    from rouge_score.rouge_scorer import RougeScorer
    class Words:
        def tokenize(self, text): return _words(text)
    s, out = RougeScorer(["rougeL"], tokenizer=Words()), set(gone("novel", tasks, .5))
    stays = [t["prompt"] for i,t in enumerate(tasks) if i not in out]
    assert len(out)==11 and max(s.score(a, b)["rougeL"].fmeasure for i,a in enumerate(stays) for b in stays[:i]) < .5

def test_a_pool_of_thousands(sums):
    "4,500 prompts, each in three wordings: one small edit is found again, another question is not"
    rng = random.Random(0); reword = lambda q: (lambda w: " ".join(w[:i]+["really"]+w[i:]) if (i := rng.randrange(len(w))) is not None else "")(q["prompt"].split())
    see = novelty(.7, [q["prompt"] for q in sums])
    assert all(see(reword(q)) for _ in range(2) for q in sums) and see("A question that nobody has asked before about bees.") is None

def test_near_duplicates_that_were_planted(sums):
    rng = random.Random(0)
    def edit(q): w = q.split(); w[rng.randrange(len(w))] = "many"; return " ".join(w).upper()
    rs = rows([q["prompt"] for q in sums]+[edit(q["prompt"]) for q in sums])
    alike = [i for i in range(1500, 3000) if _jaccard(_shingles(rs[i]["prompt"]), _shingles(rs[i-1500]["prompt"])) >= .8]
    out = gone("near_duplicates", rs, .8)
    assert len(alike) > 1000 and set(out) <= set(alike) and len(out) > .99*len(alike)

def test_right_and_majority_on_sums(sums):
    skill = Skill("gsm", "", [], [], verify=VERIFIERS["number"], parse=lambda t: t.rpartition("####")[2].strip() or None)
    wrong = [r | dict(completion=f"#### {float(r['gold'].replace(',', ''))+1}") for r in sums]
    assert gone("right", sums, True, skill=skill)==[] and len(gone("right", wrong, True, skill=skill))==len(sums)
    three = [x for a,b in zip(sums, wrong) for x in (a, b, a)]
    assert gone("majority", three, True, skill=skill)==list(range(1, 3*len(sums), 3)) and len(gone("majority", sums+wrong, True, skill=skill))==2*len(sums)

def test_leaks_into_held_out_data(sums):
    held, train = sums[:300], sums[300:]
    twins = overlap_with(train, held, 13)
    assert list(twins["row"])==[654] and twins["prompt"][0].startswith("Pam has 10 bags of apples")    # the data has this question twice, with and without "10": found by itself
    train.pop(654)
    leaks = [dict(prompt=held[5]["prompt"].upper()), dict(prompt="Solve: "+held[7]["prompt"]), dict(prompt="?", completion="As I know, "+held[9]["completion"])]
    found = overlap_with(train+leaks, held, 13)
    assert list(found["row"])==[1199, 1200, 1201] and list(found["heldout"])==[5, 7, 9] and found["how"][0]=="the same prompt"
    stays, drops = sift(train+leaks, None, held, heldout=13)
    assert len(stays)==1199 and len(drops)==3

def test_every_question_finds_itself(sums):
    search = bm25([r["prompt"] for r in sums])
    assert all(search(r["prompt"], 1)[0][0]==i for i,r in enumerate(sums)) and search("zzzz", 2)==[(0, 0.), (1, 0.)]

def test_people_are_more_diverse_than_a_template(tasks, sums):
    a, b = diversity([r["prompt"] for r in tasks]), diversity([r["prompt"] for r in sums[:175]])
    assert a["self_rouge_l"] < diversity([f"Write a poem about {w}." for w in "bees seas trees kings".split()])["self_rouge_l"] and a["distinct_2"] > .7 and 0 < b["self_rouge_l"] < .2
