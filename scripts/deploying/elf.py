"""What an ELF file needs to run: its processor, its loader, its libraries, and which versions of their functions.

Read from the dynamic segment, as the loader does, not from section headers, which a stripped file may lack. The layout is that of
elf(5) and, for versions, of the Linux Standard Base ("Symbol Versioning").
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MACHINES = {62: "x86_64", 183: "aarch64", 40: "arm", 3: "i386", 243: "riscv64"}

# Segment kinds, and tags of the dynamic segment.
_LOAD, _DYNAMIC, _INTERP = 1, 2, 3
_NEEDED, _STRTAB, _SYMTAB, _VERSYM, _VERNEED, _VERNEEDNUM = 1, 5, 6, 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
# The tables that can follow the symbols: strings, hash tables, relocations, versions.
_TABLES = (4, _STRTAB, 7, 17, 23, 36, 0x6FFFFEF5, _VERSYM, _VERNEED, 0x6FFFFFFC)


class NotElf(ValueError):
    """The file is no ELF file for 64-bit little-endian Linux, or is cut off."""


@dataclass
class Elf:
    """What was read."""

    machine: str
    interpreter: str = ""
    needed: list[str] = field(default_factory=list)
    versions: dict[str, list[str]] = field(default_factory=dict)
    """Version such as `GLIBC_2.34` to the functions that are asked for in it."""
    libraries: dict[str, str] = field(default_factory=dict)
    """Version to the library that is to have it."""

    def newest(self, prefix: str = "GLIBC_") -> str:
        """The newest version with that prefix, as `2.34`; empty if there is none."""
        found = [name.removeprefix(prefix) for name in self.versions if name.startswith(prefix)]
        return max((v for v in found if v[:1].isdigit()), key=numbers, default="")


def numbers(version: str) -> tuple[int, ...]:
    """`2.34` as numbers, which compare as versions do."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def read(path: Path) -> Elf:
    """Reads the file."""
    data = path.read_bytes()
    try:
        return _Reader(data).read()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NotElf(f"{path} is cut off or damaged: {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        # Address in memory, offset in the file, length.
        self._loads: list[tuple[int, int, int]] = []
        self._strings = 0

    def read(self) -> Elf:
        data = self._data
        if data[:4] != b"\x7fELF" or data[4:6] != b"\x02\x01":
            raise NotElf("it is no ELF file of 64 bits, least significant byte first")
        machine, offset = struct.unpack_from("<18xH12xQ", data)
        size, count = struct.unpack_from("<HH", data, 54)
        elf = Elf(MACHINES.get(machine, f"number {machine}"))
        dynamic = None
        for number in range(count):
            kind, _, place, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + number * size)
            if kind == _LOAD:
                self._loads.append((address, place, length))
            elif kind == _INTERP:
                elf.interpreter = data[place : place + length].rstrip(b"\0").decode()
            elif kind == _DYNAMIC:
                dynamic = (place, length)
        if dynamic is not None:
            self._dynamic(elf, *dynamic)
        return elf

    def _dynamic(self, elf: Elf, place: int, length: int) -> None:
        needed, tags = [], {}
        for at in range(place, place + length, 16):
            tag, value = struct.unpack_from("<QQ", self._data, at)
            if tag == 0:
                break
            if tag == _NEEDED:
                needed.append(value)
            else:
                tags[tag] = value
        if _STRTAB in tags:
            self._strings = self._offset(tags[_STRTAB])
            elf.needed = [self._string(value) for value in needed]
        if _VERNEED in tags:
            names = self._versions(elf, self._offset(tags[_VERNEED]), tags[_VERNEEDNUM])
            if _VERSYM in tags and _SYMTAB in tags:
                self._symbols(elf, tags, names)

    def _versions(self, elf: Elf, at: int, count: int) -> dict[int, str]:
        """The versions asked for, by the number that symbols refer to them with."""
        names = {}
        for _ in range(count):
            _, entries, library, first, following = struct.unpack_from("<HHIII", self._data, at)
            entry = at + first
            for _ in range(entries):
                _, _, number, name, after = struct.unpack_from("<IHHII", self._data, entry)
                names[number & 0x7FFF] = self._string(name)
                elf.versions.setdefault(self._string(name), [])
                elf.libraries[self._string(name)] = self._string(library)
                entry += after
            at += following
        return names

    def _symbols(self, elf: Elf, tags: dict[int, int], names: dict[int, str]) -> None:
        versions, symbols = self._offset(tags[_VERSYM]), self._offset(tags[_SYMTAB])
        for number in range(self._symbol_count(tags)):
            (version,) = struct.unpack_from("<H", self._data, versions + 2 * number)
            name, _, _, section = struct.unpack_from("<IBBH", self._data, symbols + 24 * number)
            # Section 0 is undefined: wanted from another file.
            if section == 0 and version & 0x7FFF in names:
                elf.versions[names[version & 0x7FFF]].append(self._string(name))

    def _symbol_count(self, tags: dict[int, int]) -> int:
        """No tag says it. Hash tables know defined symbols only; but some table follows the symbols in every linker's layout."""
        begin = tags[_SYMTAB]
        end = min((tags[tag] for tag in _TABLES if tags.get(tag, 0) > begin), default=begin)
        return (end - begin) // 24

    def _offset(self, address: int) -> int:
        for begin, place, length in self._loads:
            if begin <= address < begin + length:
                return address - begin + place
        raise NotElf(f"nothing of the file lies at address {address:#x}")

    def _string(self, index: int) -> str:
        begin = self._strings + index
        return self._data[begin : self._data.index(b"\0", begin)].decode()


def all_functions(elf: Elf, version: str) -> Iterator[str]:
    """The functions asked for in one version, in the order of the alphabet."""
    yield from sorted(elf.versions.get(version, []))
