"""What can go wrong, as a user sees it.

DebutError                  one clear sentence: which file, row or key, and what to do
├── ConfigError             debut.yaml or a command's option is wrong
├── DataError               a source cannot be read, or does not fit the contract
├── QualityError            more bad rows than the tolerance allows
├── LeakageError            a row that is judged, or dated at or after the cut-off, reached training
├── EncoderError            an encoder is unknown, damaged or not what its digest says
├── TrainingError           a rank failed, or its result does not belong to this attempt
├── JudgeError              nothing can be judged: no queries, no new items
├── TrackingError           MLflow cannot be reached or refused a request
├── OrchestrationError      Prefect's server cannot be reached or refused a request
├── MonitoringError         there is nothing to compare: no reference, no traffic
├── StorageError            disk full, object gone, permission denied
└── PromotionError          the decision log refuses the act
    └── FencedError         another run promoted first: this one was judged against an older champion

Anything else that escapes is a defect of ours and shows its traceback.
"""


class DebutError(Exception):
    """A failure whose message a user can act on without reading a traceback."""


class ConfigError(DebutError):
    """The configuration or a command's option is wrong."""


class DataError(DebutError):
    """A source cannot be read, or its rows do not fit the data contract."""


class QualityError(DebutError):
    """More rows were quarantined than the tolerance allows."""


class LeakageError(DebutError):
    """Something that is judged, or lies past the cut-off, reached training."""


class EncoderError(DebutError):
    """An encoder is unknown, damaged or not what its digest says."""


class TrainingError(DebutError):
    """A rank failed, or its result does not belong to this attempt."""


class JudgeError(DebutError):
    """There is nothing to judge."""


class TrackingError(DebutError):
    """The tracking server cannot be reached or refused a request."""


class OrchestrationError(DebutError):
    """Prefect's server cannot be reached or refused a request."""


class MonitoringError(DebutError):
    """There is nothing to compare: no reference, no traffic."""


class StorageError(DebutError):
    """A file or object cannot be read or written."""


class PromotionError(DebutError):
    """The decision log refuses the act."""


class FencedError(PromotionError):
    """Another run promoted first: this one was judged against an older champion."""
