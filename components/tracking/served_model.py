"""The model version's own code: MLflow keeps a copy of this file and runs it when the model is loaded.

So it reads its artifact, a candidate's folder, by itself: a copy in an old version must go on reading the
folder it was logged with. The encoder and the index come from the installed `debut` package (no code is
carried along), which has to be there where the model is loaded; nothing that is read can run code.
"""

from pathlib import Path

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext
from pydantic import BaseModel

from components.contract.ports import Request
from components.index.retrieval import open_candidate


class Hit(BaseModel):
    """One item of an answer."""

    item_id: str
    title: str
    score: float
    """Cosine of the query's and the item's vector, plus the weighted lexical score where the plan has one."""


class ServedModel(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Queries → per query the best items of the catalogue it was judged on, best first.

    `load_model(uri, model_config={"k": 50})` sets how many; 10 if not given.
    """

    def load_context(self, context: PythonModelContext) -> None:
        self.index = open_candidate(Path(context.artifacts["candidate"]), "candidate")
        self.k = int(context.model_config["k"])

    def predict(self, model_input: list[str]) -> list[list[Hit]]:
        requests = [Request(str(number), text=query) for number, query in enumerate(model_input)]
        ranking = self.index.search(requests, self.k)
        return [
            [self._hit(row, score) for row, score in zip(rows, scores, strict=True) if row >= 0]
            for rows, scores in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
        ]

    def _hit(self, row: int, score: float) -> Hit:
        item = self.index.item(row)
        return Hit(item_id=item["item_id"], title=item["title"], score=score)


mlflow.models.set_model(ServedModel())
