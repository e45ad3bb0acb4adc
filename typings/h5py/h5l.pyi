TYPE_EXTERNAL: int

class LinkInfo:
    type: int

class LinkProxy:
    def get_info(self, name: bytes) -> LinkInfo: ...
