from benchmarks.servers import INT8, PEERS
from benchmarks.tune_peers import tried


def test_every_setting_tried_is_one_that_the_peer_reads() -> None:
    shared = (PEERS / "shared" / "segmentation.py").read_text()
    for name, settings in tried(cores=2).items():
        texts = shared + "".join(
            file.read_text() for file in (PEERS / name.removesuffix(INT8)).glob("*.py")
        )
        for variables in settings:
            for variable in variables:
                assert f'"{variable}"' in texts or variable.startswith("RAY_SERVE_"), (
                    name,
                    variable,
                )


def test_every_peer_is_pinned_by_version_and_hash() -> None:
    for name in tried(cores=2):
        text = (PEERS / name.removesuffix(INT8) / "requirements.txt").read_text()
        pinned = [line for line in text.splitlines() if line and not line.startswith(" ")]
        assert pinned
        assert all("==" in line for line in pinned)
        assert text.count("--hash=sha256:") >= len(pinned)
        assert "://" not in text
