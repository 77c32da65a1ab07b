# Copyright (c) 2026, blksync.backup contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The table of all options: each is a field of a request, declared once with its kind, default and limits.

The modules' argument specs, the command line and the job files are made from this table. A unit test compares the
documentation, the role and the playbook with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Iterator, Mapping, Type, TypeVar

from ..errors import InvalidRequestError
from .engines import FEATURES, HOLES, LIMIT, RANGES, supports
from .kinds import (
    DISK,
    DISKS,
    FLAG,
    NUMBER,
    PARTITIONS,
    PATH,
    RATE,
    TEXT,
    option,
    options_of,
    raise_all,
    read_all,
    required,
    same_as,
)

ALL, USED = SCOPES = ("all", "used")
LIVE = "live"
ENGINES = tuple(FEATURES)
BLOCK_SIZES = tuple(4096 << power for power in range(9))  # bytes: to 1 MiB, the native engine's window
# Checksums of at least 128 bits: shorter ones would sometimes miss a changed block.
ALGORITHMS = (
    "auto",
    "XXH128",
    "BLAKE2B_256",
    "BLAKE2B_384",
    "BLAKE2B_512",
    "BLAKE2S_256",
    "SHA256",
    "SHA384",
    "SHA512",
    "SHA3_256",
    "SHA3_384",
    "SHA3_512",
)
DAY = 24 * 3600  # seconds
WEEK = 7 * DAY

AnyRequest = TypeVar("AnyRequest", bound="Request")


class Request:
    """What the user asked for. ``check``, which is no option, is Ansible's check mode: write nothing."""

    @classmethod
    def read(
        cls: Type[AnyRequest],
        values: Mapping[str, Any],
        later: Collection[str] = (),
        named: Callable[[str], str] = str,
        **more: Any,
    ) -> tuple[AnyRequest, list[InvalidRequestError]]:
        """The request of these values, in any form that a door has, and everything that is wrong with them.

        The request is of use only if nothing is wrong. The options ``later`` are missing on purpose, and None in the
        request; ``named`` writes the name of an option as the user does; ``more`` are the fields that are no options.
        """
        options = {name: known for name, known in options_of(cls).items() if name not in later}
        read, errors = read_all(options, values, named)
        blank = {name: None for name, known in options_of(cls).items() if known.required}
        make: Any = cls
        request: AnyRequest = make(**{**blank, **read}, **more)
        return request, [*errors, *request.conflicts()]

    @classmethod
    def of(
        cls: Type[AnyRequest], values: Mapping[str, Any], check: bool = False, named: Callable[[str], str] = str
    ) -> AnyRequest:
        """As ``read``, but raises InvalidRequestError for everything that is wrong."""
        request, errors = cls.read(values, named=named, check=check)
        raise_all(errors)
        return request

    def validate(self) -> None:
        """Raise InvalidRequestError for all that makes no sense."""
        raise_all(self.read({name: getattr(self, name) for name in options_of(type(self))})[1])

    def conflicts(self) -> Iterator[InvalidRequestError]:
        """Values that make sense, but not together."""
        yield from ()


@dataclass(frozen=True)
class CopyRequest(Request):
    """What partitions and images have in common. ``source`` and ``target`` are as the user wrote them."""

    source: object
    target: object
    engine: str = option(TEXT, "auto", choices=ENGINES, help="the engine that compares and copies; auto means native")
    quiesce: str = option(TEXT, "auto", choices=("auto", "freeze", "none"))
    quiesce_timeout: int = option(
        NUMBER,
        3600,
        minimum=1,
        maximum=WEEK,  # a guardian waits with poll(2), which takes no more than 24 days
        metavar="SECONDS",
        help="longest time that sources may be frozen or unmounted",
    )
    scope: str = option(TEXT, ALL, choices=SCOPES, help="used: copy only blocks that a mounted file system uses")
    verify: str = option(TEXT, "auto", choices=("auto", "full"), help="full: read back every byte of the target")
    allow_damaged_source: bool = option(FLAG, False, help="copy a source whose file system has recorded errors")
    block_size: int = option(
        NUMBER,
        BLOCK_SIZES[0],
        choices=BLOCK_SIZES,
        metavar="BYTES",
        help="unit in which differences are written: a power of 2 up to %d" % BLOCK_SIZES[-1],
    )
    compare: bool = option(FLAG, True, help="write every block without reading the target first")
    rate_limit: int = option(
        RATE, 0, metavar="BYTES", help="most bytes a second that are read, and that are written; 0 for no limit"
    )
    protected: tuple[object, ...] = option(DISKS, (), metavar="DISK", help="a disk never to write; may be repeated")
    check: bool = False

    @property
    def live(self) -> bool:
        """Whether to copy while the source is in use, if that is possible."""
        return False

    @property
    def live_only(self) -> bool:
        """Whether a source in use that cannot be copied live is an error."""
        return False

    def conflicts(self) -> Iterator[InvalidRequestError]:
        """See Request."""
        if self.scope == USED and not supports(self.engine, RANGES):
            yield InvalidRequestError(
                "blocksync-fast copies whole partitions only.", "Use the engine native for scope used."
            )
        if self.rate_limit and not supports(self.engine, LIMIT):
            yield InvalidRequestError(
                "blocksync-fast cannot limit its rate.", "Use the engine native to limit the rate."
            )


