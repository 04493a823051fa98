//! When rows of two engines say the same (ARCHITECTURE.md, "One SQL, two engines"): exact answers are equal; of others the totals are, every
//! interval of one overlaps that of the other, and the leaders that are proven agree.

use super::rows::Rows;
use hitters_results::{Answer, Bounds};
use serde_json::{Map, Value};

/// What was compared.
#[derive(Debug, Default)]
pub struct Compared {
    pub rows: usize,
    pub exact: usize,
    pub within_bounds: usize,
}

/// Fails unless every row of `expected` is in `found` and says the same, and `found` has no others. `latest` rows, of which each
/// replaces the one before, are held against the window that they are of.
#[track_caller]
pub fn same(expected: &Rows, found: &Rows) -> Compared {
    let is_latest = |key: &str| key.contains(":latest ");
    let of = |rows: &Rows, latest: bool| -> Vec<String> {
        rows.keys().filter(|key| is_latest(key) == latest).cloned().collect()
    };
    let (wanted, got) = (of(expected, false), of(found, false));
    let missing: Vec<_> = wanted.iter().filter(|key| !found.contains_key(*key)).collect();
    let more: Vec<_> = got.iter().filter(|key| !expected.contains_key(*key)).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "{} of {} rows are missing, as {:?}; {} are too many, as {:?}",
        missing.len(),
        wanted.len(),
        missing.first(),
        more.len(),
        more.first()
    );
    let mut compared = Compared::default();
    for key in &wanted {
        row(key, &expected[key], &found[key], &mut compared);
    }
    let (wanted, got) = (of(expected, true), of(found, true));
    assert_eq!(wanted, got, "fields of the newest windows");
    for key in &wanted {
        row(key, &expected[key], &found[key], &mut compared);
    }
    compared
}

#[track_caller]
fn row(key: &str, expected: &Value, found: &Value, compared: &mut Compared) {
    // The bytes of a sketch may differ where its answer does not.
    let plain = |row: &Value| -> Map<String, Value> {
        let fields = row
            .as_object()
            .unwrap_or_else(|| panic!("{key}: {row} is no row"))
            .iter();
        let kept = fields.filter(|(name, _)| !matches!(name.as_str(), "answer" | "sketch"));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    assert_eq!(plain(expected), plain(found), "{key}");
    compared.rows += 1;
    let answer = |row: &Value| {
        row.get("answer")
            .filter(|text| !text.is_null())
            .map(|text| Answer::read(text).map_err(|error| error.to_string()))
    };
    match (answer(expected), answer(found)) {
        (None, None) => compared.exact += 1,
        // Answers of another kind are equal or not.
        (Some(Err(_)), Some(Err(_))) => assert_eq!(parsed(&expected["answer"]), parsed(&found["answer"]), "{key}"),
        (Some(Ok(a)), Some(Ok(b))) => answers(key, &a, &b, compared),
        (a, b) => panic!("{key}: {a:?} against {b:?}"),
    }
}

fn parsed(answer: &Value) -> Value {
    let text = answer.as_str().and_then(|text| serde_json::from_str(text).ok());
    text.unwrap_or_else(|| answer.clone())
}

#[track_caller]
fn answers(key: &str, a: &Answer, b: &Answer, compared: &mut Compared) {
    assert_eq!((a.total, a.skipped, a.k), (b.total, b.skipped, b.k), "{key}");
    if a.exact && b.exact {
        assert_eq!(a.items, b.items, "{key}");
        assert_eq!(a.other, b.other, "{key}");
        compared.exact += 1;
        return;
    }
    compared.within_bounds += 1;
    let overlap = |a: &Bounds, b: &Bounds| a.lower <= b.upper && b.lower <= a.upper;
    for (one, other) in [(a, b), (b, a)] {
        for item in &one.items {
            match other.items.iter().find(|found| found.item == item.item) {
                Some(found) => assert!(overlap(&item.count, &found.count), "{key}: {item:?} against {found:?}"),
                None => assert!(item.count.lower <= other.max_missed, "{key}: {item:?} is missing"),
            }
        }
    }
    let leaders = usize::try_from(a.certain_leaders.min(b.certain_leaders))
        .unwrap()
        .min(a.items.len());
    let names = |answer: &Answer| {
        let mut names: Vec<String> = answer
            .items
            .iter()
            .take(leaders)
            .map(|item| item.item.clone())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(a), names(b), "{key}: the leaders");
}
