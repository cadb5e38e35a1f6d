"""What analyses leave in a run's folder, and read there."""

from pathlib import Path

import pandas as pd

from ..errors import RunError
from ..recording import Recording, open_recording
from ..results.run import Run
from ..results.sealing import check_file
from ..statistics.trainings import groups_of
from ..tables.evaluation import evaluation_gaps, evaluation_over_trainings, evaluation_table
from ..untrusted import read_arrays
from .analysis import Analysis, Results, with_rows

RECORDING = "recording"
"""The recording's folder, in a run's."""
IMAGES = "images.npz"
"""What the images of a run show, in a run's folder where the recording is not kept."""
OF_OTHERS = f"{RECORDING}-of-others"
"""The folder, in a run's, of what is recorded of other images than those measured."""


class Recorded(Exception):
    """The images are recorded, and the rest is not this process's: another one's, or that of whoever merges shards."""


def write(run: Run, analysis: Analysis, recording: Recording) -> Results:
    """Compute and write what an analysis makes of a recording, and what may be said of it."""
    results = computed(run, analysis, recording)
    leave(run, analysis, results, recording)
    return results


def computed(run: Run, analysis: Analysis, *recordings: Recording) -> Results:
    """The results; the time that it takes is told in the run."""
    with run.timed("statistics"):
        return analysis.results(*recordings)


def leave(run: Run, analysis: Analysis, results: Results, *recordings: Recording) -> None:
    """Write what an analysis has made of recordings, and what may be said of it."""
    run.save(**analysis.facts(recordings[0]))
    write_results(run, results)
    cards = {label: card for recording in recordings for label, card in recording.networks.items()}
    run.find(analysis.said(results, cards))


def write_results(run: Run, results: Results) -> None:
    """Write tables and arrays into a run's folder."""
    for name, each in results.items():
        if isinstance(each, pd.DataFrame):
            run.write_table(name, each)
        else:
            run.write_arrays(name, each)


def draw_what_there_is(folder: Path, **options) -> list[Path]:
    """The figures of a run's tables, by options of `draw`; an analysis of another package may have none."""
    from .. import figures  # after the pass: until its first batch nothing is imported that draws
    from ..figures.drawing import is_drawable

    return figures.draw(folder, **options) if is_drawable(folder) else []


def accuracy_of(recording: Recording) -> dict[str, pd.DataFrame]:
    """`evaluation.csv`, and of groups of trainings `evaluation_trainings.csv` and `evaluation_gap_trainings.csv`."""
    table = evaluation_table(recording)
    means = evaluation_over_trainings(table, groups_of(recording.networks))
    trainings = {"evaluation_trainings.csv": means, "evaluation_gap_trainings.csv": evaluation_gaps(recording)}
    return {"evaluation.csv": table} | with_rows(trainings)


def shown_by(run: Path) -> frozenset[str] | None:
    """What the images of a finished run show; None where the run does not tell of each."""
    contents = None
    if (run / RECORDING / "recording.json").is_file():
        contents = open_recording(run / RECORDING).contents
    elif (run / IMAGES).is_file():
        check_file(run, IMAGES)
        try:
            contents = read_arrays(run / IMAGES)["contents"].tolist()
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"`{run / IMAGES}` is damaged: {error}") from error
    return frozenset(contents) if contents and all(contents) else None


def contents_of(recording: Recording) -> dict[str, str]:
    """What run.json says of what the images show, where it is known."""
    return {"contents": recording.identity} if recording.identity else {}


def shown_in(recording: Recording) -> frozenset[str]:
    """What the images of a recording show, as far as it is known: `Request.apart_from` of what they tell."""
    return frozenset(recording.contents) - {""}
