//! Enrolments: the patients who have confirmed once, at the level substantial, that an INS is theirs. The next login of the same
//! account needs no question.
//!
//! One file for each login process, added to and never rewritten. A line is `name blob`, both in hexadecimal: the name is an HMAC of
//! (issuer, sub), the blob is AES-256-GCM (nonce of 12 bytes, then the INS and its OID with a space between them; nothing, where an
//! enrolment was withdrawn), bound to the name. The first line names the format and tells a wrong key. A line that a crash has cut is
//! cut off when the file is opened. The file is fsynced before a patient is told.
//!
//! Several login processes each know their own patients: whoever is sent to another one confirms again there.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use sillage_rules::ident::Ins;
use sillage_rules::will::Level;
use zeroize::Zeroizing;

use crate::oidc::Person;
use crate::oidc::keys::read_private;

use super::resolver::{Answer, IdentityResolver, ResolveError, Resolved, checked};

/// Enrolments of a file, at most.
const ENROLMENTS_MAX: usize = 1_000_000;
/// Bytes of a line: a name of 64 characters, and a nonce, an INS, an OID and a tag twice as long.
const LINE_BYTES_MAX: usize = 64 + 1 + 2 * (12 + 15 + 1 + 64 + 16) + 1;
const HEADER: &str = "sillage-enrolments/1";

type Name = [u8; 32];

/// The file.
struct Store {
    names: hmac::Key,
    cipher: LessSafeKey,
    inner: Mutex<Inner>,
    is_test_log: bool,
}

struct Inner {
    file: File,
    /// Sealed as in the file.
    known: HashMap<Name, Vec<u8>>,
    lines: usize,
    /// A write failed: what the file ends with isn't known, so nothing is added behind it.
    is_broken: bool,
}

impl Store {
    fn open(path: &Path, key: &[u8; 32], is_test_log: bool) -> Result<Self, String> {
        let named = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let derive = |label: &'static [u8]| {
            let mut out = Zeroizing::new([0; 32]);
            let (salt, label) = (hkdf::Salt::new(hkdf::HKDF_SHA256, b"sillage/enrolments/1"), [label]);
            let extracted = salt.extract(key);
            let okm = extracted.expand(&label, hkdf::HKDF_SHA256).expect("32 bytes can be had");
            okm.fill(out.as_mut_slice()).expect("32 bytes can be had");
            out
        };
        let names = hmac::Key::new(hmac::HMAC_SHA256, derive(b"names").as_slice());
        let cipher =
            LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derive(b"seal").as_slice()).expect("32 bytes are a key"));
        let first = format!("{HEADER} {}\n", hex::encode(&derive(b"check")[..8]));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| named(&error))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| named(&"another process uses it: each login process has a file of its own"))?;
        let bytes_max = (ENROLMENTS_MAX * LINE_BYTES_MAX + first.len()) as u64;
        if file.metadata().map_err(|error| named(&error))?.len() > bytes_max {
            return Err(named(&format!("longer than {bytes_max} bytes")));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| named(&error))?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let (mut known, mut lines) = (HashMap::new(), 0);
        match text[..whole].strip_prefix(&first) {
            Some(rest) => {
                for line in rest.lines() {
                    lines += 1;
                    let (name, sealed) =
                        parse_line(line).ok_or_else(|| named(&format!("line {}: not an enrolment", lines + 1)))?;
                    known.insert(name, sealed);
                }
            }
            None if whole == 0 => {
                file.set_len(0).map_err(|error| named(&error))?;
                file.seek(SeekFrom::Start(0)).map_err(|error| named(&error))?;
                file.write_all(first.as_bytes()).map_err(|error| named(&error))?;
            }
            None if text.starts_with(HEADER) => return Err(named(&"made with another key")),
            None => return Err(named(&"not a file of enrolments")),
        }
        // The rest of a line that a crash has cut: nobody was told of it.
        let end = if whole == 0 { first.len() } else { whole };
        file.set_len(end as u64).map_err(|error| named(&error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| named(&error))?;
        file.sync_all().map_err(|error| named(&error))?;
        Ok(Self { names, cipher, inner: Mutex::new(Inner { file, known, lines, is_broken: false }), is_test_log })
    }

    fn name(&self, person: &Person) -> Name {
        let mut context = hmac::Context::with_key(&self.names);
        context.update(&(person.issuer.len() as u64).to_be_bytes());
        context.update(person.issuer.as_bytes());
        context.update(person.sub.as_bytes());
        context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn find(&self, name: &Name) -> Result<Option<Ins>, ResolveError> {
        let Some(mut sealed) = self.inner.lock().known.get(name).cloned() else { return Ok(None) };
        if sealed.len() < 12 {
            return Err(ResolveError::Store);
        }
        let mut rest = Zeroizing::new(sealed.split_off(12));
        let nonce = Nonce::try_assume_unique_for_key(&sealed).map_err(|_| ResolveError::Store)?;
        let opened = self.cipher.open_in_place(nonce, Aad::from(name), &mut rest).map_err(|_| ResolveError::Store)?;
        if opened.is_empty() {
            return Ok(None);
        }
        let text = std::str::from_utf8(opened).map_err(|_| ResolveError::Store)?;
        let (value, oid) = text.split_once(' ').ok_or(ResolveError::Store)?;
        checked(value, oid, self.is_test_log).map(Some).map_err(|_| ResolveError::Store)
    }

    /// Adds a line; without an INS it withdraws.
    fn add(&self, name: &Name, ins: Option<&Ins>) -> Result<(), ResolveError> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|_| ResolveError::Store)?;
        let text = ins.map(|ins| format!("{} {}", ins.value(), ins.oid().as_str())).unwrap_or_default();
        let mut sealed = text.into_bytes();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.cipher.seal_in_place_append_tag(unique, Aad::from(name), &mut sealed).map_err(|_| ResolveError::Store)?;
        let sealed = [&nonce[..], &sealed].concat();
        let line = format!("{} {}\n", hex::encode(name), hex::encode(&sealed));
        assert!(line.len() <= LINE_BYTES_MAX, "an INS and an OID have a bound");
        let mut inner = self.inner.lock();
        if inner.is_broken {
            return Err(ResolveError::Store);
        }
        if inner.lines >= ENROLMENTS_MAX {
            return Err(ResolveError::Full);
        }
        let written = inner.file.write_all(line.as_bytes()).and_then(|()| inner.file.sync_data());
        if written.is_err() {
            inner.is_broken = true;
            return Err(ResolveError::Store);
        }
        inner.lines += 1;
        inner.known.insert(*name, sealed);
        Ok(())
    }
}

