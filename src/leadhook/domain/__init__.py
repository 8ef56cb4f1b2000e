"""Facts and pure rules. Imports no other package of leadhook, so that all of them may use it."""
