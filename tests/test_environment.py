"""One set of versions: requirements.lock pins it, environment.yml and pyproject.toml go by it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCK = {
    canonicalize_name(name): version
    for name, version in (
        line.split("==") for line in Path("requirements.lock").read_text().split()
    )
}
PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
# what an accelerated build of torch brings along; its own metadata pins them
ACCELERATOR = re.compile(r"nvidia-|cuda-|triton$|intel-|setuptools$|pip$")


def test_lock_is_plain_pins():
    for line in Path("requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line), line
    assert LOCK["torch"] == "2.13.0"


def test_lock_is_what_runs_here():
    installed = {canonicalize_name(d.name): d.version.partition("+")[0] for d in distributions()}
    assert {name: installed.get(name) for name in LOCK} == LOCK


def test_lock_is_complete():
    """Whatever a locked package requires is locked too, in a version that it takes; and nothing else is."""
    required = {canonicalize_name(r.name): r for r in closure(declared())}
    assert required.keys() - LOCK.keys() == set(), "required, but not locked"
    assert LOCK.keys() - required.keys() == set(), "locked, but required by nothing"
    for name, requirement in required.items():
        assert requirement.specifier.contains(LOCK[name], prereleases=True), requirement


def test_every_import_is_declared():
    """A fresh environment has what pyproject.toml names, and not what a developer happens to have."""
    named = {canonicalize_name(Requirement(line).name) for line in declared()}
    provided = packages_distributions()
    own = {"dissection", *(path.stem for path in Path("tests").glob("*.py"))}
    for path in [*Path("src").rglob("*.py"), *Path("tests").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(), path)):
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            for module in (m.partition(".")[0] for m in modules):
                if module in sys.stdlib_module_names or module in own:
                    continue
                names = {canonicalize_name(name) for name in provided.get(module, [])}
                assert names & named, f"{path} imports {module}: add it to pyproject.toml"


def closure(lines: list[str]) -> Iterator[Requirement]:
    """The requirements of `lines` and, in turn, of what is installed to meet them."""
    found = {canonicalize_name(d.name): d for d in distributions()}
    waiting = [(Requirement(line), "") for line in lines]
    seen = set()
    while waiting:
        requirement, wanted_by = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": wanted_by}):
            continue
        if ACCELERATOR.match(name):
            continue
        yield requirement
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(Requirement(line), extra) for line in found[name].requires or []]


def declared() -> list[str]:
    return PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]


def test_conda_users_get_the_same():
    environment = yaml.safe_load(Path("environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip == "pip"
    assert packages == {"pip": ["--requirement requirements.lock", "--editable ."]}


def test_torchvision_is_not_needed():
    assert not {"torchvision", "timm", "lpips", "torch-fidelity"} & LOCK.keys()
