//! Wiring, configuration, command line, demo and figures.
