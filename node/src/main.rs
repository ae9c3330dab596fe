//! `sillage-node`: see [`sillage_node::cli`].

fn main() -> std::process::ExitCode {
    sillage_node::cli::run()
}