fn parse_line(line: &str) -> Option<(Name, Vec<u8>)> {
    let (name, sealed) = line.split_once(' ')?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(name, &mut bytes).ok()?;
    let sealed = hex::decode(sealed).ok().filter(|sealed| sealed.len() >= 12 + 16)?;
    Some((bytes, sealed))
}

/// Enrolments, in front of a resolver that finds patients by their traits.
pub struct Enrolled {
    store: Arc<Store>,
    inner: Box<dyn IdentityResolver>,
}

impl std::fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrolled(..)")
    }
}

impl Enrolled {
    /// With this file, and the file of its key: 64 hexadecimal characters, mode 0600.
    ///
    /// # Errors
    /// A file that can't be used, by name.
    pub fn open(path: &Path, key: &Path, inner: Box<dyn IdentityResolver>, is_test_log: bool) -> Result<Self, String> {
        let text = read_private("enrolments_key", key).map_err(|error| error.why)?;
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|_| format!("{}: expected 64 hexadecimal characters", key.display()))?;
        let store = Store::open(path, &bytes, is_test_log)?;
        Ok(Self { store: Arc::new(store), inner })
    }

    /// Withdraws the enrolment of an account: whoever logs in with it next confirms again.
    ///
    /// # Errors
    /// [`ResolveError::Store`] or [`ResolveError::Full`].
    pub fn withdraw(&self, person: &Person) -> Result<(), ResolveError> {
        self.store.add(&self.store.name(person), None)
    }
}

impl IdentityResolver for Enrolled {
    fn resolve<'a>(&'a self, person: &'a Person) -> Answer<'a, Resolved> {
        Box::pin(async move {
            match self.store.find(&self.store.name(person))? {
                Some(ins) => Ok(Resolved::Found(ins)),
                None => self.inner.resolve(person).await,
            }
        })
    }

