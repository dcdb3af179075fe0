"""What is known of every asset: addresses, checksums, licence. Read from config/assets.yaml."""

import itertools
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dissection.errors import DissectionError

# safe_load, by the C library where there is one: ten times as fast, and every job reads the profile
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Files(Section):
    """Manifest of the files that are needed from an archive, however it was packed.

    The digest is that of the lines `<sha256>  <path>`, sorted by path. By hand, inside the folder:
    `find <include> -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum`.
    """

    include: list[str] = Field(min_length=1, description="glob patterns below the folder")
    count: int = Field(gt=0, description="number of files")
    bytes: int = Field(gt=0, description="sum of their sizes")
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="digest of the sorted lines `<sha256>  <path>`"
    )


class Download(Section):
    """One published file."""

    urls: list[str] = Field(
        default=[], description="addresses of the same file, in order of preference"
    )
    file: str = Field(
        default="", pattern=r"^[^/\\]*$", description="file name; default: end of the first address"
    )
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", description="of the file")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$", description="of the file")
    sha256_prefix: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{8,63}$",
        description="first digits of the sha256, as torch.hub names files",
    )
    files: Files | None = Field(default=None, description="manifest of what the archive holds")
    checksum: Literal["none"] | None = Field(
        default=None,
        description="`none`: the publisher gives no checksum; the first download is remembered",
    )
    bytes: int | None = Field(default=None, gt=0, description="size of the file, where known")
    about: int | None = Field(
        default=None, gt=0, description="roughly that, where it is not: to plan by"
    )
    unpack: Literal["none", "zip", "tar", "tensorflow"] = Field(
        default="none",
        description="kind of archive; tar: compressed or not; tensorflow: a pickle of networks, of which one is"
        " kept as safetensors",
    )

    @model_validator(mode="before")
    @classmethod
    def _name(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("urls") and not values.get("file"):
            values = {**values, "file": urlsplit(str(values["urls"][0])).path.rsplit("/", 1)[-1]}
        return values

    @model_validator(mode="after")
    def _checksum(self) -> Self:
        known = any((self.sha256, self.md5, self.sha256_prefix, self.files))
        if self.urls and known == (self.checksum == "none"):
            raise ValueError("give sha256, md5, sha256_prefix or files; or else `checksum: none`")
        if self.urls and self.file.lstrip(".") == "":
            raise ValueError("the first address ends in no file name: give `file`")
        if self.files and self.unpack == "none":
            raise ValueError("`files` describes an archive: give `unpack`")
        return self

    @property
    def stem(self) -> str:
        """Name of the folder that the archive is unpacked to."""
        name = self.file
        for suffix in (".gz", ".tgz", ".bz2", ".xz", ".tar", ".zip", ".pkl"):
            name = name.removesuffix(suffix)
        return name if name != self.file else f"{name}.unpacked"


class Entry(Download):
    """One asset: a published file, or `parts`, several of them in one folder."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="name of the asset")
    parts: list[Download] = Field(
        default=[], description="the asset is a folder of these files and unpacked archives"
    )
    status: Literal["published", "not_released", "local"] = Field(
        default="published",
        description="not_released: no public address; local: only a path of the user's",
    )
    licence: str = Field(default="", description="licence as far as stated")
    needed_by: list[str] = Field(
        default=[], description="tables, figures and profiles that need it"
    )
    images: int | None = Field(default=None, gt=0, description="of a dataset: to plan by")
    note: str = Field(default="", description="what to know before getting it by hand")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.status == "published") != bool(self.urls or self.parts):
            raise ValueError(f"status `{self.status}` and addresses contradict one another")
        if self.parts and (self.urls or self.file):
            raise ValueError("give either `urls` or `parts`")
        if self.status != "local" and not (self.licence and self.needed_by):
            raise ValueError("`licence` and `needed_by` are missing")
        return self

    @classmethod
    def local(cls, id: str, sha256: str | None = None) -> Self:
        """An asset that only its user knows: any file or folder given by `path`."""
        return cls(id=id, status="local", sha256=sha256)


def load_registry(path: Path) -> dict[str, Entry]:
    """Every asset by id.

    A key of the file may hold `{name}` with `each: {name: [values]}`: one asset for each combination of values,
    with `{name}` replaced throughout. Raises DissectionError naming the file, the asset and the key.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), YAML)
    except (OSError, yaml.YAMLError) as error:
        raise DissectionError(
            f"{path}: cannot read the registry of assets: {' '.join(str(error).split())}"
        ) from None
    if not isinstance(raw, dict):
        raise DissectionError(f"{path}: expected `id: {{...}}` for every asset")
    entries: dict[str, Entry] = {}
    for pattern, values in raw.items():
        try:
            values = {**values, "id": pattern}
            each = values.pop("each", {})
            for combination in itertools.product(*each.values()):
                entry = Entry.model_validate(
                    _substitute(values, dict(zip(each, combination, strict=True)))
                )
                if entry.id in entries:
                    raise DissectionError(f"{path}: asset `{entry.id}` is defined twice")
                entries[entry.id] = entry
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join([str(pattern), *map(str, first["loc"])])
            raise DissectionError(f"{path}: {key}: {first['msg']}") from None
        except (TypeError, AttributeError):
            raise DissectionError(
                f"{path}: {pattern}: expected a mapping of keys to values"
            ) from None
    return entries


def _substitute(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, names) for item in value]
    if isinstance(value, str):
        for name, replacement in names.items():
            value = value.replace(f"{{{name}}}", str(replacement))
    return value
