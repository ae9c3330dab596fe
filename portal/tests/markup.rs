//! Every page in every state, in both languages: whole, labelled, escaped, small, and without anything in a URL that names somebody.

mod fixtures;

use std::collections::{BTreeMap, BTreeSet};

use fixtures::{MARKERS, all};
use sillage_portal::pages::STYLE;
use sillage_portal::view::Lang;

/// An opening tag.
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// The opening tags of a page of ours: attributes stand in double quotes, and every `<` of a text is escaped.
fn tags(html: &str) -> Vec<Tag> {
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        if name.is_empty() {
            continue;
        }
        rest = &rest[name.len()..];
        let mut attributes = BTreeMap::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let end = rest.find(['=', ' ', '>']).expect("a tag ends");
            let attribute = rest[..end].to_owned();
            assert!(attribute.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "attribute `{attribute}`");
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix("=\"") {
                let end = after.find('"').expect("a value ends");
                value = after[..end].to_owned();
                rest = &after[end + 1..];
            }
            assert!(attributes.insert(attribute.clone(), value).is_none(), "`{attribute}` stands twice in `{name}`");
        }
        out.push(Tag { name, attributes });
    }
    out
}

/// Runs a check over every page.
fn each(check: impl Fn(&str, Lang, &str, &[Tag])) {
    for lang in Lang::ALL {
        for page in all(lang) {
            let html = page.html.into_string();
            let name = format!("{lang}/{}", page.name);
            check(&name, lang, &html, &tags(&html));
        }
    }
}

fn count(tags: &[Tag], name: &str) -> usize {
    tags.iter().filter(|tag| tag.name == name).count()
}

fn between<'h>(html: &'h str, start: &str, end: &str) -> &'h str {
    html.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inside, _)| inside)
}

#[test]
fn every_page_has_a_title_a_language_one_heading_and_landmarks() {
    let mut titles = BTreeSet::new();
    for lang in Lang::ALL {
        assert_eq!(all(lang).iter().map(|page| page.name).collect::<BTreeSet<_>>().len(), all(lang).len(), "names");
    }
    each(|name, lang, html, tags| {
        assert!(html.starts_with("<!DOCTYPE html><html lang="), "{name}");
        assert_eq!(tags[0].get("lang"), Some(lang.as_str()), "{name}");
        let title = between(html, "<title>", "</title>");
        assert!(title.len() > 5 && title.ends_with("Sillage"), "{name}: title `{title}`");
        for landmark in ["h1", "main", "title"] {
            assert_eq!(count(tags, landmark), 1, "{name}: {landmark}");
        }
        assert!(count(tags, "header") == 1 && count(tags, "footer") == 1, "{name}: landmarks");
        let first = tags.iter().find(|tag| tag.name == "a").expect("a link");
        assert_eq!(first.get("href"), Some("#contenu"), "{name}: the skip link comes first");
        assert!(tags.iter().any(|tag| tag.get("href") == Some("/sortie")), "{name}: quick exit");
    });
    each_title(&mut titles);
}

/// Pages with an error say so in their title.
fn each_title(titles: &mut BTreeSet<String>) {
    each(|name, _, html, tags| {
        let has_error = tags.iter().any(|tag| tag.get("class") == Some("error-summary"));
        let title = between(html, "<title>", "</title>");
        let says = title.starts_with("Erreur") || title.starts_with("Error");
        assert_eq!(has_error, says, "{name}: title `{title}`");
    });
    for lang in Lang::ALL {
        titles.extend(
            all(lang).into_iter().map(|page| between(&page.html.into_string(), "<title>", "</title>").to_owned()),
        );
    }
    assert!(titles.len() > 60, "{} titles", titles.len());
}

#[test]
fn headings_go_down_one_level_at_a_time() {
    each(|name, _, _, tags| {
        let mut before = 0;
        for tag in tags {
            let Some(level) = tag.name.strip_prefix('h').and_then(|level| level.parse::<u8>().ok()) else { continue };
            // The summary of errors stands above the page's own heading.
            let is_summary = tag.get("id") == Some("problemes");
            assert!(is_summary || level <= before + 1, "{name}: h{level} after h{before}");
            before = if is_summary { 0 } else { level };
        }
    });
}

#[test]
fn every_field_has_a_label_and_every_reference_its_target() {
    each(|name, _, _, tags| {
        let mut ids = BTreeSet::new();
        for id in tags.iter().filter_map(|tag| tag.get("id")) {
            assert!(ids.insert(id), "{name}: id `{id}` stands twice");
        }
        let labelled: BTreeSet<&str> = tags.iter().filter_map(|tag| tag.get("for")).collect();
        for tag in tags {
            let is_field =
                matches!(tag.name.as_str(), "select" | "textarea" | "input") && tag.get("type") != Some("hidden");
            if is_field {
                assert!(
                    tag.get("id").is_some_and(|id| labelled.contains(id)),
                    "{name}: no label of {:?}",
                    tag.attributes
                );
            }
            for attribute in ["aria-labelledby", "aria-describedby", "for"] {
                for id in tag.get(attribute).into_iter().flat_map(str::split_whitespace) {
                    assert!(ids.contains(id), "{name}: {attribute} of nothing: {id}");
                }
            }
            if let Some(id) = tag.get("href").and_then(|href| href.strip_prefix('#')) {
                assert!(ids.contains(id), "{name}: a link to nothing: #{id}");
            }
        }
        assert_eq!(count(tags, "fieldset"), count(tags, "legend"), "{name}: legends");
    });
}

