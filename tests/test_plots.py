"""Pictures show the numbers that they were given, and nothing of Matplotlib's own state changes."""

import io
import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import pyarsimple
from pyarsimple import datasets, plots

pytest.importorskip("matplotlib")


def png(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def images_of(ax):
    return [np.ma.filled(image.get_array().astype(float), np.nan) for image in ax.images]


def lines_of(ax):
    return {line.get_label(): line for line in ax.lines}


def texts_of(ax):
    return [text.get_text() for text in ax.texts]


def curves(train, valid=(), best=0):
    return SimpleNamespace(train_nll=list(train), valid_nll=list(valid), best_epoch=best)


@pytest.fixture
def bits():
    return (np.random.default_rng(5).random((7, 12)) < 0.4).astype(np.uint8)


def test_no_display_and_nothing_global():
    script = """if True:
        import io, sys
        from pyarsimple import plots
        assert "matplotlib" not in sys.modules
        figure = plots.samples({"a": [[0, 1, 1, 0]]}, (2, 2))
        import matplotlib
        before = dict(matplotlib.rcParams)
        figure.savefig(io.BytesIO())
        plots.dependency_matrix([[0]]).savefig(io.BytesIO())
        assert dict(matplotlib.rcParams) == before
        from matplotlib import _pylab_helpers
        assert not _pylab_helpers.Gcf.figs
    """
    env = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    env |= {"MPLBACKEND": "tkagg", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, env=env)


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "pyarsimple\[demo\]"'):
        plots.samples({"a": [[0, 1]]}, (1, 2))


def test_tile_puts_each_image_in_its_place():
    images = 1 + np.arange(5 * 2 * 3).reshape(5, 2, 3)
    canvas = plots.tile(images, 2)
    assert canvas.shape == (3 * (2 + 1) + 1, 2 * (3 + 1) + 1)
    for k, image in enumerate(images):
        top, left = 1 + k // 2 * 3, 1 + k % 2 * 4
        np.testing.assert_array_equal(canvas[top : top + 2, left : left + 3], image)
    assert np.isfinite(canvas).sum() == images.size  # gaps, and the sixth place, are empty


def test_samples_draws_the_first_images_of_each_title(bits):
    real = np.eye(12)[:3]
    figure = plots.samples({"real": real, "drawn": bits}, (3, 4), rows=2, columns=3)
    assert [ax.get_title() for ax in figure.axes] == ["real", "drawn"]
    for ax, x in zip(figure.axes, (real, bits), strict=True):
        (shown,) = images_of(ax)
        np.testing.assert_array_equal(shown, plots.tile(x[:6].reshape(-1, 3, 4), 3))
    assert png(figure).startswith(b"\x89PNG")


def test_samples_of_no_rows_is_an_empty_panel():
    (shown,) = images_of(plots.samples({"": np.empty((0, 4))}, (2, 2)).axes[0])
    assert np.isnan(shown).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: plots.samples({}, (3, 4)), "at least one title"),
        (
            lambda x: plots.samples({"nade": x}, (3, 5)),
            r"images\['nade'\] must have shape \(N, 15\)",
        ),
        (lambda x: plots.samples({"nade": x[0]}, (3, 4)), r"got \(12,\)"),
        (lambda x: plots.conditional_maps({}, x, (3, 4)), "0 models"),
        (lambda x: plots.conditional_maps({"m": None}, x[:0], (3, 4)), "0 examples"),
        (lambda x: plots.conditional_maps({"m": None}, x, (2, 4)), r"x must have shape \(N, 8\)"),
        (lambda x: plots.dependency_matrix(x), r"square matrix .* got shape \(7, 12\)"),
    ],
)
def test_errors_name_the_argument(call, says, bits):
    with pytest.raises(ValueError, match=says):
        call(bits)


def test_learning_curves_show_both_splits_and_mark_the_best_epoch():
    history = curves([9.0, 7.0, 6.0, 5.5], [9.5, 8.0, 7.25, 7.5], best=3)
    figure = plots.learning_curves({"NADE": history, "MADE": curves([8.0, 6.5], [8.5, 7.0], 2)})
    (ax,) = figure.axes
    training, validation, best = ax.lines[:3]
    np.testing.assert_array_equal(training.get_xydata(), [[1, 9], [2, 7], [3, 6], [4, 5.5]])
    np.testing.assert_array_equal(validation.get_ydata(), history.valid_nll)
    np.testing.assert_array_equal(best.get_xydata(), [[3, 7.25]])
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_color() == validation.get_color() != ax.lines[3].get_color()
    assert texts_of(ax) == ["NADE  7.25", "MADE  7.00"]
    assert "nats" in ax.get_ylabel()
    assert ax.get_xlabel() == "epoch"
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["training", "validation", "best epoch, kept"]
    assert png(figure).startswith(b"\x89PNG")


