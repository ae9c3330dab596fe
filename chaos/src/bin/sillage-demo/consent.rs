//! The patient decides and somebody asks: shown with the real command line.

use super::show::sillage;
use super::story::Registered;
use super::{Error, Lang};
use sillage_chaos::ens::{Day, Patient, Service};
use sillage_chaos::process::Cluster;
use sillage_client::authorize::receipt::{Receipt, ReceiptFile};
use sillage_proto::v1::Actor;
use sillage_rules::time::TimeMs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The document that everybody asks for.
const DOCUMENT: &str = "bilan-2026";
/// The consent and the emergency access, as their ids are shown.
const CONSENT: &str = "accord-1";
const GLASS: &str = "urgence-1";
/// For how long the patient lets the doctor read.
const DAYS_MS: u64 = 30 * 24 * 3_600_000;

/// The people who take part.
struct Cast<'a> {
    lang: Lang,
    dir: &'a Path,
    patient: &'a Patient,
    portal: PathBuf,
    hospital: PathBuf,
}

/// Tells it. Gives the decisions that are on record now.
pub async fn tell(
    lang: Lang,
    cluster: &Cluster,
    services: &[Registered],
    day: &Day,
    dir: &Path,
) -> Result<Vec<Receipt>, Error> {
    let profile = |service| services.iter().find(|of| of.service == service).map(|of| of.profile.clone());
    let (portal, hospital) = (profile(Service::Portal), profile(Service::Hospital));
    let (portal, hospital) = (portal.ok_or("no portal")?, hospital.ok_or("no hospital")?);
    let quiet = quiet_patient(day);
    let patient = &day.world.patients[quiet];
    let cast = Cast { lang, dir, patient, portal, hospital };
    let doctor = day.world.actor(patient.doctor);
    // The showcase's emergency physician, and the cardiologist who had looked without a right.
    let emergency = day.world.actor(day.world.staff(0, "emergency-physician")[0]);
    let curious = day.world.actor(day.world.staff(1, "cardiologist")[0]);
    cast.is_proven()?;
    cast.says(
        format!(
            "{}, INS {}, permet la lecture de son dossier pour trente jours à {}.",
            patient.name, patient.ins, doctor.label
        ),
        format!(
            "{}, INS {}, permits the reading of their record, for thirty days, to {}.",
            patient.name, patient.ins, doctor.label
        ),
    );
    let until = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())? + DAYS_MS;
    let until = TimeMs(until / 1_000 * 1_000).to_string();
    let grant =
        ["consent", "grant", "--professional", &doctor.id, "--action", "read", "--until", &until, "--id", CONSENT];
    cast.patient_does(&grant).await?;
    let mut receipts = Vec::new();
    cast.says(
        "Le service du médecin demande ; le registre décide, et signe un reçu.".to_owned(),
        "The doctor's service asks; the ledger decides, and signs a receipt.".to_owned(),
    );
    receipts.extend(cast.asks(&doctor, "TREAT", "accord", true).await?);
    cast.says(
        "Pas de reçu, pas de données : l’entrepôt de documents vérifie avant de donner.".to_owned(),
        "No receipt, no data: the document store checks before it gives anything out.".to_owned(),
    );
    cast.store_checks(cluster, &doctor).await?;
    cast.says(
        "Un autre médecin demande le même document. On ne lui dit pas pourquoi il ne l’aura pas.".to_owned(),
        "Another doctor asks for the same document, and isn't told why it can't be had.".to_owned(),
    );
    receipts.extend(cast.asks(&curious, "TREAT", "autre", false).await?);
    cast.says("L’accord est retiré.".to_owned(), "The consent is withdrawn.".to_owned());
    cast.patient_does(&["consent", "revoke", CONSENT]).await?;
    cast.says("La réponse suivante est non.".to_owned(), "The next answer is no.".to_owned());
    receipts.extend(cast.asks(&doctor, "TREAT", "retrait", false).await?);
    cast.says(
        format!("Aux urgences, {} brise la glace, et dit pourquoi.", emergency.label),
        format!("In an emergency, {} breaks the glass, and says why.", emergency.label),
    );
    cast.breaks_glass(&emergency).await?;
    receipts.extend(cast.asks(&emergency, "BTG", "urgence", true).await?);
    cast.says("Et la trace montre tout.".to_owned(), "And the trace shows it all.".to_owned());
    sillage(&cluster.profile(), &[&["trace"][..], &cast.whose(), &["--lang", lang.token()]].concat(), true).await?;
    Ok(receipts)
}

