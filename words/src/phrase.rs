//! Parts of sentences about what was decided: who, may do what, with what, until when. Read from the details of a record
//! (`docs/formats.md` §2), which are JSON of a stranger: what is missing or odd is left out, never a reason to fail.

use serde_json::Value;
use sillage_rules::time::TimeMs;

use super::clean::clean;
use super::{Lang, time, vocabulary, words};

/// Names that a sentence spells out; the others are counted.
const NAMED_MAX: usize = 6;

/// `a, b et c`.
pub fn list(parts: &[String], lang: Lang) -> String {
    let and = words::pick(lang, " et ", " and ");
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{}{and}{last}", most.join(", ")),
    }
}

/// As [`list`], of at most so many that a reader still sees them.
pub fn short_list(parts: &[String], lang: Lang) -> String {
    if parts.len() <= NAMED_MAX {
        return list(parts, lang);
    }
    let rest = parts.len() - NAMED_MAX;
    let more = match lang {
        Lang::Fr => format!("{rest} de plus"),
        Lang::En => format!("{rest} more"),
    };
    let named = parts.iter().take(NAMED_MAX).cloned().chain([more]).collect::<Vec<_>>();
    list(&named, lang)
}

/// Words as somebody else wrote them.
pub fn quoted(text: &str, lang: Lang) -> String {
    match lang {
        Lang::Fr => format!("« {text} »"),
        Lang::En => format!("“{text}”"),
    }
}

/// A text of the details, ready for a terminal.
pub fn text(details: &Value, field: &str) -> String {
    details.get(field).and_then(Value::as_str).map(clean).unwrap_or_default()
}

/// One text or a list of texts.
pub fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![clean(one)],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(clean).collect(),
        _ => Vec::new(),
    }
}

/// A time of the details, as people read it; as it stands where it isn't one.
pub fn moment(details: &Value, field: &str, lang: Lang) -> Option<String> {
    let text = details.get(field)?.as_str()?;
    // What ends with a day is said with that day, as people mean it.
    let say = if matches!(field, "until" | "expires") { time::spoken_end } else { time::spoken };
    Some(text.parse::<TimeMs>().map_or_else(|_| clean(text), |at| say(at.0, lang)))
}

/// `du … au …`, with a space before it; empty where nothing bounds it.
pub fn period(details: &Value, lang: Lang) -> String {
    let bounds = (moment(details, "from", lang), moment(details, "until", lang));
    match (bounds, lang) {
        ((None, None), _) => String::new(),
        ((Some(from), None), Lang::Fr) => format!(" à partir du {from}"),
        ((None, Some(until)), Lang::Fr) => format!(" jusqu'au {until}"),
        ((Some(from), Some(until)), Lang::Fr) => format!(" du {from} au {until}"),
        ((Some(from), None), Lang::En) => format!(" from {from} on"),
        ((None, Some(until)), Lang::En) => format!(" until {until}"),
        ((Some(from), Some(until)), Lang::En) => format!(" from {from} until {until}"),
    }
}

/// The id of an actor without its system: what a reader can compare with a badge or a letter.
pub fn short_id(name: &str) -> &str {
    name.split_once('|').map_or(name, |(_, id)| id)
}

/// Somebody whom the details name as `system|id`: with an article in French.
pub fn actor(name: &str, lang: Lang) -> String {
    let (system, id) = name.split_once('|').unwrap_or(("", name));
    let (fr, en) = match system.strip_prefix("urn:oid:").unwrap_or(system) {
        "urn:sillage:patient" => return words::pick(lang, "le patient", "the patient").to_owned(),
        "1.2.250.1.71.4.2.1" => ("le professionnel", "professional"),
        "1.2.250.1.71.4.2.2" => ("la structure", "organisation"),
        "urn:sillage:person" => ("la personne", "person"),
        "urn:sillage:app" => ("l'application", "the app"),
        "urn:sillage:project" => ("le projet", "project"),
        "urn:sillage:system" | "urn:sillage:author" => ("le système", "system"),
        _ => return id.to_owned(),
    };
    format!("{} {id}", words::pick(lang, fr, en))
}

