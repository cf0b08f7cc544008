from benchmarks.ray_report import PAGE, page


def test_the_page_shows_the_results_as_they_are_kept() -> None:
    assert PAGE.read_text() == page()
