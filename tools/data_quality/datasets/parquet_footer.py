"""What a Parquet file says of its own size, read from its footer before anything is unpacked.

A small file may unpack to very much. The footer is a structure in Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md); of the fields that
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift lists, rows and sizes are read, and the others
passed over. Invariant: reading takes time in proportion to the footer's bytes, whatever they claim.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"PAR1"
_TAIL: Final = 8  # length of the footer, four bytes, and the magic number
MAX_FOOTER_BYTES: Final = 8 * 1_048_576
_MAX_DEPTH: Final = 32

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_VARINTS: Final = (4, 5, 6)

_ROWS, _ROW_GROUPS = 3, 4  # fields of FileMetaData
_GROUP_BYTES, _GROUP_ROWS = 2, 3  # fields of RowGroup


class BadFooter(ValueError):
    """This is no Parquet file, or its footer contradicts itself."""


@dataclass(frozen=True, slots=True)
class Footer:
    """What the footer claims: number of rows, and bytes of all pages without compression."""

    rows: int
    uncompressed_bytes: int


def read_footer(data: bytes) -> Footer:
    """Return what the footer of a whole Parquet file says.

    Raises:
        BadFooter: It is none, or its row groups do not add up to its rows.
    """
    if len(data) < len(MAGIC) + _TAIL or not data.startswith(MAGIC) or not data.endswith(MAGIC):
        raise BadFooter("it does not begin and end as a Parquet file, or is encrypted")
    size = int.from_bytes(data[-_TAIL : -len(MAGIC)], "little")
    if size > min(MAX_FOOTER_BYTES, len(data) - _TAIL - len(MAGIC)):
        raise BadFooter(f"its footer would have {size:,} bytes")
    try:
        return _Reader(data[-_TAIL - size : -_TAIL]).footer()
    except IndexError:
        raise BadFooter("its footer is cut off") from None


class _Reader:
    """Reads Thrift's compact protocol from bytes; every step moves on by at least one of them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def footer(self) -> Footer:
        rows, counted, size = -1, 0, 0
        for field, kind in self._fields():
            if field == _ROWS and kind in _VARINTS:
                rows = self._integer()
            elif field == _ROW_GROUPS and kind == _LIST:
                for group_kind in self._elements():
                    if group_kind != _STRUCT:
                        raise BadFooter("its row groups are none")
                    group_rows, group_bytes = self._row_group()
                    counted += group_rows
                    size += group_bytes
            else:
                self._skip(kind, 0)
        if rows < 0 or rows != counted:
            raise BadFooter(f"its footer says {rows:,} rows, its row groups {counted:,}")
        return Footer(rows, size)

    def _row_group(self) -> tuple[int, int]:
        rows = size = -1
        for field, kind in self._fields():
            if field == _GROUP_ROWS and kind in _VARINTS:
                rows = self._integer()
            elif field == _GROUP_BYTES and kind in _VARINTS:
                size = self._integer()
            else:
                self._skip(kind, 1)
        if rows < 0 or size < 0:
            raise BadFooter("a row group has no size")
        return rows, size

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a structure; whoever takes one reads its value, or passes over it."""
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            yield field, head & 15

    def _elements(self) -> Iterator[int]:
        """Yield the type of each element of a list."""
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        for _ in range(count):
            yield head & 15

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            part = self._byte()
            value |= (part & 127) << shift
            if part < 128:
                return value
            shift += 7
        raise BadFooter("its footer has a number of more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _pass(self, count: int) -> None:
        if count > len(self._data) - self._at:
            raise IndexError
        self._at += count

    def _skip(self, kind: int, depth: int, *, in_list: bool = False) -> None:
        if depth > _MAX_DEPTH:
            raise BadFooter("its footer is nested too deep")
        if kind in (_TRUE, _FALSE):
            self._pass(1 if in_list else 0)
        elif kind == _BYTE:
            self._pass(1)
        elif kind in _VARINTS:
            self._varint()
        elif kind == _DOUBLE:
            self._pass(8)
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind in (_LIST, _SET):
            for element in self._elements():
                self._skip(element, depth + 1, in_list=True)
        elif kind == _STRUCT:
            for _, inner in self._fields():
                self._skip(inner, depth + 1)
        elif kind == _MAP:
            self._skip_map(depth)
        else:
            raise BadFooter(f"its footer has a value of the unknown type {kind}")

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._skip(kinds >> 4, depth + 1, in_list=True)
            self._skip(kinds & 15, depth + 1, in_list=True)
