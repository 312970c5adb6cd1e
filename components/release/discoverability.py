"""Which new items a release cannot find by any of their own likely queries."""

from pathlib import Path

from components.contract.files import write_json
from components.encoder.word_pieces import word_pieces
from components.evaluation.undiscoverable import check_split
from components.evaluation.undiscoverable_report import UndiscoverableReport
from components.index.retrieval import ENCODER, open_candidate
from components.index.vectors import read_vectors

CSV, SUMMARY = "undiscoverable.csv", "undiscoverable.json"


def check_release(candidate: Path, vectors: Path, split: Path, k: int, out: Path) -> UndiscoverableReport:
    """Writes undiscoverable.csv and undiscoverable.json into `out`.

    candidate: folder `candidates/<D>`; vectors: the split's catalogue as it encodes it. The items and queries
    are the split's, so two releases that are checked on one split compare.
    """
    index = open_candidate(candidate, candidate.name[:12], vectors)
    report = check_split(
        index,
        split,
        fields=index.fields,
        k=k,
        vectors=read_vectors(vectors)[1],
        unknown_words=word_pieces(candidate / ENCODER),
    )
    report.write_csv(out / CSV)
    write_json(out / SUMMARY, report.as_json())
    return report
