"""``prepare backend=dask``: the bytes of a store do not tell who filtered its recordings."""

import pytest

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.synthetic import Synthetic
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.store import prepare
from distilclip_eeg.workers import instead_of_threads


def test_a_backend_that_is_not_there_is_told_in_one_line():
    with (
        pytest.raises(ConfigError, match="backend=tea, .* or leave backend out"),
        instead_of_threads("tea", 2),
    ):
        pytest.fail("there is no such backend")


@pytest.mark.slow
def test_a_store_made_by_a_cluster_is_that_of_threads(tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    corpus = Synthetic(root=tmp_path / "corpus", n_subjects=3, recordings_per_subject=1, recording_s=40)
    threads = prepare(corpus, SignalConfig(), tmp_path / "threads", n_jobs=2)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        instead_of_threads("dask", 2, cluster.scheduler_address),
    ):
        made = prepare(corpus, SignalConfig(), tmp_path / "dask", n_jobs=2)
    assert made.path.name == threads.path.name
    for name in ("signal.i16", "pieces.parquet", "events.parquet", "content.seconds"):
        assert (made.path / name).read_bytes() == (threads.path / name).read_bytes()