/// The patient of whom the day tells least: what follows is then their whole trace.
fn quiet_patient(day: &Day) -> usize {
    let mut events = vec![0_usize; day.world.patients.len()];
    day.events.iter().for_each(|event| events[event.patient] += 1);
    (0..events.len()).min_by_key(|patient| events[*patient]).unwrap_or(0)
}

impl Cast<'_> {
    fn says(&self, fr: String, en: String) {
        println!("\n{}", if self.lang == Lang::Fr { fr } else { en });
    }

    fn whose(&self) -> [&str; 4] {
        ["--patient", &self.patient.ins, "--oid", self.patient.oid]
    }

    /// The portal says in its profile how patients prove who they are.
    fn is_proven(&self) -> Result<(), Error> {
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.portal)?;
        let auth = "\n[auth]\nissuer = \"FranceConnect+\"\nmethod = \"mobile\"\neidas_level = \"substantial\"\n";
        Ok(file.write_all(auth.as_bytes())?)
    }

    async fn patient_does(&self, what: &[&str]) -> Result<(), Error> {
        let label = ["--actor-label", &self.patient.name, "--lang", self.lang.token()];
        sillage(&self.portal, &[what, &self.whose(), &label].concat(), true).await
    }

    /// A doctor asks; the receipts of the answer, which is as expected.
    async fn asks(&self, who: &Actor, purpose: &str, name: &str, permitted: bool) -> Result<Vec<Receipt>, Error> {
        let out = self.dir.join(format!("{name}.sillage-receipt"));
        let path = out.display().to_string();
        let ask = ["--action", "read", "--purpose", purpose, "--items", DOCUMENT, "--out", &path];
        let lang = ["--lang", self.lang.token()];
        sillage(&self.hospital, &[&["authorize"][..], &self.whose(), &by(who), &ask, &lang].concat(), true).await?;
        let file = ReceiptFile::parse(&std::fs::read(&out)?)?;
        let given = file.receipts.iter().any(|receipt| receipt.view.actor.permitted.iter().any(|id| id == DOCUMENT));
        match given == permitted {
            true => Ok(file.receipts),
            false => {
                Err(format!("{DOCUMENT} was {} to {}", if given { "permitted" } else { "refused" }, who.id).into())
            }
        }
    }

    async fn store_checks(&self, cluster: &Cluster, who: &Actor) -> Result<(), Error> {
        let receipt = self.dir.join("accord.sillage-receipt").display().to_string();
        let check = ["authorize", "check", "--receipt", &receipt, "--actor", &who.id, "--items", DOCUMENT];
        sillage(&cluster.profile(), &[&check[..], &self.whose()].concat(), true).await
    }

    async fn breaks_glass(&self, who: &Actor) -> Result<(), Error> {
        let text = self.lang.say("Inconscient à l’arrivée", "Unconscious on arrival");
        let open = ["break-glass", "open", "--case", "INCAPACITY", "--reason", "UNCONSCIOUS", "--text", text];
        let how = ["--expires", "30m", "--no-position", "INDOORS", "--id", GLASS, "--lang", self.lang.token()];
        sillage(&self.hospital, &[&open[..], &self.whose(), &by(who), &how].concat(), true).await
    }
}

/// The asker, on the command line.
fn by(who: &Actor) -> [&str; 8] {
    [
        "--actor",
        &who.id,
        "--actor-profession",
        &who.role,
        "--actor-organisation",
        &who.organisation,
        "--actor-label",
        &who.label,
    ]
}
