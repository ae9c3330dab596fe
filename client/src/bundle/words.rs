//! The findings about a bundle in plain words: what it proves, as of when, and what it doesn't.

use sillage_rules::bundle::{Cosigned, Cosigners, EntryReport, Report, State};
use sillage_rules::kind::Kind;

use sillage_words::Lang;
use sillage_words::sentence::clean;
use sillage_words::time::spoken;
use sillage_words::words::noun;

/// Lines for a person to read. `continued`: the delta was held against the bundle that it follows.
pub fn lines(report: &Report, continued: bool, lang: Lang) -> Vec<String> {
    let mut out = vec![headline(report, lang)];
    out.push(as_of(report, lang));
    out.extend(erased(report, lang));
    out.extend(report.entries.iter().filter_map(|entry| voided_line(entry, lang)));
    out.push(cosigners(&report.cosigners, lang));
    if let Some(since) = &report.since {
        out.push(match (lang, continued) {
            (Lang::Fr, true) => format!("Suite vérifiée : prolonge le fichier donné ({} entrées), sans rien y changer.", since.a),
            (Lang::Fr, false) => format!(
                "Suite d'un fichier de {} entrées (taille {}, racine {}) qui n'a pas été donné : rien n'est dit ici de leur contenu.",
                since.a, since.size, since.root
            ),
            (Lang::En, true) => format!("Continuation verified: it extends the given file ({} entries) and changes nothing in it.", since.a),
            (Lang::En, false) => format!(
                "Continues a file of {} entries (size {}, root {}) that was not given: nothing is said here of what they hold.",
                since.a, since.size, since.root
            ),
        });
    }
    out.push(claim(report, lang));
    out.push(limits(report, continued, lang));
    out
}

fn headline(report: &Report, lang: Lang) -> String {
    let Report { n, a, b, origin, .. } = report;
    let who = format!("{} ({})", report.ins, report.oid);
    let secret = match (report.secret, lang) {
        (false, _) => "",
        (true, Lang::Fr) => ", partie tenue secrète des représentants",
        (true, Lang::En) => ", the part kept from representatives",
    };
    let from = a.saturating_add(1);
    match lang {
        Lang::Fr if *n == 0 => format!("Aucune entrée : le registre {origin} n'a rien sous l'identité {who}{secret}."),
        Lang::En if *n == 0 => format!("No entry: the log {origin} has nothing under the identity {who}{secret}."),
        Lang::Fr if report.is_whole() => {
            format!("Trace complète de {who}{secret} : {n} entrée(s) du registre {origin}.")
        }
        Lang::En if report.is_whole() => format!("Complete trace of {who}{secret}: {n} entries of the log {origin}."),
        Lang::Fr if a == b => {
            format!("Aucune entrée nouvelle pour {who}{secret} : {n} en tout dans le registre {origin}.")
        }
        Lang::En if a == b => format!("No new entry of {who}{secret}: {n} in all in the log {origin}."),
        Lang::Fr => format!("Entrées {from} à {b} sur {n} de {who}{secret}, registre {origin}."),
        Lang::En => format!("Entries {from} to {b} of {n} of {who}{secret}, log {origin}."),
    }
}

fn as_of(report: &Report, lang: Lang) -> String {
    let (index, size) = (report.commit_index, report.size);
    let when = spoken(report.commit_time_ms.get(), lang);
    match lang {
        Lang::Fr => {
            format!("À la date du {when} : index arrêté à l'entrée {index}, point de contrôle de taille {size}.")
        }
        Lang::En => format!("As of {when}: index committed at entry {index}, checkpoint of size {size}."),
    }
}

fn erased(report: &Report, lang: Lang) -> Vec<String> {
    report.entries.iter().filter_map(|entry| erased_line(entry, lang)).collect()
}

fn voided_line(entry: &EntryReport, lang: Lang) -> Option<String> {
    let (index, act) = (entry.index, entry.voided_by?);
    let kind = Kind::from_token(entry.kind).map(|kind| noun(kind, lang)).unwrap_or_else(|_| entry.kind.to_owned());
    Some(match lang {
        Lang::Fr => format!("Annulée : entrée {index} ({kind}), par l'acte de l'entrée {act} ; elle ne compte plus."),
        Lang::En => format!("Voided: entry {index} ({kind}), by the act of entry {act}; it counts for nothing."),
    })
}

