//! The real command line, as a person types it, and its output as it is.

use super::story::Registered;
use super::{Error, Lang};
use sillage_chaos::audit::read;
use sillage_chaos::ens::{Patient, Service};
use sillage_chaos::load::Link;
use sillage_chaos::process::{Cluster, program};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Runs `sillage --profile … <args>`; shows the command where `shown`.
pub async fn sillage(profile: &Path, args: &[&str], shown: bool) -> Result<(), Error> {
    let mut command = Command::new(program("sillage")?);
    command.arg("--profile").arg(profile).args(args).kill_on_drop(true);
    if shown {
        println!("$ sillage {}", args.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" "));
        let status = command.status().await?;
        return if status.success() {
            Ok(())
        } else {
            Err(format!("sillage {} ended with {status}", args.join(" ")).into())
        };
    }
    let output = command.output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("sillage {} ended with {}: {}", args.join(" "), output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}

/// Paths of the demonstration's own folder are long and say nothing: only the file's name is shown.
fn quoted(arg: &str) -> String {
    let short = if arg.starts_with('/') {
        Path::new(arg).file_name().map_or(arg.into(), |n| n.to_string_lossy())
    } else {
        arg.into()
    };
    if short.contains(' ') { format!("'{short}'") } else { short.into_owned() }
}

/// The roles that a service's job needs.
const fn roles_of(service: Service) -> &'static str {
    match service {
        Service::Dmp => "recorder,decider,consent-desk",
        Service::Messaging | Service::Prescription | Service::App => "recorder",
        Service::Portal => "recorder,consent-desk",
        Service::Hospital => "recorder,emergency,consent-desk",
    }
}

/// Registers the six services, each with its own key, certificate and profile.
pub async fn register(cluster: &Cluster, lang: Lang) -> Result<Vec<Registered>, Error> {
    let mut services = Vec::new();
    for service in Service::ALL {
        let folder = cluster.dir().join("services").join(service.token());
        std::fs::create_dir_all(folder.parent().expect("it has a parent"))?;
        let out = folder.display().to_string();
        let roles = roles_of(service);
        // A log for test identities: in a real one each names its structures, systems and issuers.
        let args = ["keys", "register", "--name", service.name(), "--role", roles, "--vouch-for-all", "--out", &out];
        sillage(&cluster.profile(), &args, false).await?;
        println!("{} {} ({})", lang.say("inscrit :", "registered:"), service.name(), service.token());
        services.push(Registered { service, profile: folder.join("sillage.toml") });
    }
    Ok(services)
}

/// One patient's trace, as sentences and as a table.
pub async fn trace(cluster: &Cluster, lang: Lang, patient: &Patient) -> Result<(), Error> {
    match lang {
        Lang::Fr => println!("{}, INS {}, demande qui a accédé à ses données.", patient.name, patient.ins),
        Lang::En => println!("{}, INS {}, asks who accessed their data.", patient.name, patient.ins),
    }
    let base = ["trace", "--patient", &patient.ins, "--oid", patient.oid, "--lang", lang.token()];
    sillage(&cluster.profile(), &base, true).await?;
    println!();
    sillage(&cluster.profile(), &[&base[..], &["--only", "unjustified", "--verify"]].concat(), true).await
}

/// An inclusion proof of one entry, written by one program and verified offline by another.
pub async fn prove(cluster: &Cluster, lang: Lang, link: &Link, dir: &Path, index: u64) -> Result<(), Error> {
    let began = Instant::now();
    while read::checkpoint(link).await?.size.get() <= index {
        if began.elapsed() > Duration::from_secs(15) {
            return Err(format!("no checkpoint covers entry {index} after 15 s").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match lang {
        Lang::Fr => println!(
            "L’accès sans base est l’entrée {index} du journal ; n’importe qui peut le vérifier, sans nous croire :"
        ),
        Lang::En => {
            println!("The access without a basis is entry {index} of the log; anyone can check it without trusting us:")
        }
    }
    let file = dir.join(format!("{index}.tlog-proof")).display().to_string();
    sillage(&cluster.profile(), &["prove", "inclusion", &index.to_string(), "--out", &file], true).await?;
    let policy = cluster.dir().join("policy.txt").display().to_string();
    sillage(&cluster.profile(), &["verify", &file, "--policy", &policy], true).await
}

/// The nodes.
pub async fn cluster_status(cluster: &Cluster) -> Result<(), Error> {
    sillage(&cluster.profile(), &["cluster", "status"], true).await
}
