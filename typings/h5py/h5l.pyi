from collections.abc import Callable

from h5py.h5g import GroupID

TYPE_EXTERNAL: int
TYPE_HARD: int
TYPE_SOFT: int

class LinkInfo:
    type: int
    u: int

class LinkProxy:
    def get_info(self, name: bytes) -> LinkInfo: ...
    def get_val(self, name: bytes) -> bytes: ...
    def iterate(self, func: Callable[[bytes, LinkInfo], None], *, info: bool = ...) -> None: ...
    def create_hard(self, new: bytes, group: GroupID, name: bytes) -> None: ...
