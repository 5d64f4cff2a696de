"""From the click to the login prompt: the browser story measures it, with the eyes of a person."""
from tests.bench.figures import Figure


def measure() -> list[Figure]:
    return [Figure(name="prompt: click → login prompt", value="see the story's own line", goal="≤ 15 s",
                   compared='make test ARGS="-s tests/stories/test_by_browser.py"')]
