//! The content of a verified receipt, with what it opens and what not: in plain words.

use serde_json::{Value, json};

use super::receipt::{Receipt, ReceiptFile};
use sillage_words::decision::obligation;
use sillage_words::phrase::{action, list};
use sillage_words::sentence::{clean, who};
use sillage_words::time::{rfc3339, spoken};
use sillage_words::{Lang, words};

/// Lines for a person to read. The file's signatures must have been verified.
pub fn said(file: &ReceiptFile, lang: Lang) -> Vec<String> {
    let mut out: Vec<String> = file.receipts.iter().flat_map(|receipt| one(file, receipt, lang)).collect();
    out.push(
        words::pick(
            lang,
            "Prouvé : un nœud du registre a signé que cette décision y est inscrite. Non ouvert : les motifs, et tout document qui \
             n'est pas nommé ici ; non prouvé : l'inclusion dans un point de contrôle (`sillage prove inclusion`).",
            "Proven: a node of the log signed that this decision is on record. Not opened: the reasons, and any document that is \
             not named here; not proven: inclusion under a checkpoint (`sillage prove inclusion`).",
        )
        .to_owned(),
    );
    out
}

fn one(file: &ReceiptFile, receipt: &Receipt, lang: Lang) -> Vec<String> {
    let part = &receipt.view.actor;
    let asker = sillage_proto::v1::Record { actor: part.actor.clone(), ..Default::default() };
    let (who, doing) = (who(&asker, lang), action(&clean(&part.action), lang));
    let ids = |ids: &[String]| list(&ids.iter().map(|id| clean(id)).collect::<Vec<_>>(), lang);
    let (index, origin) = (receipt.message.index, &file.origin);
    let (from, until) = (spoken(part.decided_at_ms, lang), spoken(part.expires_at_ms, lang));
    let purpose = words::purpose(&clean(&part.purpose), lang);
    let none = part.permitted.is_empty();
    let mut out = vec![match (none, lang) {
        (false, Lang::Fr) => format!("{who} peut {doing} : {}, {purpose}.", ids(&part.permitted)),
        (true, Lang::Fr) => format!("{who} ne peut {doing} aucun des documents demandés, {purpose}."),
        (false, Lang::En) => format!("{who} may {doing}: {}, {purpose}.", ids(&part.permitted)),
        (true, Lang::En) => format!("{who} may {doing} none of the documents that were asked for, {purpose}."),
    }];
    out.push(match lang {
        Lang::Fr => format!("Décision n° {index} du registre {origin}, du {from}, valable jusqu'au {until}."),
        Lang::En => format!("Decision no. {index} of the log {origin}, made on {from}, valid until {until}."),
    });
    if !part.obligations.is_empty() {
        let owed: Vec<String> = part.obligations.iter().map(|token| obligation(&clean(token), lang)).collect();
        out.push(format!("{} {}.", words::pick(lang, "À faire :", "To do:"), list(&owed, lang)));
    }
    out
}

/// The same for programs.
pub fn said_json(file: &ReceiptFile) -> Value {
    let one = |receipt: &Receipt| {
        let part = &receipt.view.actor;
        let actor = part.actor.clone().map(sillage_rules::line::ActorLine::from);
        json!({
            "index": receipt.message.index, "tag": hex::encode(receipt.message.tag), "actor": actor,
            "action": part.action, "purpose": part.purpose, "permitted": part.permitted, "told": part.told,
            "obligations": part.obligations, "decided_at": rfc3339(part.decided_at_ms),
            "expires_at": rfc3339(part.expires_at_ms), "record_hash": receipt.message.record_hash,
        })
    };
    json!({"kind": "receipt", "origin": file.origin, "receipts": file.receipts.iter().map(one).collect::<Vec<_>>()})
}
