//! Writes every page of the portal in every state, in both languages, with style sheet and scripts, as files:
//!
//!     cargo run -p sillage-portal --example pages -- DIRECTORY
//!
//! `DIRECTORY/fr/trace.html` is « Qui a accédé ? ». Tools that judge HTML, and a browser that takes pictures, read them there.

#[allow(dead_code)]
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

use std::path::{Path, PathBuf};

use sillage_portal::pages::{ICON, STYLE, verify};
use sillage_portal::view::Lang;

fn main() -> std::io::Result<()> {
    let to = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("portal-pages"), PathBuf::from);
    for lang in Lang::ALL {
        let folder = to.join(lang.as_str());
        std::fs::create_dir_all(&folder)?;
        for page in fixtures::all(lang) {
            std::fs::write(folder.join(page.name).with_extension("html"), page.html.into_string())?;
        }
    }
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/portal/verify.js");
    std::fs::copy(verifier, to.join("verify.js"))?;
    for (name, text) in [("style.css", STYLE), ("icone.svg", ICON), ("verifier.js", verify::SCRIPT)] {
        std::fs::write(to.join(name), text)?;
    }
    Ok(())
}
