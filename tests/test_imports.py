"""Imports go one way, the four verbs do not import one another, and what their JOBS name is there."""

from pathlib import Path

import pytest

from dissection.cli import _jobs
from dissection.config import Config, load
from dissection.errors import DissectionError
from dissection.sources import PACKAGE, imports

ORDER = [  # a module imports from its own room, and from those on the lines before
    "errors paths sources",
    "adam files parts style",
    "assets stats published",
    "config",
    "data",
    "networks",
    "segment",
    "probe dissected",
    "features generated",
    "dissect intervene omit rewrite evaluate",
    "report",
    "plan recording",
    "cli",
]


def test_imports_go_one_way():
    place = {room: i for i, line in enumerate(ORDER) for room in line.split()}
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        own = module.split(".")[1]
        for imported in imports(module.removesuffix(".__init__")):
            room = imported.split(".")[1]
            assert room in place, f"{room}: not in ORDER"
            assert room == own or place[room] < place[own], f"{module} imports {imported}"


@pytest.mark.parametrize("verb", ["intervene", "omit", "rewrite"])
def test_jobs_are_of_rows_of_the_profile(verb):
    smoke = load(Path("config/smoke.yaml"))
    with pytest.raises(
        DissectionError, match=r"row fig_3_5: no job; choices: (\w+(, )?)+"
    ) as error:
        _jobs(smoke, verb, "fig_3_5", "no job")
    for row in str(error.value).rpartition(": ")[2].split(", "):
        assert all(map(callable, _jobs(smoke, verb, row, "")))
        with pytest.raises(DissectionError, match=f"row {row}: no job; choices: none"):
            _jobs(Config(profile="empty"), verb, row, "no job")
