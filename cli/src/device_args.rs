//! Arguments of `keys register` and `keys tell` for patients' own devices.

use std::path::PathBuf;

use clap::Args;

/// How the patient proved that they want the device, and how they are told.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "A patient's own device")]
pub struct DeviceArgs {
    /// Who established the patient's identity; without it, as the profile's [auth] says
    #[arg(long, value_name = "TEXT")]
    pub login_issuer: Option<String>,
    /// By what means; without it, as the profile's [auth] says
    #[arg(long, value_name = "TEXT")]
    pub login_method: Option<String>,
    /// eIDAS level: substantial or high; without it, as the profile's [auth] says
    #[arg(long, value_name = "LEVEL", value_parser = ["substantial", "high"])]
    pub login_level: Option<String>,
    /// Don't tell under the secret tag now: write into this new file what `keys tell` sends at another time, so that nobody who
    /// reads the log sees by the time which two tags are one patient's
    #[arg(long, value_name = "FILE")]
    pub later: Option<PathBuf>,
    /// Author id of the device that this one replaces and ends (for devices whose act names the patient's tags)
    #[arg(long, value_name = "HEX")]
    pub replaces: Option<String>,
}
