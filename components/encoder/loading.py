"""One model at a time: transformers loads by patching its own classes, which is not safe between threads.

`from_pretrained` replaces `PreTrainedModel.tie_weights` and puts it back when it is done. Of two threads that
load at once, such as two trials of a search, the second puts the replacement back for good, and from then on
a model with tied weights loads without them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from transformers.utils import logging as transformers_logging

_LOADING = RLock()


@contextmanager
def loading() -> Iterator[None]:
    """Around every `from_pretrained` of a model. transformers reports nothing: it would call a pooler that is
    not used UNEXPECTED, and draw a progress bar per file."""
    with _LOADING:
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        yield
