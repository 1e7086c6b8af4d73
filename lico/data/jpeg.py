"""The height in a JPEG file's header: a smaller one, and the rows below are never decoded."""

START_OF_FRAME = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; all Huffman-coded
START_OF_SCAN = 0xDA
HEIGHT_AT = 5  # bytes after the marker's first: marker 2, length 2, precision 1
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def cut_below(content: bytes, rows: int) -> bytes:
    """The same file, saying that it is `rows` high.

    Every scan of a JPEG runs from the top to the bottom, so a decoder stops after the rows that
    the header names and skips what follows. Only where chroma is interpolated across the new edge
    does the last row or two differ from those of the whole image.

    Args:
        content: of a JPEG file.
        rows: height to say, in pixels, at least 1.

    Returns:
        The content itself if it is no higher, or its header is not understood.
    """
    place = _height_place(content)
    if place is None or int.from_bytes(content[place : place + 2], "big") <= rows:
        return content
    return content[:place] + rows.to_bytes(2, "big") + content[place + 2 :]


def _height_place(content: bytes) -> int | None:
    """Where the two bytes of the height lie."""
    place = 2
    while place + HEIGHT_AT + 2 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in START_OF_FRAME:
            return place + HEIGHT_AT
        if marker == START_OF_SCAN:
            return None
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None
