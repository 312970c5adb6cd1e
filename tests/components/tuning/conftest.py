"""The training tests' small shop and specifications, for trials that are really trained."""

import importlib.util
from pathlib import Path

_FILE = Path(__file__).parents[1] / "training" / "conftest.py"
_spec = importlib.util.spec_from_file_location("training_fixtures", _FILE)
_training = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_training)

one_thread, shop, make_spec = _training.one_thread, _training.shop, _training.make_spec
