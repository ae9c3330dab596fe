//! `sillage-gateway`.

fn main() -> std::process::ExitCode {
    sillage_gateway::cli::run()
}
