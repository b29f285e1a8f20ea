"""What is printed is text, whoever wrote it."""

import io
from contextlib import redirect_stdout

from rich.text import Text

from cli.blocks import value_text
from cli.output import Output


def test_what_others_wrote_commands_no_terminal() -> None:
    stream = io.StringIO()
    with redirect_stdout(stream):
        output = Output.standard()
    output.show(Text.assemble(("Pay 9?", "bold"), "\x1b[1A\x1b[2K"), None)
    output.show(value_text({"to": "acme\x9b2J", "by": "evil\u202e"}), None)
    said = stream.getvalue()
    assert "Pay 9?⟨U+001B⟩[1A⟨U+001B⟩[2K\n" in said
    assert "⟨U+202E⟩" in said
    assert not {"\x1b", "\x9b", "\u202e"} & set(said)
