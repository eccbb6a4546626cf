from mmnet.training.lineage import count_steps


def test_steps_go_on_and_earlier_data_sets_stay():
    a, b = {"path": "A", "manifest_sha256": "a"}, {"path": "B", "manifest_sha256": "b"}
    first = count_steps([a], [], 10)
    assert first == [dict(a, steps=10)]
    assert count_steps([a, b], first, 5) == [dict(a, steps=15), dict(b, steps=5)]
    assert count_steps([b], first, 5) == [dict(b, steps=5), dict(a, steps=10)]
