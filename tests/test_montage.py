"""Channel names and picks."""

import pytest

from distilclip_eeg.corpora.edf.montage import (
    CHBMIT_18,
    CHBMIT_23,
    STANDARD_19,
    Montage,
    canonical,
    split_reference,
)
from distilclip_eeg.corpora.edf.plan import copies, montage_warnings, plan_channels
from distilclip_eeg.schema import SkipRecording


def pick(labels, names, source):
    """Positions of the signals that serve the channels as they stand."""
    plan = plan_channels(labels, Montage("native", tuple(names)), source)
    assert plan.plain
    return list(plan.picks)


CHBMIT_28 = (
    "FP1-F7 F7-T7 T7-P7 P7-O1 - FP1-F3 F3-C3 C3-P3 P3-O1 - FZ-CZ CZ-PZ - FP2-F4 F4-C4 C4-P4 P4-O2 - "
    "FP2-F8 F8-T8 T8-P8 P8-O2 - P7-T7 T7-FT9 FT9-FT10 FT10-T8 T8-P8"
).split()


@pytest.mark.parametrize(
    "label, name, reference",
    [
        ("Fp1", "FP1", ""),
        (" fp1 ", "FP1", ""),
        ("f3.", "F3", ""),
        ("EEG FP1-REF", "FP1", "REF"),
        ("EEG T3-LE", "T3", "LE"),
        ("F7-CS2", "F7", "CS2"),
        ("Fz-Avg", "FZ", "AVG"),
        ("C3-A2", "C3", "A2"),  # as second half A2 is the reference
        ("EEG A1-REF", "A1", "REF"),  # as first half A1 is an electrode
        ("A1-A2", "A1", "A2"),
        ("T7", "T3", ""),
        ("T8", "T4", ""),
        ("P7", "T5", ""),
        ("P8", "T6", ""),
        ("01", "O1", ""),  # zero-one, as chb12_28 writes it
        ("T7-P7", "T3-T5", ""),  # both halves are electrodes: no suffix to drop
        ("P3-01", "P3-O1", ""),
        ("FT9-FT10", "FT9-FT10", ""),
        ("T8-P8-0", "T4-T6", ""),  # the counter MNE appends to a repeated name
        ("T8-P8-1", "T4-T6", ""),
        ("-", "", ""),
        ("--0", "", ""),
        (".", "", ""),
        ("", "", ""),
        ("   ", "", ""),
        ("EEG Fp1-Ref", "FP1", "REF"),
        ("EEG FP1-LE", "FP1", "LE"),
        ("Fp1-A1A2", "FP1", "A1A2"),
        ("Fp1-A1+A2", "FP1", "A1A2"),
        ("EEG A2-(A1+A2)/2", "A2", "A1A22"),  # as EDF+ writes linked ears
        ("Fp1-Av", "FP1", "AV"),
        ("Fp1-Avg", "FP1", "AVG"),
        ("Fp1-CAR", "FP1", "CAR"),
        ("C3-CLE", "C3", "CLE"),
        ("Fp1-Cz", "FP1-CZ", ""),  # an electrode as reference is a derivation
        ("C3-M2", "C3-M2", ""),
        ("Fp1_ref", "FP1", "REF"),
        ("fp1_f7", "FP1-F7", ""),
        ("C3:A2", "C3", "A2"),
        ("Fp1 - Ref", "FP1", "REF"),
        ("Fp1 Ref", "FP1", "REF"),
        ("EEG_Fp1", "FP1", ""),
        ("EEG-Fp1-Ref", "FP1", "REF"),
        ("POL FP1", "FP1", ""),
        ("eeg fpz-cz", "FPZ-CZ", ""),  # Sleep-EDF
        ("Fc5.", "FC5", ""),  # PhysioNet's motor imagery
        ("..T7..", "T3", ""),
        ("FT9", "FT9", ""),
        ("AF7", "AF7", ""),
        ("AFF5h", "AFF5H", ""),
        ("EEG FT10-REF-0", "FT10", "REF"),
        ("EOG VEOG_I", "EOG VEOG_I", ""),  # neither an electrode nor a derivation
        ("REF_EEG REF_EEG", "REF_EEG REF_EEG", ""),
        ("Status", "STATUS", ""),
        ("EEG", "EEG", ""),
        ("EEG 1", "1", ""),
    ],
)
def test_a_label_has_one_canonical_name_whatever_its_spelling(label, name, reference):
    assert split_reference(label) == (name, reference)