def test_learning_curves_cut_off_the_start_but_nothing_that_was_learnt():
    steep = [400.0, 90.0, *np.linspace(30, 20, 20)]
    (ax,) = plots.learning_curves({"m": curves(steep, steep, 22)}).axes
    low, high = ax.get_ylim()
    assert low < 20
    assert 25 < high < 60


def test_learning_curves_draw_levels_to_compare_with():
    figure = plots.learning_curves({"m": curves([9, 5], [9, 6], 2)}, references={"bits": 25.2})
    (ax,) = figure.axes
    assert [25.2, 25.2] in [list(line.get_ydata()) for line in ax.lines]
    assert "bits  25.20" in texts_of(ax)
    assert ax.get_ylim()[1] > 25.2


@pytest.mark.parametrize("history", [curves([]), curves([3.0]), curves([3.0, 2.0])])
def test_learning_curves_without_validation(history):
    figure = plots.learning_curves({"m": history})
    (ax,) = figure.axes
    assert len(ax.lines) == 1
    assert len(ax.get_legend().get_texts()) == 1
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("n", [1, 4, 9])
def test_learning_curves_are_named_in_the_margin_without_overlap(n):
    # Curves of other lengths that end close together, one of them in nothing.
    histories = {
        f"m{k}": curves([9, *[5 + k / 99] * (k + 1)], [9, *[6 + k / 99] * (k + 1)], 2)
        for k in range(n)
    }
    histories["lost"] = curves([9, 8], [7, np.nan], 1)
    figure = plots.learning_curves(histories, references={"bits": 6.01})
    png(figure)  # lays it out
    (ax,) = figure.axes
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == n + 2
    assert min(box.x0 for box in boxes) > ax.get_window_extent().x1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    boxes.sort(key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))


def test_labels_are_moved_no_more_than_needed():
    assert plots.spread([], 0.1) == []
    assert plots.spread([0.9, 0.1, 0.5], 0.2) == pytest.approx([0.9, 0.1, 0.5])
    assert plots.spread([0.5, 0.5, 0.9], 0.2) == pytest.approx([0.4, 0.6, 0.9])
    assert plots.spread([0.5, 0.6, 0.55], 0.2) == pytest.approx([0.35, 0.75, 0.55])
    assert plots.spread([1.0, 1.0, 0.0, 0.0], 0.1) == pytest.approx([0.9, 1.0, 0.0, 0.1])


def test_learning_curves_survive_what_diverged():
    (ax,) = plots.learning_curves({"m": curves([9, np.nan, np.inf], [9, 8, np.nan], 2)}).axes
    assert np.isfinite(ax.get_ylim()).all()


def test_learning_curves_go_into_the_axes_given():
    figure = plots.new_figure(3, 2)
    left, right = figure.subplots(1, 2)
    assert plots.learning_curves({"m": curves([2, 1])}, ax=right) is figure
    assert right.lines
    assert not left.lines


def test_a_history_plots_itself(bits):
    model = pyarsimple.FVSBN(12, rng=0)
    history = pyarsimple.fit(model, bits, bits, max_epochs=3, rng=0)
    (ax,) = history.plot().axes
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), history.valid_nll)
    np.testing.assert_array_equal(ax.lines[2].get_xdata(), [history.best_epoch])


def test_conditional_maps_show_conditionals_and_log_probabilities(bits):
    models = {
        "NADE": pyarsimple.NADE(12, 5, rng=0, order=[4, 2, 0, 1, 3, 5, 6, 11, 8, 9, 10, 7]),
        "FVSBN": pyarsimple.FVSBN(12, rng=1),
    }
    figure = plots.conditional_maps(models, bits[:2], (3, 4))
    axes = np.reshape(figure.axes[:6], (2, 3))  # and the colour bar
    assert [ax.get_title() for ax in axes[0]] == ["data", "NADE", "FVSBN"]
    assert len(figure.axes) == 7
    for row in range(2):
        np.testing.assert_array_equal(images_of(axes[row, 0])[0], bits[row].reshape(3, 4))
        for ax, model in zip(axes[row, 1:], models.values(), strict=True):
            wanted = model.conditionals(bits)[row].reshape(3, 4)
            np.testing.assert_array_equal(images_of(ax)[0], wanted)
            assert texts_of(ax) == [f"log p = {model.log_prob(bits)[row]:.1f} nats"]
            assert ax.images[0].get_clim() == (0, 1)
    assert png(figure).startswith(b"\x89PNG")


