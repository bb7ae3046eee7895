"""What the SDK brings for Rust: every text with its place, positions that count bytes, and errors that say where."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps

from componentize_py_types import Err
from wit_world.imports import log
from wit_world.imports.types import Edit, Message, Part, Place, Role


def traced(method: Callable) -> Callable:
    """An exception that the method does not catch leaves a line in the gateway's log: its name, and where it was raised,
    innermost first. The gateway itself learns that the policy trapped and no more. Not its message, which may hold text
    of the request.
    """

    @wraps(method)
    def run(*given):
        try:
            return method(*given)
        except Err:
            raise
        except Exception as error:
            places = []
            trace = error.__traceback__
            while trace is not None:
                code = trace.tb_frame.f_code
                places.append(f"{code.co_qualname} ({code.co_filename}:{trace.tb_lineno})")
                trace = trace.tb_next
            log.write(log.Level.ERROR, " < ".join([type(error).__name__, *reversed(places)]))
            raise

    return run


class Text:
    """The text of one part, and where it stands."""

    def __init__(self, message: int, part: int, role: Role, given: Part) -> None:
        self.message = message
        self.part = part
        self.role = role
        self.kind = given.kind
        # The tool's, of calls and results.
        self.name = given.name
        self.text = given.text
        # Characters that the client of a stream already has: 0 outside streams.
        self.released = len(given.text.encode()[: given.window.released].decode()) if given.window else 0

    def places(self, spans: Iterable[tuple[int, int]]) -> Iterator[Place]:
        """The places of spans of characters, in ascending order and apart from each other.

        The gateway counts bytes of UTF-8, Python counts characters: in `Grüße 😀 x` the `x` is character 8 and
        byte 13. However many spans there are, the text is encoded once.
        """
        character = byte = 0
        for start, end in spans:
            first = byte + len(self.text[character:start].encode())
            character, byte = end, first + len(self.text[start:end].encode())
            yield Place(self.message, self.part, first, byte)

    def edit(self, place: Place, span: tuple[int, int], replacement: str) -> Edit:
        """The edit that puts `replacement` there."""
        return Edit(place, self.text[slice(*span)], replacement)

    def editable(self, span: tuple[int, int]) -> tuple[int, int] | None:
        """What of a span can still be replaced: all of it outside streams, nothing when the client already has the whole
        of it. An edit of more is refused (`bad_edit`). To mask the rest of a match that began in what went out is better
        than to let it go.
        """
        start, end = span
        if start >= self.released:
            return span
        return (self.released, end) if end > self.released else None


def texts(messages: list[Message]) -> Iterator[Text]:
    """Every text of the messages; parts without text are left out."""
    for m, message in enumerate(messages):
        for p, part in enumerate(message.parts):
            if part.text:
                yield Text(m, p, message.role, part)