def test_a_canonical_name_is_its_own_canonical_name():
    for label in (*STANDARD_19, *CHBMIT_23):
        assert canonical(canonical(label)) == canonical(label)


def test_the_montages_have_unique_names_and_the_published_sizes():
    assert (len(STANDARD_19), len(CHBMIT_18), len(CHBMIT_23)) == (19, 18, 23)
    assert len(set(STANDARD_19)) == 19 and len(set(CHBMIT_23)) == 23


def test_t8_p8_stands_twice_in_the_chbmit_montage_at_rows_15_and_23():
    rows = [row for row, label in enumerate(CHBMIT_23, start=1) if canonical(label) == "T4-T6"]
    assert rows == [15, 23]


def test_the_28_signal_layout_gives_the_23_channels_in_montage_order_without_the_dummies():
    picks = pick(CHBMIT_28, CHBMIT_23, "x.edf")
    # By hand, 0-based places in the 28: F-Z and right-hand chains stand elsewhere, T8-P8 at 20 and 27.
    assert picks == [0, 1, 2, 3, 5, 6, 7, 8, 13, 14, 15, 16, 18, 19, 20, 21, 10, 11, 23, 24, 25, 26, 27]


def test_a_file_with_one_t8_p8_serves_both_rows_with_it():
    labels = list(CHBMIT_23[:22])
    assert pick(labels, CHBMIT_23, "x.edf") == [*range(22), 14]


def test_an_18_channel_montage_takes_the_first_t8_p8():
    assert pick(CHBMIT_28, CHBMIT_18, "x.edf")[14] == 20


def test_a_permuted_file_gives_the_same_signals_in_the_same_order():
    labels = [f"EEG {name}-REF" for name in reversed(STANDARD_19)]
    assert pick(labels, STANDARD_19, "x.edf") == list(range(18, -1, -1))


def test_ecg_vns_and_other_extras_never_match():
    extras = "ECG,VNS,-,.,LOC-ROC,EKG1-CHIN,LUE-RAE,PHOTIC-REF,EEG EKG1-REF,PZ-OZ".split(",")
    assert pick([*extras, *STANDARD_19], STANDARD_19, "x.edf") == list(range(10, 29))


def test_missing_channels_are_named_with_what_the_file_has_in_one_line():
    labels = [name for name in STANDARD_19 if name not in ("T3", "T4")] + ["", "S\xfc\n\xdf"]
    with pytest.raises(SkipRecording) as caught:
        pick(labels, STANDARD_19, "a.edf")
    message = str(caught.value)
    assert caught.value.reason == "missing_channels"
    assert message.startswith("a.edf: 2 of 19 montage channels are missing: T3, T4;")
    assert "FP1, FP2, F3" in message and "\n" not in message and message.isascii()


def test_a_repeated_missing_channel_is_named_once():
    with pytest.raises(SkipRecording, match="1 of 2 montage channels are missing: O1;"):
        pick(["O2"], ("O1", "O2"), "a.edf")


@pytest.mark.parametrize("label", ["F7-CS2", "F7", "01"])
def test_referential_names_do_not_serve_a_bipolar_montage(label):
    with pytest.raises(SkipRecording):  # chb12_27 to chb12_29
        pick([label], CHBMIT_18, "chb12_27.edf")


def test_a_copy_is_paired_with_the_first_that_was_picked():
    labels = ["O1", "O2", "o1.", "ECG", "-", "ECG", "-"]
    assert copies(labels, pick(labels, ("O2", "O1"), "x")) == [(0, 2)]
    assert copies(labels, pick(labels, ("O2", "O1", "O1"), "x")) == [(0, 2)]


def test_the_two_t8_p8_of_chbmit_are_a_pair_and_nothing_to_report():
    picks = pick(CHBMIT_28, CHBMIT_23, "x")
    assert (copies(CHBMIT_28, picks), montage_warnings(CHBMIT_28, picks)) == ([(20, 27)], ())
    one = list(CHBMIT_23[:22])
    assert copies(one, pick(one, CHBMIT_23, "x")) == []


def test_a_linked_ear_reference_is_reported():
    labels = [f"EEG {name}-LE" for name in STANDARD_19]
    (warning,) = montage_warnings(labels, range(19))
    assert warning.startswith("linked_ear_reference:")


def test_mixed_references_are_reported():
    (warning,) = montage_warnings(["C3-A2", "C4-A1"], [0, 1])
    assert warning.startswith("mixed_references:") and "A1, A2" in warning


def test_a_plain_montage_has_nothing_to_report():
    assert montage_warnings(STANDARD_19, range(19)) == ()
