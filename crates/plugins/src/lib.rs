//! Functions that users wrote for Arroyo, compiled and run in this process.
