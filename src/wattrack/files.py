"""Files that are never seen half written."""

from pathlib import Path


def written_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step: a reader finds the old content or the new one, never a part."""
    anew = path.with_name(f"{path.name}.new")
    anew.write_bytes(data)
    anew.replace(path)
