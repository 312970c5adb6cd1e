"""One model at a time: transformers loads by patching its own classes, which is not safe between threads.

`from_pretrained` replaces `PreTrainedModel.tie_weights` and puts it back when it is done. Of two threads that
load at once, such as two trials of a search, the second puts the replacement back for good, and from then on
a model with tied weights loads without them.
"""

from threading import RLock

LOADING = RLock()
