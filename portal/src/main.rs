//! The program `sillage-portal`.

fn main() -> std::process::ExitCode {
    sillage_portal::cli::run()
}
