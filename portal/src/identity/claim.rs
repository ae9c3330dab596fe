//! The provider itself says the INS: an identity service that holds it (`docs/login.md`).

use crate::oidc::Person;

use super::resolver::{Answer, IdentityResolver, Resolved, checked};

/// The OID of an INS that is a NIR, where the provider doesn't say.
const OID_NIR: &str = "1.2.250.1.213.1.4.8";

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct ByClaim {
    /// True if the log is one for tests: it takes a test INS.
    pub is_test_log: bool,
}

impl IdentityResolver for ByClaim {
    fn resolve<'a>(&'a self, person: &'a Person) -> Answer<'a, Resolved> {
        Box::pin(async move {
            let Some(value) = &person.ins else { return Ok(Resolved::None) };
            checked(value, person.oid.as_deref().unwrap_or(OID_NIR), self.is_test_log).map(Resolved::Found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::ResolveError;
    use super::super::resolver::tests::{OID, ins, person};
    use super::*;

    #[tokio::test]
    async fn the_claim_counts_as_it_stands() {
        let value = ins("2800175123456");
        let by_claim = ByClaim { is_test_log: false };
        let mut who = person("a");
        assert_eq!(by_claim.resolve(&who).await, Ok(Resolved::None));
        who.ins = Some(value.clone());
        assert_eq!(by_claim.resolve(&who).await, Ok(Resolved::Found(checked(&value, OID, false).expect("an INS"))));
        who.ins = Some("180".to_owned());
        assert_eq!(by_claim.resolve(&who).await, Err(ResolveError::Answer));
    }
}
