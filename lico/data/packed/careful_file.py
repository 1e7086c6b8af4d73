"""A file for the HDF5 library that bears a full disk."""

import io


class CarefulFile:
    """A file for HDF5 that keeps a write error to itself until the library is done.

    The HDF5 library crashes when it closes a file on a full disk; so it is told that all is
    well, and whoever writes asks `raise_error`.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    def write(self, data: memoryview) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        while len(rest) and self.error is None:
            try:
                rest = rest[self.file.write(rest) :]
            except OSError as error:
                self.error = error
        return length

    def truncate(self, size: int) -> int:
        if self.error is None:
            try:
                return self.file.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def read(self, size: int) -> bytes:
        return self.file.read(size) or b""

    def readinto(self, buffer: memoryview) -> int:
        return self.file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def flush(self) -> None:
        """Nothing is buffered here."""
