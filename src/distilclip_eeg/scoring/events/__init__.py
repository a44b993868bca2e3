"""Seizure events in whole recordings: found in a trace, scored against the reference, summed by subject.

Arrays and lists in, counts and tables out; nothing here knows a model or a corpus. Shape suffixes: N windows
of a trace, E events, P stretches, U subjects; an event is a row ``[onset_s, offset_s)``.
"""
