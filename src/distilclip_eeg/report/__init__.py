"""Tables, figures, cards and the page, from what runs left on disk; no model runs here."""