fn erased_line(entry: &EntryReport, lang: Lang) -> Option<String> {
    let (index, kind) = (entry.index, Kind::from_token(entry.kind).map(|kind| noun(kind, lang)));
    let kind = kind.unwrap_or_else(|_| entry.kind.to_owned());
    match (&entry.state, lang) {
        (State::Shown, _) => None,
        (State::Erased(by), Lang::Fr) => Some(format!(
            "Contenu effacé : entrée {index} ({kind}), le {}, par l'entrée {} ; motif : {}.",
            spoken(by.time_ms.get(), lang),
            by.index,
            clean(&by.ground)
        )),
        (State::Erased(by), Lang::En) => Some(format!(
            "Content erased: entry {index} ({kind}), on {}, by entry {}; ground: {}.",
            spoken(by.time_ms.get(), lang),
            by.index,
            clean(&by.ground)
        )),
        (State::Withheld, Lang::Fr) => Some(format!(
            "Contenu absent : entrée {index} ({kind}) ; l'effacement qui l'expliquerait n'est pas dans cette page."
        )),
        (State::Withheld, Lang::En) => Some(format!(
            "Content missing: entry {index} ({kind}); the erasure that would explain it is not on this page."
        )),
    }
}

/// The cosigners of a checkpoint, and when the newest of each group did.
pub fn cosigners(cosigners: &Cosigners, lang: Lang) -> String {
    let part = |list: &[Cosigned], known: usize, fr: &str, en: &str| {
        let (name, of) = match lang {
            Lang::Fr => (fr, "sur"),
            Lang::En => (en, "of"),
        };
        let when = list.iter().map(|cosigned| cosigned.time_s).max();
        let when = when.map(|time_s| format!(" ({})", spoken(time_s.saturating_mul(1_000), lang))).unwrap_or_default();
        format!("{} {of} {known} {name}{when}", list.len())
    };
    let Cosigners { nodes, nodes_known, witnesses, witnesses_known, auditors, auditors_known, others } = cosigners;
    let mut parts = vec![
        part(nodes, *nodes_known, "nœuds", "nodes"),
        part(witnesses, *witnesses_known, "témoins", "witnesses"),
        part(auditors, *auditors_known, "auditeurs", "auditors"),
    ];
    if !others.is_empty() {
        parts.push(part(others, others.len(), "autres", "others"));
    }
    match lang {
        Lang::Fr => format!("Cosignataires connus de la politique : {}.", parts.join(", ")),
        Lang::En => format!("Cosigners known to the policy: {}.", parts.join(", ")),
    }
}

/// DESIGN's honest claim: who must be honest for the completeness to hold.
fn claim(report: &Report, lang: Lang) -> String {
    let Cosigners { nodes, nodes_known, witnesses, auditors, .. } = &report.cosigners;
    let saw = match (nodes.is_empty(), witnesses.is_empty(), lang) {
        (false, false, Lang::Fr) => "Les nœuds et les témoins qui ont cosigné ont vu une seule et même histoire.",
        (false, true, Lang::Fr) => {
            "Les nœuds qui ont cosigné ont vu une seule et même histoire ; aucun témoin extérieur ne l'a cosignée."
        }
        (true, false, Lang::Fr) => {
            "Les témoins qui ont cosigné ont vu une seule et même histoire ; aucun nœud connu de la politique ne l'a cosignée."
        }
        (true, true, Lang::Fr) => {
            "La clé du registre seule a signé : rien ne montre que d'autres ont vu la même histoire."
        }
        (false, false, Lang::En) => "The nodes and witnesses that cosigned saw one history.",
        (false, true, Lang::En) => "The nodes that cosigned saw one history; no witness from outside has cosigned it.",
        (true, false, Lang::En) => {
            "The witnesses that cosigned saw one history; no node known to the policy has cosigned it."
        }
        (true, true, Lang::En) => "Only the log's key has signed: nothing shows that others saw the same history.",
    };
    // A policy may ask for fewer nodes than a majority, or for none: then nothing rests on one.
    let majority = 2 * nodes.len() > *nodes_known;
    let complete = match (auditors.is_empty(), lang) {
        (true, Lang::Fr) if !majority => {
            "Aucun auditeur ni aucune majorité de nœuds n'a cosigné : que rien de ce qui est inscrit sous ce nom n'a été omis, déplacé ni altéré repose sur les seuls signataires ci-dessus."
        }
        (true, Lang::En) if !majority => {
            "No auditor and no majority of nodes has cosigned: that nothing logged under this tag was omitted, reordered or altered rests on the signers above alone."
        }
        (false, Lang::Fr) => {
            "Si au moins un auditeur cosignataire est honnête, rien de ce qui est inscrit sous ce nom n'a été omis, déplacé, altéré ni montré autrement à d'autres."
        }
        (true, Lang::Fr) => {
            "Aucun auditeur n'a cosigné : que rien de ce qui est inscrit sous ce nom n'a été omis, déplacé ni altéré repose sur la majorité des nœuds."
        }
        (false, Lang::En) => {
            "If at least one auditor that cosigned is honest, nothing logged under this tag was omitted, reordered, altered or shown differently to others."
        }
        (true, Lang::En) => {
            "No auditor has cosigned: that nothing logged under this tag was omitted, reordered or altered rests on the majority of the nodes."
        }
    };
    format!("{saw} {complete}")
}

