//! The log of the vectors: a patient is read, written about, and has one record erased.

use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::bundle::Bundle;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, erasure_message, new_message};

use crate::world::{World, genesis, tag};

/// The log, and the two sizes that have checkpoints.
pub struct Story {
    pub world: World,
    pub old: u64,
    pub new: u64,
    /// The entry whose record is gone.
    pub erased: u64,
}

pub fn record(kind: Kind, patient: usize, actor: &str) -> ParsedRecord {
    let mut message = new_message(kind, Some(&tag(patient)), 1_789_999_000_000);
    message.actor = Some(v1::Actor { id: actor.to_owned(), ..v1::Actor::default() });
    ParsedRecord::from_message(message).expect("a record")
}

/// The same, by right of a decision, and handed in after an outage.
pub fn founded(kind: Kind, patient: usize, actor: &str) -> ParsedRecord {
    let mut message = record(kind, patient, actor).into_message();
    message.basis = Some(v1::Basis { kind: v1::BasisKind::Decision.into(), r#ref: "12".to_owned() });
    message.deferred = Some(v1::Deferred { reason: "panne du réseau".to_owned() });
    message.occurred_at_ms = 1_789_900_000_000;
    ParsedRecord::from_message(message).expect("a record")
}

pub fn erasure(patient: usize, indices: Vec<u64>, ground: &str) -> ParsedRecord {
    let indices = indices.into_iter().map(Into::into).collect();
    let act = Act::Erased { indices, ground: ground.to_owned() };
    ParsedRecord::from_message(erasure_message(&act, &tag(patient), 1_790_000_050_000)).expect("a record")
}

impl Story {
    pub fn new() -> Self {
        let mut world = World::new(&genesis());
        let read = |patient| record(Kind::ACCESS_READ, patient, "810101234567");
        world.batch("dmp", vec![read(0), read(1), founded(Kind::ACCESS_WRITE, 0, "810101234567")]);
        let erased = world.batch("messagerie", vec![record(Kind::ACCESS_DOWNLOAD, 0, "899700218896")]);
        let old = world.commit();
        world.batch("messagerie", vec![read(1)]);
        world.batch("authority", vec![erasure(0, vec![erased], "ORDER 2026/17")]);
        world.ledger_record(record(Kind::LOG_CONSULTED, 0, "patient"));
        world.decision(0);
        let new = world.commit();
        Self { world, old, new, erased }
    }

    /// Every entry as of the old checkpoint.
    pub fn older(&self) -> Bundle {
        self.world.bundle(0, self.old, 0..3, &[])
    }

    /// Every entry as of the new checkpoint, one of them erased.
    pub fn whole(&self) -> Bundle {
        self.world.bundle(0, self.new, 0..6, &[self.erased])
    }

    /// Entries 1 and 2 as of the new checkpoint.
    pub fn page(&self) -> Bundle {
        self.world.bundle(0, self.new, 1..3, &[self.erased])
    }

    /// A patient without entries.
    pub fn absence(&self) -> Bundle {
        self.world.bundle(2, self.new, 0..0, &[])
    }

    /// The entries that came after [`Story::older`].
    pub fn delta(&self) -> Bundle {
        let bundle = self.world.bundle(0, self.new, 3..6, &[]);
        Bundle { since: Some(self.world.since(self.old, self.new, 3)), ..bundle }
    }

    pub fn all(&self) -> [(&'static str, Bundle); 5] {
        let [older, whole, page] = [self.older(), self.whole(), self.page()];
        [("older", older), ("whole", whole), ("page", page), ("absence", self.absence()), ("delta", self.delta())]
    }
}
