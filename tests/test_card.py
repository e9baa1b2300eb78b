"Text of a model on a page and in a card: whatever it is, it stays text."
import re
from hypothesis import given, settings, strategies as st
from markdown_it import MarkdownIt
from kdnb.card import _md, _quote, _seen, card, card_text

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
