//! The statements of a patient's records about single items, by their names, and by what a resource is called on its own server.

use std::collections::BTreeMap;

use crate::ident::resource::Resource;

/// Something that withholds items, by the name of each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ByItem<V> {
    named: BTreeMap<String, V>,
    /// The names that are resources: by type and id, each with its server.
    resources: BTreeMap<String, BTreeMap<String, String>>,
}

impl<V> Default for ByItem<V> {
    fn default() -> Self {
        Self { named: BTreeMap::new(), resources: BTreeMap::new() }
    }
}

impl<V> ByItem<V> {
    pub fn len(&self) -> usize {
        self.named.len()
    }

    pub fn get(&self, item: &str) -> Option<&V> {
        self.named.get(item)
    }

    pub fn contains(&self, item: &str) -> bool {
        self.named.contains_key(item)
    }

    /// By name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &V)> {
        self.named.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.named.values()
    }

    /// Sets it, and gives what stood there.
    pub fn insert(&mut self, item: &str, value: V) -> Option<V> {
        if let Some(resource) = Resource::of(item) {
            let names = self.resources.entry(resource.short().to_owned()).or_default();
            names.insert(item.to_owned(), resource.server().to_owned());
        }
        self.named.insert(item.to_owned(), value)
    }

    /// How many names of the resource that this one names stand here, other than this one.
    pub fn other_names(&self, item: &str) -> usize {
        let names = Resource::of(item).and_then(|resource| self.resources.get(resource.short()));
        names.map_or(0, |names| names.len() - usize::from(names.contains_key(item)))
    }

    /// Takes it away, and gives it.
    pub fn remove(&mut self, item: &str) -> Option<V> {
        if let Some(resource) = Resource::of(item)
            && let Some(names) = self.resources.get_mut(resource.short())
        {
            names.remove(item);
            if names.is_empty() {
                self.resources.remove(resource.short());
            }
        }
        self.named.remove(item)
    }

    /// All that may be said of the item: under its name first; `across_servers`, then under every name that may mean the same
    /// resource, in order.
    pub fn about<'s>(&'s self, item: &'s str, across_servers: bool) -> impl Iterator<Item = &'s V> {
        let asked = Resource::of(item).filter(|_| across_servers);
        let names = asked.as_ref().and_then(|asked| self.resources.get(asked.short()));
        let is_meant = move |name: &str, server: &str| {
            let is_said = |asked: &Resource| !asked.server().is_empty() && !server.is_empty();
            name != item && asked.as_ref().is_some_and(|asked| !is_said(asked) || asked.server() == server)
        };
        let others = names.into_iter().flatten().filter(move |(name, server)| is_meant(name, server));
        let others = others.filter_map(|(name, _)| self.named.get(name));
        self.named.get(item).into_iter().chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_found_under_both_names_until_it_is_taken_away() {
        let (short, url) = ("DocumentReference/1", "https://h.example/DocumentReference/1");
        let found = |all: &ByItem<u8>, item: &str, across: bool| all.about(item, across).copied().collect::<Vec<_>>();
        let mut all = ByItem::default();
        assert_eq!(all.insert(short, 1), None);
        assert_eq!((found(&all, url, true), found(&all, url, false)), (vec![1], vec![]));
        assert_eq!(all.insert(url, 2), None);
        assert_eq!((found(&all, url, true), found(&all, short, true)), (vec![2, 1], vec![1, 2]));
        assert_eq!(found(&all, "https://other.example/DocumentReference/1", true), [1]);
        assert_eq!((all.remove(short), all.remove(short)), (Some(1), None));
        assert_eq!((found(&all, short, true), found(&all, url, true)), (vec![2], vec![2]));
        assert_eq!(all.remove(url), Some(2));
        assert_eq!(all, ByItem::default());
    }
}
