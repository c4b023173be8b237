//! What is seen: every metric and log name, once.