/// `à` before who is named with an article: `au professionnel …`, `à la structure …`.
pub fn to_whom(whom: &str, lang: Lang) -> String {
    match (lang, whom.strip_prefix("le "), whom.strip_prefix("les ")) {
        (Lang::En, ..) => format!("to {whom}"),
        (Lang::Fr, Some(rest), _) => format!("au {rest}"),
        (Lang::Fr, None, Some(rest)) => format!("aux {rest}"),
        (Lang::Fr, None, None) => format!("à {whom}"),
    }
}

/// `de` before who is named with an article: `du professionnel …`.
pub fn of_whom(whom: &str, lang: Lang) -> String {
    match (lang, whom.strip_prefix("le ")) {
        (Lang::En, _) => format!("of {whom}"),
        (Lang::Fr, Some(rest)) => format!("du {rest}"),
        (Lang::Fr, None) => format!("de {whom}"),
    }
}

/// The actors whom a directive is about. Several keys must all match, of several values of one key any.
pub fn grantee(grantee: Option<&Value>, lang: Lang) -> String {
    let anyone = || words::pick(lang, "quiconque", "anyone").to_owned();
    let Some(Value::Object(keys)) = grantee else {
        return anyone();
    };
    let or = words::pick(lang, " ou ", " or ");
    let mut parts = Vec::new();
    for key in ["professional", "person", "app", "project", "organisation", "profession", "team"] {
        let values = texts(keys.get(key));
        if values.is_empty() {
            continue;
        }
        let first = parts.is_empty();
        let named: Vec<String> = values.iter().map(|value| grantee_part(key, value, first, lang)).collect();
        parts.push(named.join(or));
    }
    if parts.is_empty() { anyone() } else { parts.join(", ") }
}

fn grantee_part(key: &str, value: &str, first: bool, lang: Lang) -> String {
    let id = short_id(value);
    match (key, first, lang) {
        ("professional", _, Lang::Fr) => format!("le professionnel {id}"),
        ("professional", _, Lang::En) => format!("professional {id}"),
        ("person", _, Lang::Fr) => format!("la personne {id}"),
        ("person", _, Lang::En) => format!("person {id}"),
        ("app", _, Lang::Fr) => format!("l'application {id}"),
        ("app", _, Lang::En) => format!("the app {id}"),
        ("project", _, Lang::Fr) => format!("le projet {id}"),
        ("project", _, Lang::En) => format!("project {id}"),
        ("organisation", true, Lang::Fr) => format!("la structure {id}"),
        ("organisation", true, Lang::En) => format!("organisation {id}"),
        ("organisation", false, Lang::Fr) => format!("de la structure {id}"),
        ("organisation", false, Lang::En) => format!("of organisation {id}"),
        ("profession", true, Lang::Fr) => format!("la profession {}", quoted(&words::role(value, lang), lang)),
        ("profession", true, Lang::En) => format!("the profession {}", quoted(&words::role(value, lang), lang)),
        ("profession", false, Lang::Fr) => format!("exerçant comme {}", words::role(value, lang)),
        ("profession", false, Lang::En) => format!("working as {}", words::role(value, lang)),
        (_, _, Lang::Fr) => format!("l'équipe {id}"),
        (_, _, Lang::En) => format!("team {id}"),
    }
}

/// An action as an infinitive: `consulter`.
pub fn action(token: &str, lang: Lang) -> String {
    vocabulary::word(vocabulary::ACTIONS, token, lang)
}

/// `consulter et télécharger`; empty where none is named.
pub fn actions(details: &Value, lang: Lang) -> String {
    let named: Vec<String> = texts(details.get("actions")).iter().map(|token| action(token, lang)).collect();
    list(&named, lang)
}

/// `de` before an infinitive: `de consulter`, `d'ajouter`.
pub fn of_doing(infinitive: &str) -> String {
    let vowel = infinitive.chars().next().is_some_and(|c| "aeiouyéèêh".contains(c));
    if vowel { format!("d'{infinitive}") } else { format!("de {infinitive}") }
}

