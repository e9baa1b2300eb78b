"The walk of a program against Python itself, on plain numbers; and the equations of real solutions."
import ast, json, math, re, subprocess, sys, threading
import pytest
from hypothesis import given, settings, strategies as st
from kdnb.programs import BITS, ProgramError, calculate, check_equations, find_program, run_program

numbers = st.one_of(st.integers(0, 10**6), st.floats(0, 1e6, allow_nan=False).map(lambda x: round(x, 3)), st.sampled_from([True, False])).map(repr)
def grow(inner):
    pair = lambda ops: st.builds("({} {} {})".format, inner, st.sampled_from(ops), inner)
    return st.one_of(pair("+ - * / // %".split()), pair("< <= > >= == !=".split()), pair(["and", "or"]), st.builds("({}**{})".format, inner, st.integers(-3, 3)), st.builds("(-{})".format, inner), st.builds("(not {})".format, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner), st.builds("max({}, {})".format, inner, inner), st.builds("round({}, {})".format, inner, st.integers(-2, 4)), st.builds("sum([{}, {}])".format, inner, inner),
        st.builds("[{}, {}][{}]".format, inner, inner, st.sampled_from([0, 1, -1, 2])), st.builds("abs({})".format, inner), st.builds("len([{}, {}])".format, inner, inner), st.builds("({} < {} < {})".format, inner, inner, inner), st.builds("(2 in [{}])".format, inner))
expressions = st.recursive(numbers, grow, max_leaves=12)
same = lambda a, b: type(a) is type(b) and (a==b or a != a and b != b)

def python(text):
    "What Python makes of it; None where it is an error, or no finite number"
    try: v = eval(text, {"__builtins__": {}}, dict(max=max, round=round, sum=sum, abs=abs, len=len))
    except (ArithmeticError, IndexError, TypeError, ValueError): return None
    return None if isinstance(v, complex) or isinstance(v, float) and not math.isfinite(v) else v

@settings(max_examples=600, derandomize=True, deadline=None)
@given(expressions)
def test_expressions_are_python_s(text):
    want = python(text)
    try: got = run_program(text)
    except ProgramError as e: assert want is None or isinstance(want, int) and want.bit_length() > BITS or "complex" in str(e) or "bits" in str(e), (text, want, e); return
    assert same(got, want), text

@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["=", "+=", "-=", "*="]), expressions), min_size=1, max_size=6), st.integers(0, 3))
def test_programs_are_python_s(lines, turns):
    body = [f"{n} {op} {e}" for n,op,e in lines]
    text = "\n".join(["x = y = z = 1", f"for i in range({turns}):", *("    "+l for l in body), "else:", "    z += 1", "while x > 10**9: x /= 2", "answer = [x, y, z]"])
    names = {}
    try: exec(text, {"__builtins__": {}}, names := dict(range=range, max=max, round=round, sum=sum, abs=abs, len=len)); want = names["answer"]
    except (ArithmeticError, IndexError, TypeError, ValueError): want = None
    try: got = run_program(text)
    except ProgramError: got = None
    if want is None: assert got is None, text
    elif got is not None: assert all(map(same, got, want)), text

@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(list("0123456789+-*/().,%$ x=<>\n[]{}:'\"abif_`")+["for ", "while ", "in ", "range(", "print(", "```", "__", "lambda ", "def solution():\n ", "return "]), max_size=60).map("".join))
def test_any_text_ends_in_words(text):
    for f in (run_program, calculate):
        try: f(text)
        except ProgramError as e: assert str(e)
    assert isinstance(find_program(text), str) and all(isinstance(ok, bool) for _,ok in check_equations(text))

NESTED = {"minus": "-"*9990+"1", "not": "not "*2400+"1", "brackets": "("*9990, "list": "["*4000+"]"*4000, "plus": "1"+"+1"*4900, "power": "1"+"**1"*3200, "else": "1 if 1 else "*800+"1", "elif": "if 1:\n x=1\n"+"elif 1:\n x=1\n"*750,
          "calls": "a"+"()"*4900, "dots": "a"+".b"*4900, "lambda": "lambda:"*1400+"1", "compare": "1"+"<1"*4900, "blocks": "".join(" "*i+"if 1:\n" for i in range(99))+" "*99+"x=1", "f-string": "f'{"+"-"*9000+"1}'", "lines": "(\n"*9000, "semicolons": "x=1;"*4900}
def test_what_nests_too_deep_is_refused_before_python_parses_it():
    "In a thread with a small stack, where Python's parser would take the process down"
    code = f"import sys, threading\nfrom kdnb.programs import *\nthreading.stack_size(512*1024)\nout = []\ndef go():\n    for k,p in {NESTED!r}.items():\n        for f in (run_program, calculate, find_program, check_equations):\n            try: f(p)\n            except ProgramError: pass\n        out.append(k)\nt = threading.Thread(target=go); t.start(); t.join(); print(len(out))"
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, timeout=120)
    assert done.returncode==0 and done.stdout.strip()==str(len(NESTED)), done.stderr[-500:]

def test_nothing_is_executed():
    "No call of eval, exec, compile or __import__ stands in the module, and no attribute of a value is read by a name from the program"
    import kdnb.programs as P
    tree = ast.parse(open(P.__file__, encoding="utf-8").read())
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not calls & {"eval", "exec", "compile", "__import__", "globals", "locals", "vars", "open"}
    got = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id=="getattr"]
    assert got and all(g.startswith("getattr(self, 'e_' + type(") or g.startswith("getattr(self, 's_' + type(") or g.startswith("getattr(node, 'lineno'") for g in got), got

def test_gsm8k_equations(data):
    "Every equation that GSM8K notes is right; and a changed digit is found"
    rows = [json.loads(l)["answer"] for l in open(data/"gsm8k_train_1500.jsonl", encoding="utf-8")]
    notes = [n for r in rows for n in re.findall(r"<<(.*?)>>", r)]
    got = [check_equations(f"<<{n}>>") for n in notes]
    assert len(notes)==4753 and all(len(g)==1 or n.split("=")[0]==n.split("=")[1] for n,g in zip(notes, got)) and all(ok for g in got for _,ok in g)
    wrong = [re.sub(r"(\d)(\D*)$", lambda m: str((int(m[1])+1) % 10)+m[2], n) for n in notes]
    assert not any(ok for n in wrong for _,ok in check_equations(f"<<{n}>>"))
