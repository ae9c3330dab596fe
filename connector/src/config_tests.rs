use super::*;

const EXAMPLE: &str = "profile = \"p.toml\"\nstream = \"c-1\"\n";

fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("connector.toml");
    std::fs::write(&path, text).expect("written");
    let mut config = Config::load(&path)?;
    let base = std::path::absolute(dir.path()).expect("a path");
    config.profile = config.profile.strip_prefix(&base).expect("relative to the file").to_owned();
    config.spool.dir = config.spool.dir.strip_prefix(&base).expect("relative to the file").to_owned();
    Ok(config)
}

#[test]
fn a_file_says_what_it_must_and_nothing_unknown() {
    let config = load(EXAMPLE).expect("a configuration");
    assert_eq!((config.profile.as_path(), config.streams), (Path::new("p.toml"), 4));
    assert_eq!((config.spool, config.limits), (SpoolConfig::default(), Limits::default()));
    assert!(matches!(load("profile = \"p.toml\"\n"), Err(ConfigError::Parse { .. })));
    assert!(matches!(load(&format!("{EXAMPLE}colour = 1\n")), Err(ConfigError::Parse { .. })));
    assert!(matches!(Config::load(Path::new("/nowhere")), Err(ConfigError::Read { .. })));
}

#[test]
fn a_file_that_cannot_be_says_what_to_do() {
    let fhir = |rest: &str| format!("{EXAMPLE}[fhir]\nbase = \"https://c.example/fhir\"\n{rest}");
    let client = |rest: &str| format!("{EXAMPLE}[[client]]\nname = \"a\"\nscopes = []\n{rest}");
    for (text, word) in [
        (EXAMPLE.replace("c-1", "C 1"), "stream"),
        (format!("{EXAMPLE}[spool]\nbytes_max = 7\n"), "spool.bytes_max"),
        (format!("{EXAMPLE}[spool]\nindex_days = 1\n"), "spool.index_days"),
        (format!("streams = 0\n{EXAMPLE}"), "streams"),
        (fhir("listen = \"0.0.0.0:443\"\n"), "[fhir.tls]"),
        (fhir("listen = \"127.0.0.1:80\"\n").replace("/fhir", "/fhir/"), "fhir.base"),
        (fhir("listen = \"127.0.0.1:80\"\ntoken = \"short\"\n"), "32 characters"),
        (
            fhir(
                "listen = \"10.0.0.1:80\"\ntoken = \"0123456789abcdef0123456789abcdef\"\n[fhir.tls]\ncert = \"a\"\nkey = \"b\"\n",
            ),
            "loopback",
        ),
        (client(""), "certificate_sha256"),
        (client("certificate_sha256 = \"00\"\n"), "64 hexadecimal"),
        (client("oauth_client = \"x\"\n"), "[oauth]"),
        (format!("{EXAMPLE}[limits]\nwaiting_max = 0\n"), "limits.waiting_max"),
        (format!("{EXAMPLE}[limits]\nresource_bytes_max = 99999999\n"), "limits.resource_bytes_max"),
    ] {
        let why = load(&text).expect_err(word).to_string();
        assert!(why.contains(word), "{word}: {why}");
    }
}

const REFERENCE: &str = include_str!("../../docs/reference/connector-toml.md");

/// The public fields of a structure of the code that a configuration may hold, but for tables.
fn fields(name: &str, prefix: &str) -> Vec<String> {
    let (_, rest) = include_str!("config.rs").split_once(&format!("pub struct {name} {{")).expect("it is there");
    let (body, _) = rest.split_once("\n}").expect("it ends");
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let fields = fields.filter(|(_, kind)| !kind.contains("Config") && *kind != "Limits,");
    fields.map(|(field, _)| format!("{prefix}{field}")).collect()
}

#[test]
fn the_reference_has_every_field_and_no_other_and_the_defaults_of_the_code() {
    let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows: Vec<(&str, &str)> = rows.collect();
    let parts = [
        ("Config", ""),
        ("SpoolConfig", "spool."),
        ("PatientsConfig", "patients."),
        ("FhirConfig", "fhir."),
        ("TlsConfig", "fhir.tls."),
        ("ClientConfig", "client."),
        ("OauthConfig", "oauth."),
        ("FeedConfig", "syslog."),
        ("AdtConfig", "adt."),
        ("EmergencyConfig", "emergency."),
        ("Limits", "limits."),
    ];
    let expected: Vec<String> = parts.iter().flat_map(|(name, prefix)| fields(name, prefix)).collect();
    assert_eq!(rows.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected);

    let default = |name: &str| {
        let row = rows.iter().find(|(row, _)| *row == name).expect("a row").1;
        row.split(" | ").nth(1).expect("a default").replace(',', "")
    };
    let limits = rows.iter().filter(|(name, _)| name.starts_with("limits."));
    let limits: String =
        limits.map(|(name, _)| format!("{} = {}\n", name.trim_start_matches("limits."), default(name))).collect();
    let told = load(&format!(
        "streams = {}\nheartbeat_s = {}\n{EXAMPLE}[spool]\nbytes_max = {}\nindex_days = {}\n[limits]\n{limits}",
        default("streams"),
        default("heartbeat_s"),
        default("spool.bytes_max"),
        default("spool.index_days"),
    ));
    let (told, code) = (told.expect("a configuration"), load(EXAMPLE).expect("a configuration"));
    assert_eq!((told.streams, told.heartbeat_s), (code.streams, code.heartbeat_s));
    assert_eq!((told.spool, told.limits), (code.spool, code.limits));
}

#[test]
fn the_example_of_the_reference_is_a_configuration() {
    let (_, rest) = REFERENCE.split_once("```toml\n").expect("an example");
    let (text, _) = rest.split_once("```").expect("it ends");
    let config = load(text).expect("it can be used");
    assert_eq!(config.clients.len(), 2);
    assert!(config.syslog.is_some() && config.adt.is_some() && config.oauth.is_some());
}
