"""What people are shown does not mislead the eye, nor command their terminal."""

from contracts.plain import plain


def test_characters_that_mislead_the_eye_are_written_out_and_words_of_any_language_are_not() -> None:
    assert plain("pay \u202e001\u202c to \u200bme\x00\ufeff") == "pay ⟨U+202E⟩001⟨U+202C⟩ to ⟨U+200B⟩me⟨U+0000⟩⟨U+FEFF⟩"
    for text in ("Zahlung für Łódź", "支払い", "שלום", "می‌خواهم", "👩‍💻", "two\nlines\tof it"):
        assert plain(text) == text
