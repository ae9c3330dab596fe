//! Patient bundles: what verifies, what must not, and the vectors that other implementations are held against.

mod attacks;
mod damage;
mod story;
mod vectors;
mod world;
