"""At which size the network looks at a picture: the rule lies where the trainer asks it too."""

from models.contract.working_size import TOLERANCE, WorkingSize, working_size

__all__ = ["TOLERANCE", "WorkingSize", "working_size"]