@dataclass(frozen=True)
class SyncRequest(CopyRequest):
    """One sync of disks. ``source``, ``target`` and ``protected`` are identifiers (see discovery.identifiers).

    ``partitions`` are numbers, or ``partitions.EVERY`` for each partition that the source has.
    """

    source: object = field(
        metadata=required(DISK, metavar="DISK", help="the main disk: PTUUID, serial:..., wwn:..., /dev/disk/by-id/...")
    )
    target: object = field(metadata=required(DISK, metavar="DISK", help="the backup disk, which is written"))
    quiesce: str = option(
        TEXT,
        "auto",
        choices=("auto", LIVE, "freeze", "none"),
        help="how to copy a source in use consistently",
    )
    partitions: tuple[int, ...] | str = option(
        PARTITIONS, (1, 2), metavar="N,N|all", help="partitions to sync: numbers, or all of them"
    )
    quiesce_fallback: bool = option(FLAG, True, help="with --quiesce live: fail instead of freezing for the whole copy")
    power_off: bool = option(FLAG, False, help="power the backup disk off at the end")
    discard_changes: bool = option(FLAG, False, help="overwrite what somebody else changed on the backup disk")

    @property
    def live(self) -> bool:
        """See CopyRequest."""
        return self.quiesce in ("auto", LIVE)

    @property
    def live_only(self) -> bool:
        """See CopyRequest."""
        return self.quiesce == LIVE and not self.quiesce_fallback


@dataclass(frozen=True)
class ImageRequest(CopyRequest):
    """One sync of images or devices, by their paths. ``keep`` counts former generations.

    ``digest_dir`` is a directory or empty, ``digest_max_age`` in seconds; 0 there and in ``digest_full_every`` means no
    limit.
    """

    source: str = field(metadata=required(PATH))
    target: str = field(metadata=required(PATH))
    create: bool = option(FLAG, False)
    punch_zeros: bool = option(FLAG, False)
    keep: int = option(NUMBER, 0, minimum=0)
    digest_dir: str = option(PATH, "")
    digest_max_age: int = option(NUMBER, 30 * DAY, minimum=0)
    digest_full_every: int = option(NUMBER, 100, minimum=0)
    algorithm: str = option(TEXT, "auto", choices=ALGORITHMS)

    def conflicts(self) -> Iterator[InvalidRequestError]:
        """See Request."""
        yield from super().conflicts()
        if self.punch_zeros and not supports(self.engine, HOLES):
            yield InvalidRequestError("blocksync-fast cannot punch holes.", "Use the engine native to punch holes.")


@dataclass(frozen=True)
class DeltaRequest(Request):
    """One delta to be made or applied. ``image`` is what is read or written; all paths are absolute.

    ``digest``, ``algorithm``, ``block_size`` and quiescing are for making, ``create`` and ``protected`` for applying,
    ``rate_limit`` is for both.
    """

    image: str = field(metadata=required(PATH))
    delta: str = field(metadata=required(PATH))
    digest: str = option(PATH, "")
    algorithm: str = same_as(ImageRequest, "algorithm")
    block_size: int = same_as(ImageRequest, "block_size")
    quiesce: str = same_as(ImageRequest, "quiesce")
    quiesce_timeout: int = same_as(ImageRequest, "quiesce_timeout")
    rate_limit: int = same_as(ImageRequest, "rate_limit")
    create: bool = same_as(ImageRequest, "create")
    protected: tuple[object, ...] = same_as(ImageRequest, "protected")
    check: bool = False
