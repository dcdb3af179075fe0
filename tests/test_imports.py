"""Imports go one way, and the four verbs do not import one another."""

from dissection.sources import PACKAGE, imports

ORDER = [  # a module imports from its own room, and from those on the lines before
    "errors paths sources",
    "files style",
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
            assert room == own or place[room] < place[own], f"{module} imports {imported}"
