"""How counts are told."""

from miner_assets.logic.threshold_grid import FILTER, Counted, table_head, table_rows

EXACT = Counted(0.3, 40, 80, {"car": 30, "bus": 10}, images=1020, boxes=7)


def test_a_row_has_a_cell_for_every_title() -> None:
    head, (row,) = table_head(FILTER, [EXACT]), table_rows([EXACT])
    assert dict(zip(head, row, strict=True)) == {
        "threshold": "0.3",
        "frames that show a class": "40",
        "share": "50% of 80",
        "images of the dataset": "1,020",
        "boxes of the dataset": "7",
        "car": "30",
        "bus": "10",
    }


def test_what_is_not_known_is_told_apart() -> None:
    assert Counted(0.3, 40, 80, images=20, boxes=10, undetected=3).dataset_cells() == ("20", "≥ 10")
    assert Counted(0.3, 40, 80, images=20, boxes=10, unseen=1, undetected=3).dataset_cells() == ("≈ 20", "≈ 10")
    assert Counted(0.3, 40, 80).dataset_cells() == ("", "")
    rows = [EXACT, Counted(0.1, 60, 80, {"bus": 60}, unseen=1000)]
    assert [row[-1] for row in table_rows(rows)] == ["0", "1,000"]
    assert [row[-2] for row in table_rows(rows)] == ["10", "60"]
    assert table_head(FILTER, rows)[-1] == "not embedded yet"


def test_nothing_at_all_is_no_division_by_zero() -> None:
    assert table_rows([Counted(0.3, 0, 0, images=0, boxes=0)]) == [["0.3", "0", "", "0", "0"]]