/// The objects that it is about: categories, labels and single items.
pub fn objects(details: &Value, lang: Lang) -> String {
    let categories: Vec<String> =
        texts(details.get("categories")).iter().map(|token| quoted(&words::category(token, lang), lang)).collect();
    let (labels, items) = (texts(details.get("labels")), texts(details.get("items")));
    let mut out = match (items.as_slice(), lang) {
        ([], Lang::Fr) if categories.is_empty() && labels.is_empty() => return "tout le dossier".to_owned(),
        ([], Lang::En) if categories.is_empty() && labels.is_empty() => return "the whole record".to_owned(),
        ([], Lang::Fr) => "les documents".to_owned(),
        ([], Lang::En) => "the documents".to_owned(),
        ([one], Lang::Fr) => format!("le document {one}"),
        ([one], Lang::En) => format!("the document {one}"),
        (many, Lang::Fr) => format!("les documents {}", short_list(many, lang)),
        (many, Lang::En) => format!("the documents {}", short_list(many, lang)),
    };
    if !categories.is_empty() {
        let kinds = short_list(&categories, lang);
        out += &match (categories.len(), lang) {
            (1, Lang::Fr) => format!(" de la catégorie {kinds}"),
            (_, Lang::Fr) => format!(" des catégories {kinds}"),
            (1, Lang::En) => format!(" of the category {kinds}"),
            (_, Lang::En) => format!(" of the categories {kinds}"),
        };
    }
    if !labels.is_empty() {
        let named = short_list(&labels, lang);
        out += &match lang {
            Lang::Fr => format!(" portant l'étiquette {named}"),
            Lang::En => format!(" labelled {named}"),
        };
    }
    out
}

/// Why it holds: `, pour des soins`; empty where no purpose is named.
pub fn purposes(details: &Value, lang: Lang) -> String {
    let named: Vec<String> = texts(details.get("purposes")).iter().map(|code| words::purpose(code, lang)).collect();
    match named.is_empty() {
        true => String::new(),
        false => format!(", {}", named.join(words::pick(lang, " ou ", " or "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn french_articles_melt_with_their_preposition() {
        let to = |name: &str| to_whom(&actor(name, Lang::Fr), Lang::Fr);
        assert_eq!(to("urn:oid:1.2.250.1.71.4.2.1|10100534436"), "au professionnel 10100534436");
        assert_eq!(to("urn:sillage:app|poids@2"), "à l'application poids@2");
        assert_eq!(to("urn:sillage:patient|self"), "au patient");
        let of = |name: &str| of_whom(&actor(name, Lang::Fr), Lang::Fr);
        assert_eq!(of("urn:oid:1.2.250.1.71.4.2.1|10100534436"), "du professionnel 10100534436");
        assert_eq!(of("urn:oid:1.2.250.1.71.4.2.2|750712184"), "de la structure 750712184");
        assert_eq!(of_doing("ajouter"), "d'ajouter");
        assert_eq!(of_doing("consulter"), "de consulter");
    }

    #[test]
    fn several_keys_of_a_grantee_narrow_it() {
        let both = json!({"professional": ["s|1", "s|2"], "organisation": "F100", "profession": "dentist"});
        let text = grantee(Some(&both), Lang::Fr);
        assert_eq!(text, "le professionnel 1 ou le professionnel 2, de la structure F100, exerçant comme dentiste");
        assert_eq!(grantee(Some(&json!("anyone")), Lang::En), "anyone");
        assert_eq!(grantee(Some(&json!({"profession": "nurse"})), Lang::En), "the profession “nurse”");
    }

    #[test]
    fn what_a_directive_is_about_is_named_or_counted() {
        assert_eq!(objects(&json!({}), Lang::Fr), "tout le dossier");
        let some = json!({"categories": ["REPORT", "LAB"], "labels": ["PSY"]});
        assert_eq!(
            objects(&some, Lang::Fr),
            "les documents des catégories « compte rendu » et « biologie » portant l'étiquette PSY"
        );
        let many: Vec<String> = (0..9).map(|i| format!("d{i}")).collect();
        assert!(objects(&json!({"items": many}), Lang::En).ends_with("d5 and 3 more"));
    }

    #[test]
    fn odd_details_are_left_out() {
        let odd = json!({"from": 3, "until": "demain", "actions": [1, "read"], "purposes": {}});
        assert_eq!(period(&odd, Lang::Fr), " jusqu'au demain");
        assert_eq!(actions(&odd, Lang::Fr), "consulter");
        assert_eq!(purposes(&odd, Lang::Fr), "");
        assert_eq!(objects(&Value::Null, Lang::En), "the whole record");
    }
}
