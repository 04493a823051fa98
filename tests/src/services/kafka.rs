//! Apache Kafka 4.3.1 in KRaft mode: one process that is broker and controller.

use super::{Process, cached, free_port};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A running broker.
pub struct Kafka {
    process: Option<Process>,
    folder: TempDir,
    port: u16,
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
        let mut kafka = Self::prepare(settings);
        kafka.start_again();
        kafka
    }

    fn prepare(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Kafka");
        let (port, controller) = (free_port(), free_port());
        let logs = folder.path().join("logs");
        std::fs::create_dir(&logs).expect("a folder for Kafka's logs");
        // What kafka-storage.sh would write.
        let meta = "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\nnode.id=1\ndirectory.id=3db5Qe5nT6WnHT0qLkuVgw\n";
        std::fs::write(logs.join("meta.properties"), meta).expect("Kafka's folder can be written");
        let mut properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
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
            process: None,
            folder,
            port,
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
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts a stopped broker again, at the same address with the same data.
    pub fn start_again(&mut self) {
        let log = self.folder.path().join("kafka.log");
        let mut java = Command::new("java");
        java.args([
            "-Xmx512m",
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
        self.process = Some(Process::start("Kafka", &mut java, &log, ready));
    }

    /// Holds the broker still, as if its machine hung.
    pub fn freeze(&self) {
        self.process.iter().for_each(|process| process.signal("STOP"));
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self) {
        self.process.iter().for_each(|process| process.signal("CONT"));
    }
}

/// The jars, as scripts/services.sh leaves them.
fn jars() -> PathBuf {
    cached("HITTERS_KAFKA_LIB", "kafka-4.3.1", "kafka_2.13-4.3.1.jar")
}