def test_conditional_maps_outline_the_pixels_that_are_on(bits):
    image = bits[0].reshape(3, 4)
    figure = plots.conditional_maps({"m": pyarsimple.FVSBN(12, rng=0)}, bits[:1], (3, 4))
    drawn = {
        tuple(map(tuple, np.sort(segment, axis=0).tolist()))
        for collection in figure.axes[1].collections
        for segment in collection.get_segments()
    }
    on = {(i, j) for i in range(3) for j in range(4) if image[i, j]}
    wanted = set()
    for i, j in on:  # a pixel (row i, column j) covers i - 0.5 .. i + 0.5, j - 0.5 .. j + 0.5
        for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            if (i + di, j + dj) not in on:
                y, x = i + di / 2, j + dj / 2
                wanted.add(((x - abs(di) / 2, y - abs(dj) / 2), (x + abs(di) / 2, y + abs(dj) / 2)))
    assert drawn == wanted


def test_dependency_matrix_is_drawn_as_it_is():
    model = pyarsimple.MADE(5, (7,), order=[1, 2, 0, 4, 3], rng=0)
    figure = plots.dependency_matrix(model.dependencies(), title="MADE")
    (ax,) = figure.axes
    np.testing.assert_array_equal(images_of(ax)[0], model.dependencies())
    assert ax.get_title() == "MADE"
    assert "depends" in ax.get_ylabel()


def test_colours_are_all_different():
    assert len(set(plots.COLOURS)) == len(plots.COLOURS) >= 7


def test_pictures_of_real_digits_are_large_enough_to_see():
    pytest.importorskip("sklearn")
    from matplotlib.image import imread

    data = datasets.digits()
    figure = plots.samples({"digits": data.test, "same": data.test}, data.image_shape)
    pixels = imread(io.BytesIO(png(figure)))
    height, width = pixels.shape[:2]
    assert width >= 2 * 6 * 8 * 4  # at least four pixels of the screen for one of a digit
    assert height > width * 10 / 12
    assert pixels[..., :3].std() > 0.1


# Anomalies.


def dots_of(ax):
    """The x of the ordinary points and of those that cause an alarm."""
    ordinary, alarms = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    return sorted(ordinary), sorted(alarms)


def test_anomalies_are_beyond_the_thresholds():
    log_p = {"few": [-5.0, -1.0, -3.0, -2.0, -9.0], "one": [-4.0], "none": []}
    figure = plots.anomalies(log_p, (-4.0, -1.5))
    few, one, none = figure.axes
    assert dots_of(few) == ([-3, -2], [-9, -5, -1])
    assert dots_of(one) == ([-4], [])  # on the threshold: no alarm
    assert texts_of(few) == ["few\n60% alarms", "alarm < -4.0", "alarm > -1.5"]
    assert texts_of(one) == ["one\n0% alarms"]
    assert texts_of(none) == ["none\n"]
    for ax in figure.axes:
        assert [line.get_xdata()[0] for line in ax.lines[:2]] == [-4.0, -1.5]
        assert ax.get_xlim() == few.get_xlim()
    assert png(figure).startswith(b"\x89PNG")


def test_one_sided_anomalies_have_one_line_and_what_is_impossible_counts():
    figure = plots.anomalies({"x": [-np.inf, -2.0, -1.0, 0.0]}, (-1.5, np.inf))
    (ax,) = figure.axes
    assert dots_of(ax) == ([-1, 0], [-2])
    assert texts_of(ax) == ["x\n50% alarms", "alarm < -1.5"]
    assert len(ax.lines) == 3
    assert png(figure)


def test_of_very_many_rows_both_ends_are_drawn():
    values = np.random.default_rng(0).normal(size=50_000)
    ordinary, alarms = dots_of(plots.anomalies({"x": values}, (-2.0, np.inf)).axes[0])
    assert len(ordinary) + len(alarms) == 2000
    assert (min(alarms), max(ordinary)) == (values.min(), values.max())
    assert len(alarms) / 2000 == pytest.approx((values < -2).mean(), abs=0.001)


def test_images_stand_in_the_order_of_their_likelihood(bits):
    log_p = np.array([3.0, 1, 2, 7, 6, 5, 4])
    figure = plots.anomalies(
        {"a": log_p}, (2.0, np.inf), images={"a": bits}, image_shape=(3, 4), n_images=3
    )
    canvas = images_of(figure.axes[0])[0]
    wanted = plots.tile(bits[[1, 6, 3]].reshape(3, 3, 4).astype(float), 3)  # ranks 0, 3, 6
    np.testing.assert_array_equal(canvas, wanted)
    assert dots_of(figure.axes[1]) == ([2, 3, 4, 5, 6, 7], [1])
    few = plots.anomalies({"a": [1.0]}, (2, 9), images={"a": bits[:1]}, image_shape=(3, 4))
    assert np.isfinite(images_of(few.axes[0])[0]).sum() == 12