fn limits(report: &Report, continued: bool, lang: Lang) -> String {
    let mut out = match lang {
        Lang::Fr => "Non prouvé : un accès que personne n'a inscrit ; ce qui est venu après cette date".to_owned(),
        Lang::En => "Not proven: an access that no one logged; what came after this date".to_owned(),
    };
    if !report.is_whole() && !continued {
        out += match lang {
            Lang::Fr => " ; le contenu des entrées hors de ce fichier (leur nombre est prouvé)",
            Lang::En => "; what the entries outside of this file say (their number is proven)",
        };
    }
    if !report.secret {
        out += match lang {
            Lang::Fr => " ; s'il existe une partie tenue secrète des représentants",
            Lang::En => "; whether there is a part kept from representatives",
        };
    }
    out += match lang {
        Lang::Fr => " ; les noms des services sont ceux que le nœud a donnés, leurs clés sont vérifiées.",
        Lang::En => "; names of services are what the node said, their keys were checked.",
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosigned() -> Cosigned {
        Cosigned { name: "x".into(), key: "x".into(), time_s: 1_790_000_000 }
    }

    fn report(auditors: Vec<Cosigned>) -> Report {
        Report {
            origin: "test/log".into(),
            log_key: String::new(),
            size: 14.into(),
            root: Default::default(),
            cosigners: Cosigners {
                nodes: vec![cosigned(), cosigned()],
                nodes_known: 3,
                witnesses: vec![cosigned()],
                witnesses_known: 1,
                auditors_known: 1,
                auditors,
                others: Vec::new(),
            },
            commit_index: 13.into(),
            commit_time_ms: 1_790_000_000_000.into(),
            current: true,
            ins: "255069910100157".into(),
            oid: "1.2.250.1.213.1.4.10".into(),
            secret: false,
            tag: Default::default(),
            n: 5,
            a: 0,
            b: 5,
            mth: Default::default(),
            mth_before: Default::default(),
            entries: Vec::new(),
            since: None,
        }
    }

    #[test]
    fn without_an_auditor_completeness_rests_on_the_nodes_and_that_is_said() {
        let text = |auditors, lang| lines(&report(auditors), false, lang).join("\n");
        assert!(text(vec![], Lang::Fr).contains("repose sur la majorité des nœuds"));
        assert!(text(vec![], Lang::En).contains("rests on the majority of the nodes"));
        let audited = text(vec![cosigned()], Lang::En);
        assert!(audited.contains("at least one auditor that cosigned is honest") && !audited.contains("rests on"));
        assert!(text(vec![cosigned()], Lang::Fr).contains("2 sur 3 nœuds"));
    }

    #[test]
    fn without_a_majority_of_nodes_nothing_is_said_to_rest_on_one() {
        for signed in [0, 1] {
            let mut report = report(vec![]);
            report.cosigners.nodes.truncate(signed);
            let text = lines(&report, false, Lang::En).join("\n");
            assert!(
                text.contains("no majority of nodes has cosigned") && !text.contains("rests on the majority"),
                "{text}"
            );
            assert!(lines(&report, false, Lang::Fr).join("\n").contains("aucune majorité de nœuds"));
        }
    }

    #[test]
    fn what_was_not_proven_is_always_said() {
        for lang in [Lang::Fr, Lang::En] {
            for (n, a, b) in [(5, 0, 5), (0, 0, 0), (5, 1, 3), (5, 5, 5)] {
                let report = Report { n, a, b, ..report(vec![]) };
                let text = lines(&report, false, lang).join("\n");
                let (not, unlogged) = match lang {
                    Lang::Fr => ("Non prouvé", "personne n'a inscrit"),
                    Lang::En => ("Not proven", "no one logged"),
                };
                assert!(text.contains(not) && text.contains(unlogged), "{text}");
                assert_eq!(text.contains("omplète de") || text.contains("Complete"), (n, a, b) == (5, 0, 5), "{text}");
            }
        }
    }
}
