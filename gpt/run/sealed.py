"""JSON with a checksum of all that it says: an alteration is noticed."""

from __future__ import annotations

import json
from typing import Any

from gpt.run.arrays import checksum


def seal(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata with a checksum of all that they say; spaces and the order of the keys do not count."""
    said = {name: value for name, value in metadata.items() if name != "checksum"}
    return {**said, "checksum": checksum(json.dumps(said, sort_keys=True).encode())}


def is_sealed(metadata: object) -> bool:
    """Return whether it is a JSON object whose checksum is right."""
    return isinstance(metadata, dict) and seal(metadata)["checksum"] == metadata.get("checksum")