    fn enrol<'a>(&'a self, person: &'a Person, ins: &'a Ins, level: Level) -> Answer<'a, ()> {
        Box::pin(async move {
            if level < Level::Substantial {
                return Err(ResolveError::Level);
            }
            let name = self.store.name(person);
            match self.store.find(&name)? {
                Some(known) if known == *ins => return Ok(()),
                Some(_) => return Err(ResolveError::Conflict),
                None => {}
            }
            let (store, ins) = (Arc::clone(&self.store), ins.clone());
            let added = tokio::task::spawn_blocking(move || store.add(&name, Some(&ins))).await;
            added.unwrap_or(Err(ResolveError::Store))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::resolver::tests::{OID, ins, person};
    use super::*;

    /// Finds everybody to be the same patient.
    struct Same(Ins);

    impl IdentityResolver for Same {
        fn resolve<'a>(&'a self, _person: &'a Person) -> Answer<'a, Resolved> {
            Box::pin(async { Ok(Resolved::ToConfirm(self.0.clone())) })
        }
    }

    struct World {
        dir: tempfile::TempDir,
    }

    impl World {
        fn begin() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let world = Self { dir };
            world.write_key("key", 7);
            world
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write_key(&self, name: &str, byte: u8) {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::write(self.path(name), hex::encode([byte; 32])).expect("a file");
            std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).expect("permissions");
        }

        fn open_with(&self, key: &str) -> Result<Enrolled, String> {
            Enrolled::open(&self.path("enrolments"), &self.path(key), Box::new(Same(patient())), false)
        }

        fn open(&self) -> Enrolled {
            self.open_with("key").expect("a file of enrolments")
        }
    }

    fn patient() -> Ins {
        checked(&ins("2800175123456"), OID, false).expect("an INS")
    }

    #[tokio::test]
    async fn a_patient_confirms_once_and_not_again_after_a_restart() {
        let world = World::begin();
        let (who, other) = (person("a"), person("b"));
        {
            let enrolled = world.open();
            assert_eq!(enrolled.resolve(&who).await, Ok(Resolved::ToConfirm(patient())));
            assert_eq!(enrolled.enrol(&who, &patient(), Level::Low).await, Err(ResolveError::Level));
            enrolled.enrol(&who, &patient(), Level::Substantial).await.expect("kept");
            enrolled.enrol(&who, &patient(), Level::High).await.expect("the same again");
            assert!(world.open_with("key").expect_err("refused").contains("another process"));
        }
        let enrolled = world.open();
        assert_eq!(enrolled.resolve(&who).await, Ok(Resolved::Found(patient())));
        assert_eq!(enrolled.resolve(&other).await, Ok(Resolved::ToConfirm(patient())), "another account");
        let mut elsewhere = person("a");
        elsewhere.issuer = "https://evil.example".to_owned();
        assert_eq!(
            enrolled.resolve(&elsewhere).await,
            Ok(Resolved::ToConfirm(patient())),
            "the same sub of another provider"
        );
        let another = checked(&ins("1800175123457"), OID, false).expect("an INS");
        assert_eq!(enrolled.enrol(&who, &another, Level::High).await, Err(ResolveError::Conflict));
        enrolled.withdraw(&who).expect("kept");
        assert_eq!(enrolled.resolve(&who).await, Ok(Resolved::ToConfirm(patient())));
        drop(enrolled);
        assert_eq!(world.open().resolve(&who).await, Ok(Resolved::ToConfirm(patient())), "it stays withdrawn");
    }

    #[tokio::test]
    async fn the_file_shows_nobody_and_a_cut_line_costs_no_other() {
        let world = World::begin();
        let enrolled = world.open();
        for sub in ["a", "b"] {
            enrolled.enrol(&person(sub), &patient(), Level::Substantial).await.expect("kept");
        }
        drop(enrolled);
        let text = std::fs::read_to_string(world.path("enrolments")).expect("a file");
        assert!(
            !text.contains(patient().value())
                && !text.contains(&hex::encode(patient().value()))
                && !text.contains("idp.example")
        );
        std::fs::write(world.path("enrolments"), &text[..text.len() - 5]).expect("a file");
        let enrolled = world.open();
        assert_eq!(enrolled.resolve(&person("a")).await, Ok(Resolved::Found(patient())));
        assert_eq!(enrolled.resolve(&person("b")).await, Ok(Resolved::ToConfirm(patient())));
        enrolled.enrol(&person("b"), &patient(), Level::Substantial).await.expect("kept");
        drop(enrolled);
        assert_eq!(world.open().resolve(&person("b")).await, Ok(Resolved::Found(patient())));
    }

    #[tokio::test]
    async fn another_key_another_file_and_moved_lines_are_refused() {
        let world = World::begin();
        let enrolled = world.open();
        for sub in ["a", "b"] {
            enrolled.enrol(&person(sub), &patient(), Level::Substantial).await.expect("kept");
        }
        drop(enrolled);
        world.write_key("other", 8);
        assert!(world.open_with("other").expect_err("refused").contains("another key"));
        let text = std::fs::read_to_string(world.path("enrolments")).expect("a file");
        let lines: Vec<&str> = text.lines().collect();
        let (name, blob) = (lines[1].split_once(' ').expect("a line").0, lines[2].split_once(' ').expect("a line").1);
        std::fs::write(world.path("enrolments"), format!("{}\n{name} {blob}\n", lines[0])).expect("a file");
        assert_eq!(world.open().resolve(&person("a")).await, Err(ResolveError::Store), "the blob of another name");
        std::fs::write(world.path("enrolments"), format!("{}\nx y\n", lines[0])).expect("a file");
        assert!(world.open_with("key").expect_err("refused").contains("line 2"));
        std::fs::write(world.path("enrolments"), "something else\n").expect("a file");
        assert!(world.open_with("key").expect_err("refused").contains("not a file of enrolments"));
    }
}
