//! The program `sillage-portal`.

fn main() {}
