from hypothesis import given
from hypothesis import strategies as st

from rnnwidget.widgets.history import History

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 3), st.none() | st.sampled_from("ab")),
        st.tuples(st.just("go"), st.integers(-3, 3)),
    )
)


@given(MOVES)
def test_a_plain_list_of_steps_says_the_same(moves):
    """The reference keeps (state, gesture) pairs; the newest is replaced while its gesture goes on."""
    history, steps, at, gesture = History(0), [0], 0, None
    for move in moves:
        if move[0] == "go":
            at, gesture = min(max(at + move[1], 0), len(steps) - 1), None
            assert history.go(history.position + move[1]) == steps[at]
        elif move[1] != steps[at]:
            steps = steps[: at + 1]
            if move[2] is not None and move[2] == gesture:
                steps.pop()
            gesture = move[2]
            if steps[-1] == move[1]:
                gesture = None
            else:
                steps.append(move[1])
            at = len(steps) - 1
            history.record(move[1], move[2])
        else:
            history.record(move[1], move[2])
        assert (history.position, len(history)) == (at, len(steps))


def test_a_drag_is_one_step():
    history = History(0)
    for value in (1, 2, 3):
        history.record(value, gesture="drag")
    history.record(4, gesture="another")
    assert [history.go(place) for place in range(len(history))] == [0, 3, 4]


def test_a_drag_back_to_where_it_began_is_no_step():
    history = History(0)
    for value in (1, 2, 0):
        history.record(value, gesture="drag")
    assert len(history) == 1


def test_after_an_undo_the_same_gesture_is_a_step_of_its_own():
    history = History(0)
    history.record(1, gesture="keys")
    history.go(0)
    history.record(2, gesture="keys")
    assert [history.go(place) for place in range(len(history))] == [0, 2]


def test_a_long_history_forgets_its_beginning():
    history = History(0)
    for value in range(1, 500):
        history.record(value)
    assert len(history) == 200
    assert history.go(history.position) == 499
