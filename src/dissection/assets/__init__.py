"""Assets: files from outside, fetched once, verified, and found again by everything downstream.

    registry = load_registry(Path("config/assets.yaml"))
    fetch(registry["broden1_227"], out, downloads=None, own=None, record=record)
    asset_path(record)        # the file, or the folder that an archive was unpacked to

registry: what is known of an asset (`Entry`). fetch: its one way into place. download: HTTP. unpack: archives.
The user's own copy, if there is one, is verified and used where it lies.
"""

from dissection.assets.fetch import asset_path, fetch, in_downloads, write_record
from dissection.assets.registry import Download, Entry, Files, load_registry

__all__ = [
    "Download",
    "Entry",
    "Files",
    "asset_path",
    "fetch",
    "in_downloads",
    "load_registry",
    "write_record",
]
