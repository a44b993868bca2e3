"""Commands around an exported model: ``export``, ``detect``, ``search``, ``rehearse``, ``benchmark``."""

from pathlib import Path

from distilclip_eeg.commands.command import Command
from distilclip_eeg.config.commands import BenchmarkSettings, ExportSettings, RehearseSettings
from distilclip_eeg.config.on_files import DetectSettings, SearchSettings
from distilclip_eeg.files.folders import check_writable
from distilclip_eeg.schema import NOTE


def export(settings: ExportSettings, words: list[str]) -> None:
    """A run's model as one folder, for new recordings."""
    from distilclip_eeg.commands.which_run import existing, keeps_weights, newest

    if settings.run == "latest":
        run = newest(Path("runs"), "run", "run of a network", keeps_weights)
    else:
        run = existing(Path(settings.run))
    print(f"run={run.path}", flush=True)
    check_writable("run", run.path)
    from distilclip_eeg.deploy import export

    output = Path(settings.output) if settings.output else None
    folder = export.export(
        run,
        settings.weights,
        output,
        settings.places,
        onnx=settings.onnx,
        persons=settings.persons,
        events=settings.detect,
    )
    print(export.page(folder))


def detect(settings: DetectSettings, words: list[str]) -> int | None:
    """EDF in, seizure events out; 1 where some files could not be used."""
    from distilclip_eeg.deploy import screen

    failed = screen.screen(settings)
    print(NOTE)
    return 1 if failed else None


def search(settings: SearchSettings, words: list[str]) -> None:
    """Recordings searched by words."""
    from distilclip_eeg.deploy import search

    search.answer(settings)
    print(NOTE)


def rehearse(settings: RehearseSettings, words: list[str]) -> None:
    """``detect`` on what each fold has not seen, scored."""
    from distilclip_eeg.commands.which_run import whole_run

    run = whole_run(settings.run)
    print(f"run={run.path}", flush=True)
    check_writable("run", run.path)
    from distilclip_eeg.studies import rehearsal

    text = rehearsal.rehearse(run, settings.hop_s, settings.places, settings.detect)
    print(f"{text}\nwritten: {run.path / rehearsal.FOLDER}\n{NOTE}")


def benchmark(settings: BenchmarkSettings, words: list[str]) -> None:
    """Time and memory on this machine."""
    if settings.what != "detect":
        check_writable("output", Path(settings.output).parent)
    if settings.what == "detect":
        from distilclip_eeg.deploy.benchmark import benchmark as lines
    elif settings.what == "size":
        from distilclip_eeg.studies.size import size as lines
    elif settings.what == "goals":
        from distilclip_eeg.studies.bench.bench import bench as lines
    else:
        from distilclip_eeg.studies.bench.gpu import gpu as lines

    for line in lines(settings):
        print(line, flush=True)


COMMANDS = {
    "export": Command(
        ExportSettings,
        export,
        ("", "run=RUN weights=ensemble output=model", "run=RUN onnx=false"),
        writes=("output",),
    ),
    "detect": Command(
        DetectSettings,
        detect,
        (
            "input=night.edf",
            "weights=model input=FOLDER output=events channels=zero figure=false",
            "weights=model input=FOLDER output=events engine=onnx precision=int8",
        ),
        writes=("output",),
        exits={1: "some files could not be used", 3: "none could"},
    ),
    "search": Command(
        SearchSettings,
        search,
        (
            "weights=model input=FOLDER query='rhythmic theta over the left temporal region'",
            "weights=model input=FOLDER query='[rhythmic delta,sharp transients]' top=5",
            "weights=model input=FOLDER like=visit1/p01_a@312.5",
        ),
        writes=("output",),
    ),
    "rehearse": Command(RehearseSettings, rehearse, ("", "run=RUN", "run=RUN dataset.root=FOLDER hop_s=0.5")),
    "benchmark": Command(
        BenchmarkSettings,
        benchmark,
        ("net=student minutes=30 hours=[1,24]", "what=goals rounds=5 output=bench", "what=size output=size"),
    ),
}
