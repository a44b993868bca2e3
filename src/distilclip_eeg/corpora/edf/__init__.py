"""EDF and BDF files: header, fields, montage, signal."""
