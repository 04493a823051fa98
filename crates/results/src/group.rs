//! Dimension sets and groups: `category,region` and `category=shoes|region=eu`.
//!
//! The text of a group is canonical, so that equal groups have equal keys: in a value `%`, `|`, `=` and `*` are
//! percent-encoded, and NULL is `%00`. SQL writes it (`sql/queries`), this module reads it.

use std::collections::BTreeMap;

/// The set without dimensions, and its one group.
pub const ALL: &str = "*";

/// The dimensions of a set, in its order.
pub fn dimensions(set: &str) -> Vec<&str> {
    if set == ALL {
        Vec::new()
    } else {
        set.split(',').map(str::trim).collect()
    }
}

/// The values of a group by dimension; `None` is NULL. Empty for `*`.
pub fn values(group: &str) -> Vec<(String, Option<String>)> {
    if group == ALL {
        return Vec::new();
    }
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), (value != "%00").then(|| decoded(value)))
    };
    group.split('|').map(pair).collect()
}

/// The canonical text of a group.
pub fn key(values: &[(String, Option<String>)]) -> String {
    if values.is_empty() {
        return ALL.to_owned();
    }
    let pair = |(name, value): &(String, Option<String>)| match value {
        Some(value) => format!("{}={}", encoded(name), encoded(value)),
        None => format!("{}=%00", encoded(name)),
    };
    values.iter().map(pair).collect::<Vec<_>>().join("|")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => out.push_str("%25"),
            '|' => out.push_str("%7C"),
            '=' => out.push_str("%3D"),
            '*' => out.push_str("%2A"),
            c => out.push(c),
        }
    }
    out
}

fn decoded(text: &str) -> String {
    // `%25` last: what it leaves must not be read again.
    text.replace("%7C", "|")
        .replace("%3D", "=")
        .replace("%2A", "*")
        .replace("%25", "%")
}

/// What groups have to be: a value for some dimensions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter(pub BTreeMap<String, Option<String>>);

impl Filter {
    /// Whether a group is one of those asked for.
    pub fn takes(&self, group: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let values = values(group);
        let has = |(name, wanted): (&String, &Option<String>)| {
            values
                .iter()
                .any(|(dimension, value)| dimension == name && value == wanted)
        };
        self.0.iter().all(has)
    }

    /// Whether a set has all the dimensions that are asked for.
    pub fn fits(&self, set: &str) -> bool {
        let dimensions = dimensions(set);
        self.0.keys().all(|name| dimensions.contains(&name.as_str()))
    }

    /// The one group that is left, if the filter names every dimension of the set.
    pub fn group(&self, set: &str) -> Option<String> {
        let value = |name: &str| Some((name.to_owned(), self.0.get(name)?.clone()));
        let values: Option<Vec<_>> = dimensions(set).into_iter().map(value).collect();
        values.map(|values| key(&values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_group_reads_back_as_it_was(values in proptest::collection::vec(("[a-z]{1,5}", proptest::option::of("[%|=*a0-9C:é ]{0,8}")), 1..4)) {
            let text = key(&values);
            prop_assert_eq!(super::values(&text), values);
        }
    }

    #[test]
    fn the_text_is_that_of_the_sql() {
        let values = [("c".to_owned(), Some("50% a|b=*".to_owned())), ("r".to_owned(), None)];
        assert_eq!(key(&values), "c=50%25 a%7Cb%3D%2A|r=%00");
    }

    #[test]
    fn a_filter_takes_groups_with_its_values() {
        let filter = Filter([("r".to_owned(), Some("eu".to_owned()))].into());
        assert!(filter.takes("c=shoes|r=eu") && !filter.takes("c=shoes|r=us") && !filter.takes("*"));
        assert!(filter.fits("c,r") && !filter.fits("*"));
        assert_eq!(filter.group("r"), Some("r=eu".into()));
        assert_eq!(filter.group("c,r"), None);
        assert_eq!(Filter::default().group("*"), Some("*".into()));
        let null = Filter([("r".to_owned(), None)].into());
        assert!(null.takes("r=%00") && !null.takes("r=%2500") && !null.takes("r="));
    }
}
