use super::*;

const REFERENCE: &str = include_str!("../../docs/reference/portal-toml.md");

const PORTAL: &str = "profile = \"p.toml\"\nlisten = \"127.0.0.1:8450\"\nbase = \"http://127.0.0.1:8450\"\n\
                      [login]\nbase = \"http://127.0.0.1:8451\"\nback = \"http://127.0.0.1:8452\"\n";
const LOGIN: &str = "profile = \"p.toml\"\nlisten = \"127.0.0.1:8451\"\nbase = \"http://127.0.0.1:8451\"\n\
                     portal = \"http://127.0.0.1:8450\"\nportal_author = \"00\"\n[back]\nlisten = \"127.0.0.1:8452\"\n";

const DEV: &str = "[dev]\ntest_issuer = \"k\"\n";
const OIDC: &str = "[oidc]\nissuer = \"https://idp.example\"\nclient_id = \"c\"\nredirect_uri = \"https://login.example/retour-fournisseur\"\n\
                    keys = \"keys.json\"\n";

fn in_file<T>(text: &str, load: fn(&Path) -> Result<T, ConfigError>) -> Result<T, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.toml");
    std::fs::write(&path, text).expect("written");
    load(&path).map_err(|error| error.to_string())
}

fn portal(text: &str) -> Result<PortalConfig, String> {
    in_file(text, PortalConfig::load)
}

fn login(text: &str) -> Result<LoginConfig, String> {
    in_file(text, LoginConfig::load)
}

#[test]
fn a_file_says_what_it_must_and_nothing_unknown() {
    let config = portal(PORTAL).expect("a configuration");
    assert_eq!((config.streams, config.is_secure(), config.limits), (4, false, Limits::default()));
    assert!(login(LOGIN).expect_err("nobody can log in").contains("[oidc]"));
    assert!(portal(&format!("colour = 1\n{PORTAL}")).is_err());
    assert!(portal("listen = \"127.0.0.1:8450\"").is_err());
    assert!(matches!(PortalConfig::load(Path::new("/nowhere")), Err(ConfigError::Read { .. })));
}

#[test]
fn what_leaves_the_machine_is_encrypted() {
    for (from, to, said) in [
        ("listen = \"127.0.0.1:8450\"", "listen = \"0.0.0.0:8450\"", "certificates"),
        ("base = \"http://127.0.0.1:8450\"", "base = \"http://trace.example\"", "https"),
        ("base = \"http://127.0.0.1:8450\"", "base = \"http://127.0.0.1.evil.example\"", "https"),
        ("back = \"http://127.0.0.1:8452\"", "back = \"http://login.example\"", "login.back"),
        ("back = \"http://127.0.0.1:8452\"", "back = \"https://login.example\"", "login.ca"),
        ("base = \"http://127.0.0.1:8450\"", "base = \"https://trace.example/\"", "origin"),
    ] {
        let refused = portal(&PORTAL.replace(from, to)).expect_err(to);
        assert!(refused.contains(said), "{refused}");
    }
    portal(&PORTAL.replace("base = \"http://127.0.0.1:8450\"", "base = \"https://trace.example\""))
        .expect("behind a proxy");
    let open = format!("{LOGIN}{DEV}").replace("listen = \"127.0.0.1:8452\"", "listen = \"0.0.0.0:8452\"");
    let refused = login(&open).expect_err("open");
    assert!(refused.contains("back.listen"), "{refused}");
}

#[test]
fn a_login_for_development_is_for_this_machine_alone() {
    let dev = |text: &str| login(&format!("{text}{DEV}"));
    dev(LOGIN).expect("here");
    for (from, to) in [
        ("portal = \"http://127.0.0.1:8450\"", "portal = \"https://trace.example\""),
        ("base = \"http://127.0.0.1:8451\"", "base = \"https://login.example\""),
    ] {
        assert!(dev(&LOGIN.replace(from, to)).expect_err(to).contains("[dev]"));
    }
}

#[test]
fn people_log_in_in_one_way() {
    let whole = format!("{LOGIN}{OIDC}[identity]\nsource = \"claim\"\n");
    let config = login(&whole).expect("a configuration");
    let keys = config.oidc.expect("a provider").keys.expect("keys");
    assert!(keys.is_absolute() && keys.ends_with("keys.json"), "beside the file");
    assert!(login(&format!("{LOGIN}{OIDC}")).expect_err("half").contains("[identity]"));
    assert!(login(&format!("{whole}{DEV}")).expect_err("both").contains("one of both"));
}

#[test]
fn limits_that_serve_nothing_are_refused() {
    let zero = portal(&format!("{PORTAL}[limits]\nrequests_max = 0\n")).expect_err("refused");
    assert!(zero.contains("requests_max"), "{zero}");
    assert!(portal(&format!("streams = 17\n{PORTAL}")).expect_err("refused").contains("streams"));
}

/// The public fields of a structure of the code that a configuration may hold, but for tables.
fn fields(name: &str, prefix: &str) -> Vec<String> {
    let (_, rest) = include_str!("config.rs").split_once(&format!("pub struct {name} {{")).expect("it is there");
    let (body, _) = rest.split_once("\n}").expect("it ends");
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let is_table = |kind: &str| {
        ["Config", "LoginLink", "DemoPatient", "Settings"].iter().any(|own| kind.contains(own)) || kind == "Limits,"
    };
    fields.filter(|(_, kind)| !is_table(kind)).map(|(field, _)| format!("{prefix}{field}")).collect()
}

/// The rows of the reference between two of its heads.
fn rows(from: &str, to: &str) -> Vec<(&'static str, &'static str)> {
    let (_, rest) = REFERENCE.split_once(from).expect("the head");
    let part = rest.split_once(to).map_or(rest, |(part, _)| part);
    part.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).collect()
}

#[test]
fn the_reference_has_every_field_and_no_other_and_the_defaults_of_the_code() {
    let names = |rows: &[(&str, &str)]| rows.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let expected = |parts: &[(&str, &str)]| parts.iter().flat_map(|(n, p)| fields(n, p)).collect::<Vec<String>>();
    let pages = rows("# The page process", "# The login process");
    assert_eq!(names(&pages), expected(&[("PortalConfig", ""), ("LoginLink", "login."), ("TlsConfig", "tls.")]));
    let logins = rows("# The login process", "# Limits of both");
    let parts = [
        ("LoginConfig", ""),
        ("BackConfig", "back."),
        ("DevConfig", "dev."),
        ("DemoPatient", "dev.patient."),
        ("StatementConfig", "statement."),
    ];
    assert_eq!(names(&logins), expected(&parts));
    let limits = rows("# Limits of both", "# Examples");
    assert_eq!(names(&limits), expected(&[("Limits", "limits.")]));
    let defaults = limits.iter().filter_map(|(name, rest)| {
        let default = rest.split(" | ").nth(1)?.replace(',', "");
        Some(format!("{} = {default}\n", name.strip_prefix("limits.")?))
    });
    let told = portal(&format!("{PORTAL}[limits]\n{}", defaults.collect::<String>())).expect("a configuration");
    assert_eq!(told.limits, Limits::default());
}

#[test]
fn the_examples_of_the_reference_are_configurations() {
    let mut examples = REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    portal(examples.next().expect("of the page process").0).expect("it can be used");
    login(examples.next().expect("of the login process").0).expect("it can be used");
}
