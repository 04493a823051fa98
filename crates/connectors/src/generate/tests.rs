use super::*;
use std::collections::{HashMap, HashSet};

fn all(options: &Generate) -> Vec<(Vec<u8>, i64, u32)> {
    let mut events = Events::new(options).unwrap();
    let mut all = Vec::new();
    while let Some(event) = events.next_event() {
        all.push((event.json.to_vec(), event.ts, event.partition));
    }
    all
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let options = Generate {
        events: 5_000,
        ..Generate::default()
    };
    assert_eq!(all(&options), all(&options));
    assert_ne!(all(&options), all(&Generate { seed: 43, ..options }));
}

#[test]
fn the_first_events_never_change() {
    let firsts: Vec<_> = Profile::ALL
        .into_iter()
        .map(|profile| {
            let first = all(&Generate {
                profile,
                events: 1,
                ..Generate::default()
            })
            .remove(0)
            .0;
            String::from_utf8(first).unwrap()
        })
        .collect();
    let expected = [
        r##"{"ts":1700000000000,"item":"sku-0069204","category":"kitchen","region":"jp","user":"u117619","amount":10041}"##,
        r##"{"ts":1700000000000,"item":"/assets/0069204","category":"video","region":"gru","user":"u117619","amount":999359}"##,
        r##"{"ts":1700000000000,"item":"10.1.14.84","category":"udp/443","region":"as174","user":"u117619","amount":74964}"##,
        r##"{"ts":1700000000000,"item":"#tag069204","category":"news","region":"jp","user":"u117619","amount":2498}"##,
        r##"{"ts":1700000000000,"item":"ad-0069204","category":"social","region":"jp","user":"u117619","amount":1001}"##,
    ];
    assert_eq!(firsts, expected);
}

#[test]
fn every_profile_writes_json_of_about_100_bytes_with_the_documented_keys() {
    for profile in Profile::ALL {
        let options = Generate {
            profile,
            events: 2_000,
            ..Generate::default()
        };
        let mut bytes = 0;
        for (json, ts, _) in all(&options) {
            bytes += json.len();
            let event: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&json).unwrap();
            let keys: Vec<_> = event.keys().map(String::as_str).collect();
            assert_eq!(keys.len(), 6, "{keys:?}");
            assert_eq!(event["ts"], ts);
            assert!(
                event["item"].is_string()
                    && event["category"].is_string()
                    && event["region"].is_string()
                    && event["user"].is_string()
            );
            assert!(event["amount"].as_i64().unwrap() > 0);
        }
        assert!(
            (80..125).contains(&(bytes / 2_000)),
            "{}: {} bytes",
            profile.name(),
            bytes / 2_000
        );
    }
}

#[test]
fn items_follow_zipfs_law() {
    let options = Generate {
        events: 200_000,
        items: 1_000,
        exponent: 1.0,
        ..Generate::default()
    };
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (json, ..) in all(&options) {
        let event: serde_json::Value = serde_json::from_slice(&json).unwrap();
        *counts.entry(event["item"].as_str().unwrap().to_string()).or_default() += 1;
    }
    let mut sorted: Vec<_> = counts.values().copied().collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    // The share of rank r is 1 / (r H(1000)), H(1000) = 7.485.
    for rank in [1, 2, 4, 8, 16] {
        let expected = 200_000.0 / (rank as f64 * 7.485);
        let got = sorted[rank - 1] as f64;
        assert!(
            (got / expected - 1.0).abs() < 0.1,
            "rank {rank}: {got} instead of {expected}"
        );
    }
}

#[test]
fn every_category_has_its_share_of_the_items() {
    let options = Generate {
        events: 20_000,
        items: 600,
        exponent: 0.0,
        categories: Some(30),
        ..Generate::default()
    };
    let mut groups: HashMap<String, HashSet<String>> = HashMap::new();
    for (json, ..) in all(&options) {
        let event: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let text = |key: &str| event[key].as_str().unwrap().to_string();
        groups.entry(text("category")).or_default().insert(text("item"));
    }
    assert_eq!(groups.len(), 30);
    assert!(groups.values().all(|items| items.len() == 20));
}

#[test]
fn disorder_stays_within_its_bound_and_its_share() {
    let options = Generate {
        events: 50_000,
        disorder_share: 0.2,
        disorder: 500,
        rate: 10_000.0,
        ..Generate::default()
    };
    let mut late = 0;
    for (number, (_, ts, _)) in all(&options).iter().enumerate() {
        let base = options.start + (number as f64 * 1000.0 / options.rate) as i64;
        assert!((base - 500..=base).contains(ts));
        late += u64::from(*ts < base);
    }
    assert!((9_000..11_000).contains(&late), "{late}");
}

#[test]
fn a_silent_partition_gets_nothing_and_the_others_all() {
    let silences = vec![Silence {
        partition: 1,
        from: 100,
        to: 300,
    }];
    let options = Generate {
        events: 5_000,
        rate: 10_000.0,
        partitions: 4,
        silences,
        ..Generate::default()
    };
    let mut counts = [0; 4];
    for (number, (_, _, partition)) in all(&options).iter().enumerate() {
        let since = (number as f64 / 10.0) as i64;
        assert!(*partition != 1 || !(100..300).contains(&since));
        counts[*partition as usize] += 1;
    }
    assert_eq!(counts, [1250, 750, 1750, 1250]);
}

#[test]
fn the_hot_set_drifts() {
    let top = |events: &[(Vec<u8>, i64, u32)]| {
        let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
        for (json, ..) in events {
            let event: serde_json::Value = serde_json::from_slice(json).unwrap();
            *counts.entry(event["item"].as_str().unwrap().into()).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0
    };
    let options = Generate {
        events: 20_000,
        rate: 1_000.0,
        drift_every: Some(10_000),
        drift_ranks: 1,
        ..Generate::default()
    };
    let events = all(&options);
    assert_ne!(top(&events[..10_000]), top(&events[10_000..]));
}

#[test]
fn senseless_options_are_refused() {
    let options = Generate::default();
    for wrong in [
        Generate {
            categories: Some(0),
            ..options.clone()
        },
        Generate {
            items: 0,
            ..options.clone()
        },
        Generate {
            partitions: 0,
            ..options.clone()
        },
        Generate {
            rate: 0.0,
            ..options.clone()
        },
        Generate {
            exponent: -1.0,
            ..options.clone()
        },
        Generate {
            disorder_share: 1.5,
            ..options.clone()
        },
        Generate {
            drift_every: Some(0),
            ..options.clone()
        },
    ] {
        assert!(Events::new(&wrong).is_err(), "{wrong:?}");
    }
    assert!(
        "shops"
            .parse::<Profile>()
            .unwrap_err()
            .contains("shop, cdn, flows, hashtags, ads")
    );
}

/// `cargo test --release -p hitters-connectors -- --ignored --nocapture generator_speed`
#[test]
#[ignore = "a measurement"]
fn generator_speed() {
    for items in [10_000, 10_000_000] {
        let mut events = Events::new(&Generate {
            items,
            events: 2_000_000,
            ..Generate::default()
        })
        .unwrap();
        let begun = std::time::Instant::now();
        while let Some(event) = events.next_event() {
            std::hint::black_box(event);
        }
        println!(
            "{items} items: {:.1} ns an event",
            begun.elapsed().as_secs_f64() / 2e6 * 1e9
        );
    }
}