@pytest.mark.parametrize(
    ("log_p", "options", "message"),
    [
        ({}, {}, "at least one set"),
        ({"a": [np.nan]}, {}, r"log_p\['a'\] .* NaN"),
        ({"a": [[1.0]]}, {}, r"one number a row"),
        ({"a": [1.0]}, {"images": {"a": [[1, 0]]}}, "image_shape must be given"),
        ({"a": [1.0]}, {"images": {"a": [[1, 0]]}, "image_shape": (2, 2)}, r"images\['a'\]"),
        ({"a": [1.0, 2.0]}, {"images": {"a": [[1, 0]]}, "image_shape": (1, 2)}, "each of the 2"),
    ],
)
def test_anomalies_say_what_is_wrong(log_p, options, message):
    with pytest.raises(ValueError, match=message):
        plots.anomalies(log_p, (0.0, np.inf), **options)


# Classes.


def test_confusion_counts_and_colours_by_share():
    counts = {"test": [[8, 2, 0], [0, 5, 5], [0, 0, 1]], "empty": np.zeros((3, 3), int)}
    figure = plots.confusion(counts, ["a", "b", "c"])
    test, empty = figure.axes
    right, wrong = (3 * [3 * [np.nan]] for _ in range(2))
    right, wrong = np.array(right), np.array(wrong)
    right[[0, 1, 2], [0, 1, 2]] = [0.8, 0.5, 1.0]
    wrong[[0, 1], [1, 2]] = np.array([0.2, 0.5]) / 0.3
    for shown, wanted in zip(images_of(test), (right, wrong), strict=True):
        np.testing.assert_allclose(shown, wanted, rtol=1e-12)
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text()
               for t in test.texts}  # fmt: skip
    assert written == {(0, 0): "8", (0, 1): "2", (1, 1): "5", (1, 2): "5", (2, 2): "1"}
    assert test.get_title() == "test\n66.7% of 21 right"
    assert empty.get_title() == "empty\n0.0% of 0 right"
    assert [t.get_text() for t in test.get_yticklabels()] == ["a", "b", "c"]
    assert test.get_xlabel() == "taken for"
    assert png(figure)


def test_confusion_of_many_classes_is_not_crowded():
    figure = plots.confusion({"": np.eye(200, dtype=int)}, range(200))
    (ax,) = figure.axes
    assert not ax.texts
    assert len(ax.get_xticks()) < 40
    assert max(figure.get_size_inches()) < 15
    with pytest.raises(ValueError, match=r"counts\['a'\] must have shape \(2, 2\)"):
        plots.confusion({"a": [[1, 2, 3]]}, ["x", "y"])
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.confusion({}, ["x", "y"])


class Sure:
    """p(y | x_seen): of the class of so many pixels on; without pixels, all alike."""

    classes_ = np.array(["zero", "one", "two"])

    def predict_proba(self, X, observed=None):
        if not np.any(observed):
            return np.full((len(X), 3), 1 / 3)
        return np.eye(3)[(X * observed).sum(axis=1)] * 0.7 + 0.1


def test_posteriors_show_who_is_taken_for_whom():
    x, y = np.array([[1, 0, 0, 1], [0, 0, 0, 0]]), ["two", "zero"]
    observed = {"half": [True, True, False, False], "whole": np.ones(4, bool)}
    figure = plots.posteriors(Sure(), x, y, observed, (2, 2))
    axes = np.reshape(figure.axes, (2, 4))
    assert [ax.get_title(loc="left") for ax in axes[0]] == ["half", "", "whole", ""]
    blue, red = plots.COLOURS[0], plots.COLOURS[1]
    from matplotlib.colors import to_hex

    def bars(row, column):
        return [
            (round(b.get_height(), 9), to_hex(b.get_facecolor()).upper())
            for b in axes[row, column].patches
        ]

    grey = "#B9BFC6"
    assert bars(0, 1) == [(0.1, grey), (0.8, red), (0.1, blue)]  # one of two pixels is seen
    assert bars(0, 3) == [(0.1, grey), (0.1, grey), (0.8, blue)]
    assert bars(1, 1) == [(0.8, blue), (0.1, grey), (0.1, grey)]
    hidden = axes[0, 0].images[0].get_array()
    assert np.allclose(hidden[1:3, 1:3].reshape(4, 3)[2:], plots._HOLE)
    assert np.allclose(hidden[1, 1], plots._SEEN)
    assert [t.get_text() for t in axes[1, 1].get_xticklabels()] == ["zero", "one", "two"]
    assert png(figure)


def test_posteriors_say_what_is_wrong():
    x, seen = [[1, 0, 0, 1]], {"all": [True] * 4}
    for arguments, message in (
        ((x, ["two", "one"], seen, (2, 2)), "y must be a label for each of the 1 rows"),
        ((x, ["two"], {}, (2, 2)), "1 images and 0 masks"),
        ((x, ["two"], seen, (2, 3)), "x must have shape"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.posteriors(Sure(), *arguments)
