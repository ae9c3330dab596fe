//! Files verified a second time, by the verifier in JavaScript that auditors and patients have.

use std::path::Path;
use std::process::Command;

/// Reads the policy and the files, and prints what it didn't prove.
const SCRIPT: &str = r#"
import { readFileSync } from "node:fs";
const [module, policy, ...files] = process.argv.slice(1);
const { verify } = await import(module);
const read = (name) => ({ name, bytes: new Uint8Array(readFileSync(name)) });
const found = await verify(files.map(read), readFileSync(policy, "utf8"), { lang: "en" });
for (const { file, part, message } of found.errors) console.error(`${file}: ${part}: ${message}`);
process.exit(found.ok && found.reports.length === files.length ? 0 : 1);
"#;

/// Asserts that it proves these files under the policy. Without Node 18 it says that it is skipped; not in CI.
///
/// # Panics
/// When a file isn't proven.
pub fn proves(policy: &Path, files: &[&Path]) {
    let there = Command::new("node").arg("--version").output().is_ok_and(|said| said.status.success());
    if !there {
        assert!(std::env::var("CI").is_err(), "Node 18 has to be there: `cargo xtask setup` installs it");
        eprintln!("skipped the verifier in JavaScript: no Node; `cargo xtask setup` installs it");
        return;
    }
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/portal/verify.js");
    let module = module.canonicalize().expect("the verifier");
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", SCRIPT, "--"]).arg(module).arg(policy).args(files);
    let ran = command.output().expect("it ran a moment ago");
    assert!(ran.status.success(), "{files:?} under {}: {}", policy.display(), String::from_utf8_lossy(&ran.stderr));
}
