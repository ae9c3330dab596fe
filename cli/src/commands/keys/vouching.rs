//! The roles of a party and the names that it vouches for: `keys roles`, `keys vouching`, and those options of `keys
//! register`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_client::session::Session;
use sillage_proof::keys::AuthorId;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::limits::RECORD_BYTES_MAX;
use sillage_rules::record::act_message;
use sillage_rules::roles::{GIVEN_OUT, Roles};
use sillage_rules::vouching::{Vouched, Vouching};

use crate::Ended;
use crate::acts::{print, submit, submit_messages};
use crate::arguments::parse;

pub const ROLES_HELP: &str = "\
Roles, each as small as a job; a service takes those that its job needs:

  recorder      records accesses, deposits and movements of its own structures
  decider       asks for decisions, for actors of its own structures
  emergency     opens, justifies and closes break-glasses of its own structures
  reviewer      reviews break-glasses that other parties opened
  consent-desk  signs what patients decide: space, consents, limits, people
  identity      links and corrects identities
  login         opens sessions of patients, each with the login that proves it
  portal        reads one patient and signs what they decide, under an open session
  tag           resolves identities to tags
  reader        reads traces on behalf of patients
  patient       reads its own trace and decides for itself (--patient)
  auditor       reads entries
  operator      sees status and metrics
  authority     registers parties, and all else that holds for everybody";

/// The names for which a party vouches.
#[derive(Debug, Default, Args)]
pub struct VouchedArgs {
    /// A structure for which its actors act: FINESS or another id, as records name it
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub structure: Vec<String>,
    /// Structures, one a line, `#` begins a remark
    #[arg(long, value_name = "FILE")]
    pub structures_file: Option<PathBuf>,
    /// The URI of a system that names its actors, such as urn:oid:1.2.250.1.71.4.2.1 (RPPS)
    #[arg(long, value_delimiter = ',', value_name = "URI")]
    pub actor_system: Vec<String>,
    /// An issuer of logins that it relays, as authentications name it
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub issuer: Vec<String>,
    /// Everybody: in a test log only
    #[arg(long)]
    pub vouch_for_all: bool,
}

#[derive(Debug, Args)]
pub struct RolesArgs {
    /// Author id of the party, hex
    #[arg(long, value_name = "HEX")]
    pub author: String,
    /// All roles that it has from now on; comma-separated, or named again
    #[arg(long = "role", alias = "roles", value_delimiter = ',', value_name = "ROLE")]
    pub roles: Vec<String>,
    /// End the party: it has no role from now on, and its key signs nothing
    #[arg(long, conflicts_with = "roles")]
    pub none: bool,
    /// Records a second; 0 = the log's default
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub quota: u32,
}

#[derive(Debug, Args)]
pub struct VouchingArgs {
    /// Author id of the party, hex
    #[arg(long, value_name = "HEX")]
    pub author: String,
    #[command(flatten)]
    pub names: VouchedArgs,
    /// It vouches for these no more, instead of from now on
    #[arg(long)]
    pub remove: bool,
}

/// Bytes of names in one act: with all else that a registration says, it stays below the size of a record.
const NAMES_BYTES_MAX: usize = RECORD_BYTES_MAX / 2;

/// The roles that were named.
///
/// # Errors
/// When none is, or one is unknown or isn't given out: the error has the list.
pub fn roles(names: &[String]) -> Result<Roles, ClientError> {
    let roles = named_roles(names)?;
    match roles.contains(Roles::AUTHOR) {
        true => Err(ClientError::Usage(format!("--role: author isn't given out any more, take of {GIVEN_OUT}"))),
        false => Ok(roles),
    }
}

/// The same, with those that a party of before may have: it may keep them.
fn named_roles(names: &[String]) -> Result<Roles, ClientError> {
    if names.is_empty() {
        return Err(ClientError::Usage(format!("--role: name what the party may do, of {GIVEN_OUT}")));
    }
    let roles = Roles::from_names(names.iter().map(|role| role.trim()));
    roles.map_err(|error| ClientError::Usage(format!("--role: {error}")))
}

/// The names that were given.
///
/// # Errors
/// When a file can't be read.
pub fn names(args: VouchedArgs) -> Result<Vouching, ClientError> {
    let trimmed = |list: Vec<String>| list.into_iter().map(|name| name.trim().to_owned()).collect();
    let mut vouching = Vouching {
        structures: trimmed(args.structure),
        actor_systems: trimmed(args.actor_system),
        issuers: trimmed(args.issuer),
    };
    if let Some(file) = &args.structures_file {
        vouching.structures.extend(lines(file)?);
    }
    if args.vouch_for_all {
        let any = Vouching::any();
        for what in Vouched::ALL {
            vouching.of_mut(what).extend_from_slice(any.of(what));
        }
    }
    Ok(vouching.sorted())
}

