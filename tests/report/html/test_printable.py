from pgolf.report.html.printable import printable


def test_what_could_move_or_hide_text_is_spelt_and_the_rest_is_as_it_was():
    assert printable("naïve Σp ‖W‖² 日本\n") == "naïve Σp ‖W‖² 日本\n"
    assert printable("\x1b[0m\x00\u202e\udcff\ud800") == "\\x1b[0m\\x00\\u202e\\xff\\ud800"
