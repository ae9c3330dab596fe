//! `sillage-connector`.

fn main() -> std::process::ExitCode {
    sillage_connector::cli::run()
}
