"""Settings: dataclasses, composed by Hydra, checked and frozen at the edge."""
