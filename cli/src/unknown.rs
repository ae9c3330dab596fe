//! A patient under whom nothing is on record: most often a mistyped number, or a missing `--oid`.
//!
//! Only commands that read the patient's trace or rules anyway say it. Others would put a reading into the trace for a remark: the
//! key of the number finds a mistyped digit, and each command says as whom it takes the patient.

use sillage_client::author::TagPair;
use sillage_client::session::Session;
use sillage_client::trace::read_page;
use sillage_proto::v1::TraceRequest;
use sillage_words::Lang;

use super::lang::of_remarks;
use super::output;

/// Says so where nothing is on record under a patient, unless that is meant (`--force`). Where the caller may not read the trace,
/// or nobody answers now, nobody can tell: the command itself says what is wrong.
pub(crate) async fn warn(session: &Session, ins: &str, (open, secret): &TagPair, is_meant: bool) {
    if is_meant {
        return;
    }
    let page = read_page(session, &TraceRequest::default(), open, secret.as_ref(), None, 1).await;
    if let Ok(page) = page {
        warn_of(ins, page.lines.len(), is_meant);
    }
}

/// The same of a trace that was read, by the number of its lines.
pub(crate) fn warn_of(ins: &str, lines: usize, is_meant: bool) {
    if lines == 0 && !is_meant {
        output::note(&said(ins, of_remarks()));
    }
}

/// The warning: which patient a command takes them for.
fn said(ins: &str, lang: Lang) -> String {
    match lang {
        Lang::Fr => format!(
            "patient {ins} : rien n'est au registre sous ce numéro et cet OID : vérifiez --patient et --oid (--force si c'est voulu)"
        ),
        Lang::En => format!(
            "patient {ins}: nothing is on record under this number and OID: check --patient and --oid (--force where it is meant)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_name_the_options() {
        for lang in [Lang::Fr, Lang::En] {
            for option in ["279035121518989", "--patient", "--oid", "--force"] {
                assert!(said("279035121518989", lang).contains(option), "{lang:?}");
            }
        }
    }
}
