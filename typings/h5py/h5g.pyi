from collections.abc import Iterator

from h5py.h5l import LinkProxy

class GroupID:
    links: LinkProxy
    def __iter__(self) -> Iterator[bytes]: ...

def open(loc: object, name: bytes) -> GroupID: ...
def create(loc: object, name: bytes, lcpl: object = ..., gcpl: object = ...) -> GroupID: ...
