"That the tools which look for what keyboard and screen reader lack find it"
import pytest
from .a11y import check, colours, controls, nameless, picture, unreached
pytestmark = pytest.mark.browser

GOOD = """<main id=p><button>Start</button><button disabled>Stop</button><label for=t>Teacher</label><select id=t><option>tiny</select><label><input type=checkbox>warm</label>
<details><summary>5 losses hidden: why?</summary><button>inside</button></details><div role=slider tabindex=0 aria-label=rate aria-valuenow=1>x</div><button aria-expanded=true>Training</button></main>"""

def test_stops_have_role_name_and_state(page):
    page.set_content("<button>before</button>"+GOOD+"<button>after</button>")
    assert [(s["role"], s["name"]) for s in check(page, "#p")]==[("button","Start"), ("combobox","Teacher"), ("checkbox","warm"), ("DisclosureTriangle","5 losses hidden: why?"), ("slider","rate"), ("button","Training")]
    assert controls(page, "#p")[-1]["expanded"] is True and page.locator("#a11y-start").count()==0
    page.set_content("<button>x</button><button>x</button><input aria-label=y>"); assert [s["name"] for s in check(page)]==["x","x","y"]    # a page that is all panel: Tab goes round

@pytest.mark.parametrize("lack,said", [("<select><option>x</select>", "no name"), ("<button title=''><i>\uf04b</i></button>", "no name"), ("<div style='cursor:pointer'>Teacher: tiny</div>", "does not reach"),
    ("<button tabindex=-1>x</button>", "does not reach"), ("<button style='opacity:1;position:absolute;width:0;height:0;padding:0;border:0;overflow:hidden'>x</button>", "not seen")])
def test_what_is_lacking_is_found(page, lack, said):
    page.set_content(f"<main id=p>{GOOD}{lack}</main>")
    with pytest.raises(AssertionError, match=said): check(page, "#p")

def test_what_ipywidgets_lack(lab, page):
    "Why the panel has no Accordion and no sliders as they come"
    lab.open(page, lab.write("a.ipynb", "import ipywidgets as w\nw.VBox([w.Accordion([w.Text(description='Path')], titles=['Teacher']), w.IntSlider(description='Steps'), w.Dropdown(options=['tiny'], description='Student'), w.Tab([w.HTML('x'), w.HTML('y')], titles=['Curves','Samples'])]).add_class('probe')"))
    lab.run_all(page); page.locator(".probe [role=slider]").wait_for()
    stops = controls(page, ".probe")
    assert [(s["role"], s["name"]) for s in stops if s not in nameless(stops)]==[("combobox","Student"), ("tab","Curves")]
    assert {s["role"] for s in nameless(stops)}=={"slider","generic"}    # handle and readout
    assert len(hidden := unreached(page, ".probe"))==1 and "Collapse-header" in hidden[0]

def test_colours_as_others_see_them(page):
    page.set_content("<body style='margin:0;background:#fff'><div style='height:300px;background:#0072B2'></div><div style='height:300px;background:#D55E00'></div>")
    as_is, grey, deutan = (colours(page, picture(page, f"colours-{x}", x)) for x in ("none","achromatopsia","deuteranopia"))
    assert {"0072b2","d55e00","ffffff"} <= as_is.keys()
    assert len(grey)==3 and all(c[:2]==c[2:4]==c[4:] for c in grey) and len(deutan)==3 and deutan.keys()!=as_is.keys()
    assert colours(page, picture(page)).keys()==as_is.keys()
