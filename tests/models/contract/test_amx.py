from models.contract.amx import VARIABLE, avoid_amx


def test_amx_is_left_out() -> None:
    environment: dict[str, str] = {}
    avoid_amx(environment)
    assert environment == {VARIABLE: "AVX512_CORE_FP16"}


def test_an_operator_s_own_cap_is_kept() -> None:
    environment = {VARIABLE: "AVX2"}
    avoid_amx(environment)
    assert environment == {VARIABLE: "AVX2"}
