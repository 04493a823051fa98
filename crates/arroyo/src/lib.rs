//! The client of an Arroyo cluster.
