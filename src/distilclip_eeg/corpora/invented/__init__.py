"""Invented EEG, written in native layouts."""
