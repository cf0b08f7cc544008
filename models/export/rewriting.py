"""An artefact with another contract and card, in its own place."""

import shutil
from collections.abc import Callable
from pathlib import Path

from models.contract import (
    MODEL_CARD_PATH,
    Contract,
    atomic,
    file_digests,
    read_contract,
    verify_files,
    write_contract,
)
from models.export.artefact import Measure


def rewrite(artefact: Path, complete: Measure) -> None:
    """Replace the folder in one step, so that a server that watches the store finds one or the
    other. Raises ContractError, and what `complete` raises; nothing has changed then."""
    contract = read_contract(artefact)
    verify_files(artefact, contract)
    with atomic.replacing_folder(artefact) as folder:
        shutil.copytree(artefact, folder, dirs_exist_ok=True)
        write_contract(folder, complete(folder, contract))


def rewrite_card(artefact: Path, change: Callable[[str], str]) -> None:
    """Replace the model card, where there is one, as `rewrite` does."""

    def changed(folder: Path, contract: Contract) -> Contract:
        card = folder / MODEL_CARD_PATH
        if card.is_file():
            atomic.write_text(card, change(card.read_text()))
        return contract.model_copy(update={"files": file_digests(folder)})

    rewrite(artefact, changed)
