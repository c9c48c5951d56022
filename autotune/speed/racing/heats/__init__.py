"""How a heat is run: a challenger meets the setting to beat on one device, and what came of it is recorded."""
