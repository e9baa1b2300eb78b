"Write README.md from nbs/index.ipynb: `python tools/readme.py`; with --check, only say whether it is up to date."
import json, sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTE = "<!-- Made from nbs/index.ipynb by tools/readme.py. Change it there. -->\n\n"

def readme(nb):
    "Markdown of a notebook: prose as it is, code in fences, cells flagged `#| hide` left out"
    out = []
    for c in nb["cells"]:
        s = "".join(c["source"]).strip()
        if not s or s.startswith("#| hide"): continue
        out.append(s if c["cell_type"]=="markdown" else f"```python\n{s}\n```")
    return NOTE + "\n\n".join(out).replace("](images/", "](nbs/images/") + "\n"

if __name__=="__main__":
    want, at = readme(json.loads((ROOT/"nbs/index.ipynb").read_text(encoding="utf-8"))), ROOT/"README.md"
    if "--check" in sys.argv: sys.exit("" if at.read_text(encoding="utf-8")==want else "README.md differs from nbs/index.ipynb: run python tools/readme.py")
    at.write_text(want, encoding="utf-8")
