use super::*;
use crate::kafka::tests::broker;
use crate::testing::bounded;

#[test]
fn topics_are_created_and_compared() {
    let broker = broker();
    let topics = Topics::connect(&broker.bootstrap_servers(), &[], &bounded().0).unwrap();
    let settings = [
        ("compression.type".to_string(), "lz4".to_string()),
        ("retention.ms".to_string(), "86400000".to_string()),
    ];
    let spec = TopicSpec {
        name: "wanted".into(),
        partitions: Some(4),
        replication: Some(1),
        settings: settings.into(),
    };
    assert_eq!(topics.ensure(&spec, false).unwrap(), Outcome::Missing);
    assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Created);
    assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Exists(Vec::new()));
    assert!(topics.names().unwrap().contains(&"wanted".to_string()));
    // Of its settings only those that were given go over to a topic that is to be like it.
    let like = topics.describe("wanted").unwrap().unwrap().like("next");
    assert_eq!(
        like,
        TopicSpec {
            name: "next".into(),
            ..spec.clone()
        }
    );
    let other = [("cleanup.policy".to_string(), "compact".to_string())];
    let other = TopicSpec {
        partitions: Some(8),
        replication: Some(3),
        settings: other.into(),
        ..spec.clone()
    };
    let Outcome::Exists(differences) = topics.ensure(&other, true).unwrap() else {
        panic!("it is there")
    };
    let said: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].starts_with("partitions is 4, wanted 8: kafka-topics.sh --alter --topic wanted --partitions 8"),
        "{said:?}"
    );
    assert!(said[1].starts_with("replication is 1, wanted 3"), "{said:?}");
    assert!(
        said[2].starts_with("cleanup.policy is delete, wanted compact"),
        "{said:?}"
    );
    let error = topics
        .ensure(
            &TopicSpec {
                name: "copies".into(),
                replication: Some(3),
                ..TopicSpec::default()
            },
            true,
        )
        .unwrap_err();
    assert!(error.contains("topic 'copies' cannot be created"), "{error}");
}
