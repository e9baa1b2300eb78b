"Package metadata lives in settings.ini; this file only hands it to setuptools."
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup, find_packages

cfg = ConfigParser(delimiters=["="])
cfg.read(Path(__file__).with_name("settings.ini"))
cfg = cfg["DEFAULT"]

setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"], keywords=cfg["keywords"],
    author=cfg["author"], license=cfg["license"], license_files=["LICENSE"],
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=f">={cfg['min_python']}",
    packages=find_packages(include=["kdnb", "kdnb.*"]), include_package_data=True,
    package_data={"kdnb": ["data/**/*"]},
    install_requires=cfg["requirements"].split(),
    extras_require={n: cfg[f"{n}_requirements"].split() for n in ("lora", "dev", "bench")},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
)
