"The page of samples that stands beside a card"
import pytest
from kdnb.card import sample_page
from kdnb.skills import VERIFIERS, Skill
pytestmark = pytest.mark.browser

BAD = "<img src=x onerror=\"document.title='bad'\"><script>document.title='bad'</script>"

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
