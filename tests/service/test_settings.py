"""Settings from the environment and from flags, and what is said when one is wrong."""

import re

import pytest

from service.setting_flags import read_settings, unknown_variables
from service.settings import PREFIX, SettingError, Settings, flag, variable

UNITS = ("_seconds", "_bytes", "_pixels", "_images", "_jobs")


def test_a_variable_and_a_flag_set_the_same_thing_and_the_flag_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGSERVE_MAX_QUEUE_IMAGES", "7")
    assert read_settings([]).max_queue_images == 7
    assert read_settings(["--max-queue-images", "8"]).max_queue_images == 8


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGSERVE_MODELS", "street, nuclei/2,")
    assert read_settings([]).models == ("street", "nuclei/2")
    assert read_settings(["--models", "gray"]).models == ("gray",)


def test_switches_have_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings([]).watch_models
    assert not read_settings(["--no-watch-models"]).watch_models
    monkeypatch.setenv("SEGSERVE_WATCH_MODELS", "false")
    assert not read_settings([]).watch_models


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGSERVE_PORT", "")
    assert read_settings([]).port == 8000


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("SEGSERVE_PORT", "65536", "less than or equal to 65535"),
        ("SEGSERVE_PORT", "http", "valid integer"),
        ("SEGSERVE_MAX_UPLOAD_BYTES", "0", "greater than or equal to 1"),
        ("SEGSERVE_REQUEST_TIMEOUT_SECONDS", "nan", "less than or equal to 86400"),
        ("SEGSERVE_REQUEST_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("SEGSERVE_LOG_FORMAT", "xml", "'auto', 'json' or 'text'"),
        ("SEGSERVE_LAZY_LOADING", "perhaps", "valid boolean"),
        ("SEGSERVE_VERSION_LABELS", "stable", "write label=model/version"),
        ("SEGSERVE_VERSION_LABELS", "stable=street/01", "write label=model/version"),
        ("SEGSERVE_VERSION_LABELS", "a=street/1,a=street/2", "a of street is said twice"),
        ("SEGSERVE_OTLP_TRACES_URL", "collector:4318", "match pattern"),
    ],
)
def test_a_bad_value_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, limit: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as caught:
        read_settings([])
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} (flag --")
    assert f"is {value!r}" in sentence
    assert limit in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("arguments", [["--prot", "80"], ["--port"], ["stray"]])
def test_a_bad_flag_leads_to_the_help(arguments: list[str]) -> None:
    with pytest.raises(SettingError, match="segserve serve --help"):
        read_settings(arguments)


def test_a_slip_of_the_pen_is_found() -> None:
    (sentence,) = unknown_variables(
        {"SEGSERVE_MAX_UPLOAD_BYTE": "1", "SEGSERVE_PORT": "1", "PATH": "/"}
    )
    assert "did you mean SEGSERVE_MAX_UPLOAD_BYTES?" in sentence


def test_what_kubernetes_sets_for_a_service_named_segserve_is_let_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {
        "SEGSERVE_PORT": "tcp://10.0.0.7:8000",
        "SEGSERVE_SERVICE_HOST": "10.0.0.7",
        "SEGSERVE_SERVICE_PORT": "8000",
        "SEGSERVE_SERVICE_PORT_HTTP": "8000",
        "SEGSERVE_PORT_8000_TCP": "tcp://10.0.0.7:8000",
        "SEGSERVE_PORT_8000_TCP_ADDR": "10.0.0.7",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert unknown_variables(given) == []
    assert read_settings([]).port == 8000


def test_help_lists_every_setting_with_its_variable_and_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(["--help"])
    assert caught.value.code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for field, info in Settings.model_fields.items():
        assert f"{flag(field)} " in text or f"{flag(field)}," in text
        assert f"[env: {variable(field)}]" in text
        assert info.description is not None
        assert info.description.split(";")[0][:40] in text
    assert "(default: 8000)" in text


def test_every_number_has_its_unit_in_its_name() -> None:
    unitless = {"port", "threads", "streams", "image_workers", "shadow_share"}
    for field, info in Settings.model_fields.items():
        if info.annotation in (int, float) and field not in unitless:
            assert field.endswith(UNITS), f"{PREFIX}{field.upper()}"