fn lines(file: &Path) -> Result<Vec<String>, ClientError> {
    let text = String::from_utf8(read(file)?).map_err(|error| ClientError::reading(file, error))?;
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(line, _)| line).trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The same names in parts that fit an act each.
pub fn in_parts(vouching: &Vouching) -> Vec<Vouching> {
    let (mut parts, mut bytes) = (vec![Vouching::default()], 0);
    for (what, name) in vouching.names() {
        bytes += name.len() + 4;
        if bytes > NAMES_BYTES_MAX {
            parts.push(Vouching::default());
            bytes = name.len() + 4;
        }
        let part = parts.last_mut().expect("never empty");
        part.of_mut(what).push(name.to_owned());
    }
    parts
}

/// The record of the act by which a party vouches for more.
pub fn adding(author_id: AuthorId, added: Vouching) -> v1::Record {
    act_message(&Act::VouchingChanged { author_id, added, removed: Vouching::default() }, now_ms())
}

pub async fn change_roles(session: &Session, args: RolesArgs) -> Result<Ended, ClientError> {
    let author_id = parse::<AuthorId>("--author", &args.author)?;
    let roles = if args.none { Roles::NONE } else { named_roles(&args.roles)? };
    let act = Act::RolesChanged { author_id, roles, quota_events_per_s: args.quota };
    let receipt = submit(session, &act).await?;
    print(&receipt, json!({"author_id": author_id, "roles": roles.names().collect::<Vec<_>>()}))
}

pub async fn change(session: &Session, args: VouchingArgs) -> Result<Ended, ClientError> {
    let author_id = parse::<AuthorId>("--author", &args.author)?;
    let names = names(args.names)?;
    if names.is_empty() {
        let what = "name at least one --structure, --structures-file, --actor-system or --issuer";
        return Err(ClientError::Usage(what.to_owned()));
    }
    let records = in_parts(&names).into_iter().map(|part| match args.remove {
        false => adding(author_id, part),
        true => act_message(&Act::VouchingChanged { author_id, added: Vouching::default(), removed: part }, now_ms()),
    });
    let receipt = submit_messages(session, records.collect()).await?;
    let counts = Vouched::ALL.map(|what| names.of(what).len());
    print(
        &receipt,
        json!({"author_id": author_id, "structures": counts[0], "actor_systems": counts[1], "issuers": counts[2]}),
    )
}

/// The names for which a party vouches, in words.
pub fn in_words(party: &v1::Party) -> String {
    let vouching = party.vouching.clone().unwrap_or_default();
    let lists = [
        ("structures", vouching.structures, party.structures),
        ("actor systems", vouching.actor_systems, party.actor_systems),
        ("issuers", vouching.issuers, party.issuers),
    ];
    let part = |(what, shown, count): (&str, Vec<String>, u32)| {
        let more = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(shown.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let shown: Vec<String> = shown.iter().map(|name| sillage_words::sentence::clean(name).to_string()).collect();
        (!shown.is_empty()).then(|| format!("{what} {}{more}", shown.join(", ")))
    };
    let parts: Vec<String> = lists.into_iter().filter_map(part).collect();
    if parts.is_empty() { "vouches for nobody".to_owned() } else { format!("vouches for {}", parts.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_split_so_that_each_part_fits() {
        let structure = (0..4_096).rev().map(|n| format!("69{n:07}")).collect();
        let all = names(VouchedArgs {
            structure,
            issuer: vec!["b".into(), "a".into(), "b".into()],
            ..VouchedArgs::default()
        });
        let all = all.expect("no file");
        assert_eq!((all.structures.len(), &all.issuers[..]), (4_096, &["a".to_owned(), "b".to_owned()][..]));
        let parts = in_parts(&all);
        assert!(parts.len() > 1);
        let together: Vec<_> = parts.iter().flat_map(Vouching::names).collect();
        assert_eq!(together, all.names().collect::<Vec<_>>());
        for part in parts {
            let record = adding(AuthorId::from([1; 32]), part);
            assert!(sillage_rules::record::ParsedRecord::from_message(record).is_ok());
        }
    }

    #[test]
    fn without_a_role_the_list_is_told() {
        for named in [&[][..], &["author".to_owned()], &["king".to_owned()]] {
            let told = roles(named).expect_err("no such role").to_string();
            assert!(told.contains("recorder, decider"), "{told}");
        }
        assert_eq!(roles(&["recorder".to_owned(), " tag".to_owned()]).expect("roles"), Roles::RECORDER | Roles::TAG);
    }
}
