from types import SimpleNamespace

from components.tracking.served_model import Hit, ServedModel


def test_answers_are_hits_best_first(candidate_folder):
    """Each query gets k items with title and score in descending order; a query without words gets none."""
    model = ServedModel()
    model.load_context(SimpleNamespace(artifacts={"candidate": str(candidate_folder)}, model_config={"k": 2}))
    first, empty = model.predict(["garden hammer", " "])
    assert len(first) == 2
    assert first[0] == Hit(item_id="e", title="garden hammer", score=first[0].score)
    assert abs(first[0].score - 1.0) < 1e-6  # the query is the item's text
    assert first[0].score >= first[1].score
    assert empty == []