#[test]
fn links_of_a_page_can_be_told_apart() {
    each(|name, _, html, _| {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for link in html.split("<a ").skip(1) {
            let (attributes, rest) = link.split_once('>').expect("a tag ends");
            let text: String = rest.split_once("</a>").map_or("", |(text, _)| text).to_owned();
            let href = between(attributes, "href=\"", "\"").to_owned();
            let first = known.entry(text.clone()).or_insert_with(|| href.clone());
            assert_eq!(*first, href, "{name}: two links say `{text}`");
        }
    });
}

#[test]
fn text_of_records_is_escaped_everywhere() {
    each(|name, _, html, tags| {
        assert!(!html.contains('\0') && !html.contains('\u{202e}'), "{name}: characters that mislead");
        assert_eq!(count(tags, "img"), 0, "{name}: an element out of a text");
        let scripts: Vec<_> = tags.iter().filter(|tag| tag.name == "script").map(|tag| tag.get("src")).collect();
        let expected: &[Option<&str>] = if name.contains("verifier") { &[Some("/verifier.js")] } else { &[] };
        assert_eq!(scripts, expected, "{name}: scripts");
        for tag in tags {
            let inline = tag.attributes.keys().find(|key| key.starts_with("on") || *key == "style");
            assert_eq!(inline, None, "{name}: inside `{}`", tag.name);
        }
        assert_eq!(count(tags, "style"), 0, "{name}: a style inside");
    });
}

#[test]
fn no_url_names_anybody_or_leads_elsewhere() {
    each(|name, _, _, tags| {
        for tag in tags {
            for attribute in ["href", "action", "formaction", "src"] {
                let Some(url) = tag.get(attribute) else { continue };
                assert!(url.starts_with('/') && !url.starts_with("//") || url.starts_with('#'), "{name}: {url}");
                for marker in MARKERS {
                    assert!(!url.contains(marker), "{name}: {url}");
                }
            }
            let is_get = tag.name == "form" && tag.get("method") != Some("post");
            assert!(!is_get || tag.get("method") == Some("get"), "{name}: a form without a method");
        }
    });
}

#[test]
fn every_form_that_changes_something_carries_the_token() {
    each(|name, _, html, _| {
        if !html.contains("action=\"/deconnexion\"") {
            return;
        }
        for form in html.split("<form ").skip(1).filter(|form| form.contains("method=\"post\"")) {
            let form = form.split_once("</form>").map_or(form, |(form, _)| form);
            assert!(form.contains("name=\"jeton\" value=\"k3vB2s1qjYw\""), "{name}: {form}");
        }
    });
}

#[test]
fn a_page_is_small() {
    let mut largest = (0, String::new());
    for lang in Lang::ALL {
        for page in all(lang) {
            let bytes = page.html.into_string().len() + STYLE.len();
            // The page of hostile texts has labels far beyond what a record may carry.
            let is_hostile = page.name == "trace-hostile";
            assert!(is_hostile || bytes < 100_000, "{}: {bytes} bytes with its style sheet", page.name);
            if !is_hostile && bytes > largest.0 {
                largest = (bytes, page.name.to_owned());
            }
        }
    }
    println!("the largest page, with its style sheet: {} bytes ({})", largest.0, largest.1);
}

#[test]
fn the_style_sheet_needs_nobody_else() {
    for part in ["url(", "@import", "@font-face", "http"] {
        assert!(!STYLE.contains(part), "{part}");
    }
}

/// Relative luminance of `#rrggbb` (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let hex = colour.strip_prefix('#').expect("a colour");
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// The tokens of a block of the style sheet.
fn tokens(block: &str) -> BTreeMap<&str, &str> {
    let lines = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": "));
    lines.filter(|(_, value)| value.starts_with('#')).collect()
}

#[test]
fn every_pair_of_colours_has_contrast_in_light_and_dark() {
    let light = tokens(between(STYLE, ":root {", "}"));
    let dark = tokens(between(STYLE, "@media (prefers-color-scheme: dark) {\n  :root {", "}"));
    // Text needs 4.5, edges of fields and marks 3.
    let texts = [
        ("ink", "paper"),
        ("ink", "sheet"),
        ("ink", "wash"),
        ("ink", "good-wash"),
        ("ink", "warn-wash"),
        ("ink", "alarm-wash"),
        ("quiet", "paper"),
        ("quiet", "sheet"),
        ("quiet", "wash"),
        ("link", "paper"),
        ("link", "sheet"),
        ("link", "wash"),
        ("link", "good-wash"),
        ("link", "warn-wash"),
        ("link", "alarm-wash"),
        ("deep-ink", "deep"),
        ("deep-quiet", "deep"),
        ("good", "good-wash"),
        ("warn", "warn-wash"),
        ("alarm", "alarm-wash"),
        ("news", "news-wash"),
        ("alarm", "sheet"),
        ("alarm", "paper"),
        ("focus-ink", "focus"),
        ("link-hover", "paper"),
    ];
    let edges = [
        ("edge", "paper"),
        ("edge", "sheet"),
        ("focus-ink", "focus"),
        ("alarm", "paper"),
        ("warn", "paper"),
        ("news", "paper"),
    ];
    for (mode, known) in [("light", &light), ("dark", &dark)] {
        assert!(known.len() >= 20, "{mode}: {} tokens", known.len());
        for (pairs, least) in [(&texts[..], 4.5), (&edges[..], 3.0)] {
            for (front, back) in pairs {
                let found = contrast(known[front], known[back]);
                assert!(found >= least, "{mode}: {front} on {back} has {found:.2}");
            }
        }
        assert!(contrast("#ffffff", known["press"]) >= 4.5, "{mode}: a button");
    }
}
