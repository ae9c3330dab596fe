//! `sillage-gateway`.

fn main() {}
