"Text of a model on a page and in a card: whatever it is, it stays text."
import re
from browser.conftest import browser, page    # noqa: F401, fixtures
import pytest
from hypothesis import given, settings, strategies as st
from markdown_it import MarkdownIt
from kdnb.card import _md, _quote, _seen, card, card_text, sample_page
from kdnb.skills import VERIFIERS, Skill

pieces = st.sampled_from(["<", ">", "&", "&amp;", "&#60;", "\\", "`", "```", "~~~", "*", "**", "_", "[", "](", ")", "!", "#", "# ", "|", "|---|", "-", "---", "===", "+ ", "1. ", "9) ", ": ", "    ", "\t", " ", "\n", "\n\n", "\r", "\x0b", "\x85", "\u2028", "\u202e", "\x00", "<b>", "<!--", "-->", "<script>", "</x>",
    "http://a.example", "www.a.example", "me@a.example", "javascript:x", "![", "[^1]", "$", "a", "word", "ä", "\ud800", "x=y"])
text = st.lists(pieces, max_size=14).map("".join)
PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
reader = MarkdownIt("commonmark", dict(html=True)).enable(["table", "strikethrough"])

def kinds(md):
    out = set()
    def walk(ts):
        for t in ts: out.add(t.type); walk(t.children or [])
    walk(reader.parse(md)); return out

@settings(max_examples=600, derandomize=True, deadline=None)
@given(text)
def test_markdown_sees_text_alone(t):
    assert kinds(_md(t)) <= PLAIN and kinds("before\n\n"+_quote(t)+"\n\nafter") <= PLAIN | {"blockquote_open", "blockquote_close", "hardbreak", "softbreak"}
    said = "".join(c.content for x in reader.parse(_md(t)) for c in x.children or [])
    assert said==" ".join(_seen(t).split())    # and the reader sees what the model wrote

@settings(max_examples=40, derandomize=True, deadline=None)
@given(text, text)
def test_card_of_anything(a, b):
    md = card_text(card([dict(prompt=a, completion=b, method=b, teacher=a), dict(prompt=b, chosen=a, rejected=b)], [dict(filter=a, reason=b, prompt=a, completion=b)], heldout=[dict(prompt=a, gold=b)]))
    front, body = md.split("---\n", 2)[1:]
    assert not kinds(body) & {"html_inline", "html_block", "image", "code_inline", "code_block", "fence", "em_open", "s_open", "hr", "ordered_list_open"}
    assert re.findall(r"^#+ .*$", body, re.M)==[l for l in body.split("\n") if l.startswith("#")] and body.count("\n## ")==7 and 1 <= body.count("\n### ") <= 2

BAD = "<img src=x onerror=\"document.title='bad'\"><script>document.title='bad'</script>"

@pytest.mark.browser
def test_page_in_a_browser(tmp_path, page):
    "Text shows as text, nothing is asked for, buttons choose, and it fits a phone"
    rows = [dict(prompt=f"What is {i}+{i}? {BAD}", completion=f"{2*i+i%2} {BAD} 7" if i==3 else str(2*i+i%2), gold=str(2*i), method=("labeling", "expansion > labeling")[i//4], teacher=BAD, source={"note": BAD}) for i in range(6)]
    rows.append(dict(prompt="Which?", candidates=[BAD, "x"*3000], scores=[.1, .9], chosen="a", rejected=BAD, method="feedback"))
    f = tmp_path/"samples.html"; f.write_text(sample_page(rows, f"Samples {BAD}", Skill("sums", "", [], [], verify=VERIFIERS["number"])), encoding="utf-8")
    page.context.set_offline(True); page.goto(f.as_uri()); page.wait_for_timeout(300)
    assert page.urls==[f.as_uri()] and page.errors==[] and page.title()==f"Samples {BAD}"
    assert page.locator("img, script").count()==0 and BAD in page.locator("article").nth(3).inner_text()
    seen = lambda: page.locator("article:visible").count()
    assert seen()==7
    page.locator("label", has_text="expansion").click(); assert seen()==2
    page.locator("label", has_text="✓ right").click(); assert seen()==1 and "✓ right" in page.locator("article:visible").inner_text()
    page.locator("label", has_text="feedback").click(); assert seen()==0 and page.get_by_text("No row of this method").is_visible()
    page.locator("fieldset label").first.click(); page.locator("label", has_text="✗ wrong").click(); assert seen()==3
    page.locator("label", has_text="not known").click(); page.locator("summary").click(); assert page.locator("tr.best").inner_text().count("x")==3000
    page.set_viewport_size(dict(width=400, height=800)); assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert float(page.locator(".prompt").last.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 16
