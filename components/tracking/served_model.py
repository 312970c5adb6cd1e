"""The model version's own code: MLflow keeps a copy of this file and runs it when the model is loaded.

So it reads its artifact, a candidate's folder, by itself: a copy in an old version must go on reading the
folder it was logged with. The encoder and the index come from the installed `debut` package (no code is
carried along), which has to be there where the model is loaded; only safetensors, JSON and Parquet are read.
"""

import json
from pathlib import Path

import mlflow
import polars as pl
from mlflow.pyfunc import PythonModel, PythonModelContext
from pydantic import BaseModel

from components.contract.ports import Request
from components.encoder.transformer import TransformerEncoder
from components.index.exact import ExactIndex
from components.index.vectors import ITEMS_FILE, read_vectors


class Hit(BaseModel):
    """One item of an answer."""

    item_id: str
    title: str
    score: float
    """Cosine of the query's and the item's vector."""


class ServedModel(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Queries → per query the best items of the catalogue it was judged on, best first.

    `load_model(uri, model_config={"k": 50})` sets how many; 10 if not given.
    """

    def load_context(self, context: PythonModelContext) -> None:
        folder = Path(context.artifacts["candidate"])
        item_ids, vectors = read_vectors(folder / "index")
        self.titles: list[str] = pl.read_parquet(folder / "index" / ITEMS_FILE).get_column("title").to_list()
        encoder = TransformerEncoder.load_saved(folder / "encoder")
        scoring = json.loads((folder / "retrieval.json").read_bytes())["history_scoring"]
        self.index = ExactIndex("candidate", item_ids, vectors, encoder, scoring)
        self.k = int(context.model_config["k"])

    def predict(self, model_input: list[str]) -> list[list[Hit]]:
        requests = [Request(str(number), text=query) for number, query in enumerate(model_input)]
        ranking = self.index.search(requests, self.k)
        return [
            [self._hit(row, score) for row, score in zip(rows, scores, strict=True) if row >= 0]
            for rows, scores in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
        ]

    def _hit(self, row: int, score: float) -> Hit:
        return Hit(item_id=self.index.item_ids[row], title=self.titles[row], score=score)


mlflow.models.set_model(ServedModel())
