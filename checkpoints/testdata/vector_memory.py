"""The classes of the pickles among these fixtures, with the fields of the Python system's module of this name."""

from dataclasses import dataclass
from typing import Any


@dataclass
class MemoryEntry:
    id: str
    content: str
    compressed_content: Any
    embedding: Any
    metadata: dict
    timestamp: float
    source_file: Any = None
    compression_stats: Any = None


@dataclass(slots=True)
class SlotEntry:
    id: str
    x: float


@dataclass(frozen=True)
class FrozenEntry:
    id: str
    x: float
