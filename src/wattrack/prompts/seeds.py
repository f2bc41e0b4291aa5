"""Seeds that are pure functions of what they are for."""

import hashlib
import json


def derived_seed(*parts: object) -> int:
    """A 63-bit seed that is a pure function of its parts."""
    text = json.dumps([str(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
