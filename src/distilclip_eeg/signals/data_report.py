"""The data report: what of a corpus is used, what is left out and why, in a few lines."""

from distilclip_eeg.schema import short, visible
from distilclip_eeg.signals.content import read_copies, told
from distilclip_eeg.signals.preprocess import AMPLITUDE_UV, FLAT_UV
from distilclip_eeg.signals.store import Store

MOST_WARNINGS = 5
"""Of a corpus as a whole, in the report; the manifest has them all."""


def data_report(store: Store) -> str:
    """What was used, what was skipped and why, and every counted oddity, in a few lines."""
    table = store.recordings
    used = table[table["skipped"] == ""]
    lines = [
        f"{store.manifest['corpus']}: {len(used)} of {len(table)} recordings used, "
        f"{used['subject'].nunique()} subjects, {int(used['n_seizures'].sum())} seizures, "
        f"{used['duration_s'].sum():,.0f} s in {int(used['n_pieces'].sum())} pieces, "
        f"{store.sfreq:g} Hz, {len(store.ch_names)} channels",
        f"  counted: {int(used['short_for_filter'].sum())} pieces short_for_filter, "
        f"{int(used['flat_channels'].sum())} flat channels (SD < {FLAT_UV} uV), "
        f"{int(used['rail_samples'].sum()):,} samples at the file's range, "
        f"{int(used['clipped_samples'].sum()):,} clipped{clip_limit(store)}, "
        f"{int(used['loud_seconds'].sum()):,} s above {AMPLITUDE_UV:g} uV (kept)",
    ]
    if len(store.excluded):
        lengths = (store.excluded["offset_s"] - store.excluded["onset_s"]).groupby(store.excluded["label"])
        words = ", ".join(f"{label} {seconds:,.0f} s" for label, seconds in lengths.sum().items())
        lines.append(f"  excluded, neither seizure nor background: {words}")
    if filled := int((used["filled"] != "").sum()):
        total = int(store.filled_RC.sum())
        lines.append(f"  {filled} recordings with filled channels, {total} channels in all")
    missing = store.manifest["missing"]
    if missing:
        lines.append(f"  {len(missing)} listed files are not on disk, the first: {missing[0]}")
    lines += [f"  {warning}" for warning in store.manifest["warnings"][:MOST_WARNINGS]]
    for reason, group in table[table["skipped"] != ""].groupby("skipped"):
        lines.append(f"  skipped {len(group)} ({reason}): {short(group['detail'].iloc[0])}")
    lines += told(read_copies(store.path), used.set_index("number")["recording"], store.path)
    warnings = used.set_index("recording")["detail"].str.split("; ").explode()
    kinds = warnings.str.extract(r"^([a-z_]+): ", expand=False)
    for kind, group in warnings.groupby(kinds):
        lines.append(
            f"  {group.index.nunique()} recordings with {kind}, the first: {group.index[0]}: "
            f"{short(group.iloc[0].partition(': ')[2])}"
        )
    return "\n".join(map(visible, lines))


def clip_limit(store: Store) -> str:
    """Words for the limit at which samples were clipped, microvolts; empty where there is none."""
    limit = store.manifest["signals"]["clip_uv"]
    return "" if limit is None else f" at {limit:g} uV"
