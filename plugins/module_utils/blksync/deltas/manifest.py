# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The manifest of a delta: its length, its hash, and the contents before and after it. Pure.

The manifest is a JSON object in DELTA.json, so that blocksync-fast still reads the delta itself. A content is named by
its ContentHash. The parent of a delta that holds all blocks is empty.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ..errors import DeltaError, FileFormatError
from ..formats.header import Header

FORMAT = 1
SUFFIX = ".json"


@dataclass(frozen=True)
class Manifest:
    """``length`` and ``sha256`` are the delta file's; sizes are bytes, ``blocks`` is how many the delta changes."""

    length: int
    sha256: str
    parent: str
    result: str
    data_size: int
    block_size: int
    algorithm: str
    blocks: int
    created: int
    format: int = FORMAT

    def to_json(self) -> str:
        """For the file beside the delta."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def parse(text: str, path: str) -> Manifest:
    """The manifest in a file's text. Raises FileFormatError."""
    try:
        manifest = Manifest(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise FileFormatError(path, "it is no manifest of a delta") from error
    numbers: tuple[object, ...] = (
        manifest.length,
        manifest.data_size,
        manifest.block_size,
        manifest.blocks,
        manifest.created,
    )
    texts: tuple[object, ...] = (manifest.sha256, manifest.parent, manifest.result, manifest.algorithm)
    if (
        manifest.format != FORMAT
        or not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise FileFormatError(path, "it is no manifest of a delta that this version reads")
    return manifest


def check(manifest: Manifest, path: str, header: Header, length: int, sha256: str) -> None:
    """Raise FileFormatError unless the delta at ``path`` is the file that the manifest was written for."""
    if length != manifest.length:
        raise FileFormatError(path, "it has %d bytes of %d" % (length, manifest.length), "Transfer it again.")
    if sha256 != manifest.sha256:
        raise FileFormatError(path, "its content is not what was made", "Transfer it again.")
    if (header.data_size, header.block_size) != (manifest.data_size, manifest.block_size):
        raise FileFormatError(path, "its header does not say what its manifest says")


@dataclass(frozen=True)
class Survey:
    """What was found by reading an image through: its content as it is, and as it would be with the delta applied."""

    current: str
    applied: str
    blocks_changed: int = 0
    bytes_changed: int = 0


def is_needed(manifest: Manifest, survey: Survey, fresh: bool, resumed: bool) -> bool:
    """Whether the delta is to be applied; False if the image is its result already.

    ``fresh``: the image was made for this delta. ``resumed``: an earlier attempt with this delta did not come to its
    end, so that the image may be anything between parent and result. Raises DeltaError for any other image.
    """
    if survey.current == manifest.result:
        return False
    if survey.applied == manifest.result and (
        fresh or resumed or (manifest.parent and survey.current == manifest.parent)
    ):
        return True
    if not manifest.parent:
        raise DeltaError(
            "The image has another content, and the delta holds everything: it begins a chain.",
            "Remove the image and set create to true, if it shall be replaced.",
        )
    raise DeltaError(
        "The delta leads from %s to %s, and the image is at %s." % (manifest.parent, manifest.result, survey.current),
        "It is for another image, or another delta comes first. Apply that one, or begin a new chain: remove the "
        "image here and the digest at its source.",
    )
