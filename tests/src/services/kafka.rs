//! Apache Kafka 4.3.1 in KRaft mode: one process that is broker and controller, or such a one with further brokers.

use super::{Process, Slot, cached, free_port};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A running broker.
pub struct Kafka {
    process: Slot,
    folder: TempDir,
    port: u16,
    /// Megabytes of heap.
    heap: u32,
    /// Of the listener that wants a login.
    login: Option<u16>,
}

impl Kafka {
    /// Starts a broker with small memory.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a broker that wants a login (SASL PLAIN, without TLS) at [`Kafka::login_servers`].
    pub fn with_login(user: &str, password: &str) -> Self {
        let login = free_port();
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        let jaas = format!("{module} username=\"{user}\" password=\"{password}\" user_{user}=\"{password}\";");
        let mut kafka = Self::prepare(&[
            ("sasl.enabled.mechanisms", "PLAIN"),
            ("listener.name.login.plain.sasl.jaas.config", &jaas),
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
            ),
        ]);
        kafka.login = Some(login);
        let path = kafka.folder.path().join("server.properties");
        let mut properties = std::fs::read_to_string(&path).expect("the properties were written");
        for name in ["\nlisteners=", "\nadvertised.listeners="] {
            properties = properties.replace(name, &format!("{name}LOGIN://127.0.0.1:{login},"));
        }
        std::fs::write(&path, properties).expect("Kafka's folder can be written");
        kafka.start_again();
        kafka
    }

    /// Starts a broker with further lines of server.properties.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let kafka = Self::prepare(settings);
        kafka.start_again();
        kafka
    }

    fn prepare(settings: &[(&str, &str)]) -> Self {
        Self::node(1, free_port(), settings)
    }

    /// The broker with this number; number 1 is the controller too, on that port.
    fn node(number: u16, controller: u16, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Kafka");
        let port = free_port();
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs).expect("a folder for Kafka's logs");
        // What kafka-storage.sh would write.
        let meta = format!(
            "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\nnode.id={number}\ndirectory.id={}db5Qe5nT6WnHT0qLkuVgw\n",
            2 + number
        );
        std::fs::write(logs.join("meta.properties"), meta).expect("Kafka's folder can be written");
        let (roles, listener) = match number {
            1 => ("broker,controller", format!(",CONTROLLER://127.0.0.1:{controller}")),
            _ => ("broker", String::new()),
        };
        let mut properties = format!(
            "process.roles={roles}\nnode.id={number}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port}{listener}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=4\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n\
             num.network.threads=2\nnum.io.threads=4\nlog.cleaner.dedupe.buffer.size=8388608\nlog.retention.hours=-1\n",
            logs.display()
        );
        for (name, value) in settings {
            let _ = writeln!(properties, "{name}={value}");
        }
        std::fs::write(folder.path().join("server.properties"), properties).expect("Kafka's folder can be written");
        Self {
            process: Slot::default(),
            folder,
            port,
            heap: 512,
            login: None,
        }
    }

    /// `host:port`.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the listener that wants a login.
    pub fn login_servers(&self) -> String {
        format!("127.0.0.1:{}", self.login.expect("the broker was started with a login"))
    }

    /// Kills the broker; its data stays.
    pub fn stop(&self) {
        self.process.put(None);
    }

    /// Starts a stopped broker again, at the same address with the same data.
    pub fn start_again(&self) {
        let log = self.folder.path().join("kafka.log");
        let mut java = Command::new("java");
        java.arg(format!("-Xmx{}m", self.heap))
            .args([
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            ])
            // The line that says that it is ready.
            .arg("-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info")
            .arg("-cp")
            .arg(format!("{}/*", jars().display()))
            .arg("kafka.Kafka")
            .arg(self.folder.path().join("server.properties"));
        let ready = {
            let log = log.clone();
            move || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Kafka Server started"))
        };
        let process = Process::start("Kafka", &mut java, &log, ready);
        self.process.put(Some(process));
    }

    /// Holds the broker still, as if its machine hung.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }
}

/// Two brokers, of which the first is the controller: the second may die. Every topic that the brokers make for themselves is
/// on both.
pub struct Cluster {
    /// The controller, and a broker.
    pub first: Kafka,
    /// The other broker.
    pub second: Kafka,
}

impl Cluster {
    /// Starts both. A broker that dies loses its partitions after two seconds, and has them back a second after it is there
    /// again.
    pub fn start() -> Self {
        let controller = free_port();
        let node = |number| {
            let settings = [
                ("offsets.topic.replication.factor", "2"),
                ("transaction.state.log.replication.factor", "2"),
                ("broker.session.timeout.ms", "2000"),
                ("broker.heartbeat.interval.ms", "300"),
                ("leader.imbalance.check.interval.seconds", "1"),
            ];
            let mut kafka = Kafka::node(number, controller, &settings);
            kafka.heap = 256;
            kafka
        };
        let cluster = Self {
            first: node(1),
            second: node(2),
        };
        std::thread::scope(|both| {
            both.spawn(|| cluster.first.start_again());
            both.spawn(|| cluster.second.start_again());
        });
        cluster
    }

    /// `host:port,host:port`.
    pub fn bootstrap_servers(&self) -> String {
        format!("{},{}", self.first.bootstrap_servers(), self.second.bootstrap_servers())
    }
}

/// The jars, as scripts/services.sh leaves them.
fn jars() -> PathBuf {
    cached("HITTERS_KAFKA_LIB", "kafka-4.3.1", "kafka_2.13-4.3.1.jar")
}
