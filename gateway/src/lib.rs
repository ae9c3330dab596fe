//! The web edge of a log: what is public, over plain HTTP, from any node. Holds no state.
