"""Facts and pure rules of lead processing; imports nothing of ours, so that every other part may use it."""
