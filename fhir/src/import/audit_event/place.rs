//! Where: the client's machine, chosen by its role as who acted is; never the server's.

use serde_json::Value;
use sillage_proto::v1;
use sillage_rules::limits;

use super::super::read::{codings, cut, text};
use super::{Event, Reading};

/// Source and destination of what went over the network, and an application (DICOM).
const SOURCE: &str = "110153";
const DESTINATION: &str = "110152";
const APPLICATION: &str = "110150";
/// Parts that no client has: who keeps the data, who decides, for whom somebody acts (IHE BALP).
const NO_CLIENTS: [&str; 3] = ["custodian", "authserver", "PROV"];

impl Event<'_> {
    /// The codes of the client's and of the server's part: the client of a read is its destination, the client of anything
    /// else its source (IHE BALP).
    fn sides(&self) -> (&'static str, &'static str) {
        match self.codes().any(|(_, code)| matches!(code, "read" | "vread" | "history")) {
            true => (DESTINATION, SOURCE),
            false => (SOURCE, DESTINATION),
        }
    }

    /// Position of the agent in the client's role.
    pub(super) fn client_at(&self) -> Option<usize> {
        let has = |code: &str| self.list("agent").iter().position(|agent| has_part(agent, code));
        has(self.sides().0).or_else(|| has(APPLICATION))
    }

    pub(super) fn place(&self, requestor: &Value) -> v1::Place {
        let source = &self.root["source"];
        let (address, device) = match self.reading {
            Reading::Now => self.client(requestor),
            Reading::Before => self.first_machine(requestor),
        };
        let location = name(&requestor["location"]);
        let site = if location.is_empty() { text(source, "site").to_owned() } else { location };
        v1::Place {
            site: cut(&site, limits::LABEL_BYTES_MAX),
            network_address: cut(&address, limits::ID_BYTES_MAX),
            device: cut(&device, limits::LABEL_BYTES_MAX),
            observer: cut(&name(&source["observer"]), limits::LABEL_BYTES_MAX),
        }
    }

    /// Address and name of the client: who acted where they have an address, else the agent in its role, else one that is no
    /// server.
    fn client(&self, requestor: &Value) -> (String, String) {
        let agents = self.list("agent");
        let server = self.sides().1;
        let is_client =
            |agent: &&Value| !has_part(agent, server) && !NO_CLIENTS.iter().any(|part| has_part(agent, part));
        let by_role = self.client_at().map(|at| &agents[at]);
        let machines = by_role.into_iter().chain(agents.iter().filter(is_client));
        let mut addresses = std::iter::once(requestor).chain(machines.clone()).map(|a| text(&a["network"], "address"));
        let address = addresses.find(|address| !address.is_empty()).unwrap_or_default();
        let devices = machines.filter(|agent| agent["requestor"] != Value::Bool(true));
        let device = devices.map(|agent| name(&agent["who"])).find(|name| !name.is_empty()).unwrap_or_default();
        (address.to_owned(), device)
    }

    /// As the version before chose them: whatever agent comes first.
    fn first_machine(&self, requestor: &Value) -> (String, String) {
        let addresses = std::iter::once(requestor).chain(self.list("agent")).map(|a| text(&a["network"], "address"));
        let address = addresses.into_iter().find(|a| !a.is_empty()).unwrap_or_default();
        let devices = self.list("agent").iter().filter(|a| a["requestor"] != Value::Bool(true));
        let device = devices.map(|a| name(&a["who"])).find(|n| !n.is_empty()).unwrap_or_default();
        (address.to_owned(), device)
    }
}

fn has_part(agent: &Value, code: &str) -> bool {
    codings(&agent["type"]).any(|coding| text(coding, "code") == code)
}

/// A machine, as a person reads it.
fn name(reference: &Value) -> String {
    let identifier = text(&reference["identifier"], "value");
    let found = [text(reference, "display"), text(reference, "reference"), identifier];
    found.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
}
